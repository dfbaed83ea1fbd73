// One function per operation of the API that the page uses. Errors are always an `ApiError`.
import { connection } from '../state/connection.svelte';
import type * as api from './types';

/** What went wrong, as the control plane said it or, when it could not be reached, as we say it for it. */
export class ApiError extends Error {
  constructor(readonly problem: api.Problem) {
    super(problem.detail || problem.title);
  }
  get code(): string {
    return this.problem.code;
  }
}

/** Called once for every answer that says that nobody is signed in. */
let onSignedOut: () => void = () => {};
export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback;
}

type Method = 'GET' | 'POST' | 'DELETE';
type Query = Record<string, string | number | undefined | null>;
interface Options {
  query?: Query;
  body?: unknown;
  /** A POST that creates something carries a key, so that a lost answer can be asked for again. */
  creates?: boolean;
}

async function call<T>(method: Method, path: string, { query, body, creates }: Options = {}): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (method === 'POST') headers['content-type'] = 'application/json';
  if (creates) headers['idempotency-key'] = crypto.randomUUID();
  const init: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store' };
  if (method === 'POST') init.body = JSON.stringify(body ?? {});

  const answer = await send(path + search(query), init, creates === true || method === 'GET');
  if (answer.status === 204) return undefined as T;
  if (answer.ok) return (await answer.json()) as T;
  const problem = await problemOf(answer);
  if (problem.code === 'unauthenticated') onSignedOut();
  throw new ApiError(problem);
}

/** Sends a request, and once more when no answer came and a repeat cannot do harm. */
async function send(url: string, init: RequestInit, repeatable: boolean): Promise<Response> {
  for (let left = repeatable ? 1 : 0; ; left -= 1) {
    try {
      const answer = await fetch(url, init);
      connection.answered();
      return answer;
    } catch {
      if (left > 0) continue;
      connection.failed();
      throw new ApiError({
        code: 'unreachable',
        status: 0,
        title: 'Ringfence cannot be reached',
        detail: 'No answer came. Nothing is known to have changed; check your connection and try again.',
        request_id: '',
      });
    }
  }
}

async function problemOf(answer: Response): Promise<api.Problem> {
  const unreadable: api.Problem = {
    code: `http_${answer.status}`,
    status: answer.status,
    title: `Ringfence answered ${answer.status}`,
    detail: 'The answer was not one this page understands.',
    request_id: answer.headers.get('cf-ray') ?? '',
  };
  if (!answer.headers.get('content-type')?.includes('json')) return unreadable;
  try {
    return { ...unreadable, ...((await answer.json()) as Partial<api.Problem>) };
  } catch {
    return unreadable;
  }
}

function search(query: Query = {}): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return pairs.length ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : '';
}

/** Every page of a list, bounded: nobody looks at more, and a server that never ends must not hold the page. */
async function everything<T>(path: string): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null | undefined;
  for (let page = 0; page < 10; page += 1) {
    const part = await call<api.Page<T>>('GET', path, { query: { limit: 200, cursor } });
    items.push(...part.items);
    cursor = part.next_cursor;
    if (!cursor) break;
  }
  return items;
}

export const redeemLink = (token: string) => call<api.MeView>('POST', '/api/auth/link', { body: { token } });
export const signOut = () => call<void>('POST', '/api/auth/sign-out');
export const me = () => call<api.MeView>('GET', '/api/me');

export const sessions = () => everything<api.SessionView>('/api/sessions');
export const revokeSession = (id: string) => call<void>('DELETE', `/api/sessions/${id}`);
export const apiTokens = () => everything<api.ApiTokenView>('/api/tokens');
export const createApiToken = (name: string, expires_in_secs: number) =>
  call<api.CreatedApiTokenView>('POST', '/api/tokens', { body: { name, expires_in_secs }, creates: true });
export const revokeApiToken = (id: string) => call<void>('DELETE', `/api/tokens/${id}`);

export const providers = async () => (await call<api.Page<api.ProviderView>>('GET', '/api/providers')).items;
export const credentials = () => everything<api.CredentialView>('/api/credentials');
export const createCredential = (body: { provider: api.ProviderKind; name?: string; secret: string }) =>
  call<api.CredentialView>('POST', '/api/credentials', { body, creates: true });
export const deleteCredential = (id: string) => call<void>('DELETE', `/api/credentials/${id}`);
export const validateCredential = (id: string) => call<api.CredentialView>('POST', `/api/credentials/${id}/validate`);
export const replaceCredential = (id: string, secret: string) => call<api.CredentialView>('POST', `/api/credentials/${id}/replace`, { body: { secret } });
export const catalog = (id: string) => call<api.CatalogView>('GET', `/api/credentials/${id}/catalog`);

export const workspaces = () => everything<api.WorkspaceView>('/api/workspaces');
export const workspace = (id: string) => call<api.WorkspaceView>('GET', `/api/workspaces/${id}`);
export const createWorkspace = (body: api.CreateWorkspaceParams) => call<api.WorkspaceView>('POST', '/api/workspaces', { body, creates: true });
export const deleteWorkspace = (id: string) => call<api.WorkspaceView | undefined>('DELETE', `/api/workspaces/${id}`);
export const stopWorkspace = (id: string) => call<api.WorkspaceView>('POST', `/api/workspaces/${id}/stop`);
export const startWorkspace = (id: string) => call<api.WorkspaceView>('POST', `/api/workspaces/${id}/start`);
export const workspaceToken = (id: string) => call<api.WorkspaceTokenView>('POST', `/api/workspaces/${id}/token`);

export const nodes = () => everything<api.NodeView>('/api/nodes');
export const node = (id: string) => call<api.NodeView>('GET', `/api/nodes/${id}`);
export const deleteNode = (id: string) => call<api.NodeView | undefined>('DELETE', `/api/nodes/${id}`);
export const setNodePolicy = (id: string, verb: 'cordon' | 'uncordon' | 'drain') => call<api.NodeView>('POST', `/api/nodes/${id}/${verb}`);
export const events = (query: { after?: number; node_id?: string; limit?: number } = {}) => call<api.EventsView>('GET', '/api/events', { query });

export const users = () => everything<api.UserView>('/api/admin/users');
export const createUser = (name: string, role: api.Role) => call<api.UserView>('POST', '/api/admin/users', { body: { name, role }, creates: true });
export const suspendUser = (id: string) => call<api.UserView>('POST', `/api/admin/users/${id}/suspend`);
export const resumeUser = (id: string) => call<api.UserView>('POST', `/api/admin/users/${id}/resume`);
export const createSignInLink = (id: string) => call<api.SignInLinkView>('POST', `/api/admin/users/${id}/sign-in-link`);
export const audit = (cursor?: string) => call<api.Page<api.AuditView>>('GET', '/api/admin/audit', { query: { limit: 100, cursor } });
