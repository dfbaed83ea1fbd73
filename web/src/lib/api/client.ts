// One function per operation of the API that the page uses.
import { request } from './request';
import type { CreateCredentialParams, CreateWorkspaceParams, LimitAmounts, LimitScope, Role, SetWarmPoolParams } from './schema';

export { ApiError, whenSignedOut } from './request';

/** A bound for lists: nobody looks at more, and a server that never ends must not hold the page. */
const MOST_PAGES = 10;
interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

async function everything<T>(page: (query: { limit: number; cursor?: string | null }) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null | undefined;
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const part = await page({ limit: 200, cursor });
    items.push(...part.items);
    cursor = part.next_cursor;
    if (!cursor) break;
  }
  return items;
}

export const redeemLink = (token: string) => request('post', '/api/auth/link', { body: { token } });
export const signOut = () => request('post', '/api/auth/sign-out', {});
export const me = () => request('get', '/api/me', {});

export const sessions = async () => (await request('get', '/api/sessions', {})).items;
export const revokeSession = (id: string) => request('delete', '/api/sessions/{id}', { path: { id } });
export const apiTokens = async () => (await request('get', '/api/tokens', {})).items;
export const createApiToken = (name: string, expires_in_secs: number) =>
  request('post', '/api/tokens', { body: { name, expires_in_secs }, creates: true });
export const revokeApiToken = (id: string) => request('delete', '/api/tokens/{id}', { path: { id } });

export const providers = async () => (await request('get', '/api/providers', {})).items;
export const credentials = async () => (await request('get', '/api/credentials', {})).items;
export const createCredential = (body: CreateCredentialParams) => request('post', '/api/credentials', { body, creates: true });
export const deleteCredential = (id: string) => request('delete', '/api/credentials/{id}', { path: { id } });
export const validateCredential = (id: string) => request('post', '/api/credentials/{id}/validate', { path: { id } });
export const replaceCredential = (id: string, secret: string) => request('post', '/api/credentials/{id}/replace', { path: { id }, body: { secret } });
export const catalog = (id: string) => request('get', '/api/credentials/{id}/catalog', { path: { id } });

export const workspaces = () => everything((query) => request('get', '/api/workspaces', { query }));
export const endedWorkspaces = (cursor?: string) => request('get', '/api/workspaces', { query: { gone: true, limit: 20, cursor } });
export const workspace = (id: string) => request('get', '/api/workspaces/{id}', { path: { id } });
export const createWorkspace = (body: CreateWorkspaceParams) => request('post', '/api/workspaces', { body, creates: true });
export const deleteWorkspace = (id: string) => request('delete', '/api/workspaces/{id}', { path: { id } });
export const stopWorkspace = (id: string) => request('post', '/api/workspaces/{id}/stop', { path: { id } });
export const startWorkspace = (id: string) => request('post', '/api/workspaces/{id}/start', { path: { id } });
export const keepAlive = (id: string, secs: number) => request('post', '/api/workspaces/{id}/keep-alive', { path: { id }, body: { secs } });
export const workspaceToken = (id: string) => request('post', '/api/workspaces/{id}/token', { path: { id }, body: {} });
export const workspaceReceipt = (id: string) => request('get', '/api/workspaces/{id}/receipt', { path: { id } });
export const workspacePosture = (id: string) => request('get', '/api/workspaces/{id}/posture', { path: { id } });

export const nodes = () => everything((query) => request('get', '/api/nodes', { query }));
export const endedNodes = (cursor?: string) => request('get', '/api/nodes', { query: { gone: true, limit: 20, cursor } });
export const node = (id: string) => request('get', '/api/nodes/{id}', { path: { id } });
export const nodePosture = (id: string) => request('get', '/api/nodes/{id}/posture', { path: { id } });
export const deleteNode = (id: string) => request('delete', '/api/nodes/{id}', { path: { id } });
export const cordonNode = (id: string) => request('post', '/api/nodes/{id}/cordon', { path: { id } });
export const uncordonNode = (id: string) => request('post', '/api/nodes/{id}/uncordon', { path: { id } });
export const drainNode = (id: string) => request('post', '/api/nodes/{id}/drain', { path: { id } });
export const forgetNode = (id: string, confirm: string) => request('post', '/api/nodes/{id}/forget', { path: { id }, body: { confirm } });
export const createGatewayToken = (id: string) => request('post', '/api/nodes/{id}/gateway-token', { path: { id }, creates: true });
export const warmPool = () => request('get', '/api/warm-pool', {});
export const setWarmPool = (body: SetWarmPoolParams) => request('put', '/api/warm-pool', { body });
export const nodeLifecycle = (id: string) => request('get', '/api/nodes/{id}/lifecycle', { path: { id } });
export const workspaceLifecycle = (id: string) => request('get', '/api/workspaces/{id}/lifecycle', { path: { id } });
export const events = (query: { after?: number; before?: number; node_id?: string; limit?: number } = {}) => request('get', '/api/events', { query });

export const users = () => everything((query) => request('get', '/api/admin/users', { query }));
export const createUser = (name: string, role: Role) => request('post', '/api/admin/users', { body: { name, role }, creates: true });
export const suspendUser = (id: string) => request('post', '/api/admin/users/{id}/suspend', { path: { id } });
export const resumeUser = (id: string) => request('post', '/api/admin/users/{id}/resume', { path: { id } });
export const createSignInLink = (id: string) => request('post', '/api/admin/users/{id}/sign-in-link', { path: { id }, creates: true });
export const setMembership = (id: string, tenant_id: string, role: Role) =>
  request('put', '/api/admin/users/{id}/membership', { path: { id }, body: { tenant_id, role } });
export const suspendedNodes = () => everything((query) => request('get', '/api/admin/nodes/suspended', { query }));
export const deleteNodeAsAdmin = (id: string) => request('delete', '/api/admin/nodes/{id}', { path: { id } });
export const forgetNodeAsAdmin = (id: string, confirm: string) =>
  request('post', '/api/admin/nodes/{id}/forget', { path: { id }, body: { confirm } });
export const tenants = () => everything((query) => request('get', '/api/admin/tenants', { query }));
export const createTenant = (name: string) => request('post', '/api/admin/tenants', { body: { name }, creates: true });
export const budgetAlerts = async () => (await request('get', '/api/admin/budget-alerts', {})).items;
export const quota = () => request('get', '/api/admin/quota', {});
export const limits = (scope: LimitScope, id?: string) => request('get', '/api/admin/limits', { query: { scope, id } });
export const setLimits = (scope: LimitScope, id: string | undefined, limits: LimitAmounts) =>
  request('put', '/api/admin/limits', { body: { scope, id, limits } });

export const usage = async () => (await request('get', '/api/usage', {})).items;
export const tenantUsers = () => everything((query) => request('get', '/api/tenant/users', { query }));
export const tenantNodes = () => everything((query) => request('get', '/api/tenant/nodes', { query }));
export const tenantWorkspaces = () => everything((query) => request('get', '/api/tenant/workspaces', { query }));
export const tenantUsage = async () => (await request('get', '/api/tenant/usage', {})).items;
export const tenantBudgetAlerts = async () => (await request('get', '/api/tenant/budget-alerts', {})).items;
export const provisioning = () => request('get', '/api/admin/provisioning', {});
export const pauseProvisioning = (reason: string) => request('post', '/api/admin/provisioning/pause', { body: { reason } });
export const resumeProvisioning = () => request('post', '/api/admin/provisioning/resume', {});
export const sweep = (dry_run: boolean) => request('post', '/api/admin/sweep', { query: { dry_run } });
export const sweepStatus = async () => (await request('get', '/readyz', {})).sweeps ?? [];
export const audit = (cursor?: string) => request('get', '/api/admin/audit', { query: { limit: 100, cursor } });
