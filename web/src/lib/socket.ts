// WebSockets to a workspace: which token opens them, when they are thought dead, and what their closing means.
import * as api from './api/client';
import type { WorkspaceTokenView } from './api/schema';

export const SUBPROTOCOL = 'ringfence.v1';
/** Idle connections are cut on the way after 100 s; the platform answers pings without waking anything. */
const PING_MS = 45_000;
const PONG_WITHIN_MS = 10_000;

/** Why a viewer's socket was closed: protocol/src/link.rs, close_code. */
export const CLOSE = { invalid: 4400, revoked: 4401, ended: 4404, exited: 4410, tooMany: 4429, agentAway: 4503 } as const;

const tokens = new Map<string, WorkspaceTokenView>();

/** A token that opens sockets to the workspace; a new one when asked or when the last is about to end. */
export async function socketToken(workspaceId: string, { fresh = false } = {}): Promise<string> {
  const known = tokens.get(workspaceId);
  if (!fresh && known && Date.parse(known.expires_at) - Date.now() > 60_000) return known.token;
  const made = await api.workspaceToken(workspaceId);
  tokens.set(workspaceId, made);
  return made.token;
}

export function forgetTokens(): void {
  tokens.clear();
}

export function open(path: string, token: string): WebSocket {
  const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}${path}`, [SUBPROTOCOL, token]);
  socket.binaryType = 'arraybuffer';
  return socket;
}

/** Pings a socket; calls back once when it does not answer. The returned function ends it. */
export function watch(socket: WebSocket, dead: () => void): { heard: () => void; end: () => void } {
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const pings = setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send('ping');
    waiting ??= setTimeout(dead, PONG_WITHIN_MS);
  }, PING_MS);
  const heard = (): void => {
    clearTimeout(waiting);
    waiting = undefined;
  };
  const end = (): void => {
    clearInterval(pings);
    heard();
  };
  return { heard, end };
}
