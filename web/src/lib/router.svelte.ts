// The address bar is the state that says which page is shown.

class Router {
  path = $state(location.pathname);

  constructor() {
    addEventListener('popstate', () => {
      this.path = location.pathname;
    });
    document.addEventListener('click', (event) => this.#follow(event));
  }

  go(path: string, { replace = false } = {}): void {
    if (path !== location.pathname) history[replace ? 'replaceState' : 'pushState'](null, '', path);
    this.path = location.pathname;
    scrollTo(0, 0);
  }

  /** Links within the page are plain `<a href>`: they open in a new tab when asked, and here otherwise. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest('a');
    if (!link || link.target || link.origin !== location.origin || link.hasAttribute('download')) return;
    event.preventDefault();
    this.go(link.pathname);
  }
}

export const router = new Router();

export type Route =
  | {
      page: 'sign-in' | 'workspaces' | 'nodes' | 'clouds' | 'activity' | 'settings' | 'users' | 'limits' | 'tenant' | 'installation' | 'missing';
    }
  | { page: 'workspace' | 'node'; id: string };

/** Which page a path names. */
export function routeOf(path: string): Route {
  const [first = '', second, ...rest] = path.split('/').filter(Boolean);
  if (rest.length) return { page: 'missing' };
  if (second !== undefined) {
    if (first === 'workspaces') return { page: 'workspace', id: second };
    if (first === 'nodes') return { page: 'node', id: second };
    return { page: 'missing' };
  }
  switch (first) {
    case '':
      return { page: 'workspaces' };
    case 'sign-in':
    case 'workspaces':
    case 'nodes':
    case 'clouds':
    case 'activity':
    case 'settings':
    case 'users':
    case 'limits':
    case 'tenant':
    case 'installation':
      return { page: first };
    default:
      return { page: 'missing' };
  }
}
