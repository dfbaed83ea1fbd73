// What happens to one workspace, as it happens: a socket while somebody looks, healed when it is cut. Until it opens, and
// where it cannot, the lists' polling keeps the page true, only later.
import { events as eventsSince, node as nodeById, workspace as workspaceById } from '../api/client';
import { ApiError } from '../api/client';
import type { EventView, NodeView, Progress, SocketMessage, WorkspaceView } from '../api/schema';
import { backoffMs } from '../backoff';
import { CLOSE, open, socketToken, watch } from '../socket';
import { fleet } from './fleet.svelte';

/** The generator leaves the tag off a variant that refers to another schema. */
type Message = Extract<SocketMessage, { type: string }> | (Progress & { type: 'progress' });

export class WorkspaceStream {
  workspace = $state.raw<WorkspaceView | null>(null);
  node = $state.raw<NodeView | null>(null);
  events = $state.raw<EventView[]>([]);
  /** How far a step of making the workspace is; none when nothing was said of it lately. */
  progress = $state.raw<Progress | null>(null);
  problem = $state<ApiError | null>(null);
  live = $state(false);

  #socket: WebSocket | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #refused = false;
  #closed = false;

  constructor(private readonly id: string) {}

  start(): void {
    document.addEventListener('visibilitychange', this.#hurry);
    addEventListener('online', this.#hurry);
    void this.#connect();
  }

  close(): void {
    this.#closed = true;
    document.removeEventListener('visibilitychange', this.#hurry);
    removeEventListener('online', this.#hurry);
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** Takes the events of a poll, where the socket has not brought them. */
  take(items: EventView[]): void {
    const known = new Set(this.events.map((event) => event.id));
    const fresh = items.filter((event) => !known.has(event.id) && this.#concerns(event));
    if (fresh.length) this.events = [...this.events, ...fresh].sort((a, b) => a.id - b.id);
  }

  #concerns(event: EventView): boolean {
    return event.workspace_id === this.id || (!event.workspace_id && event.node_id === (this.node?.id ?? this.workspace?.node.id));
  }

  readonly #hurry = (): void => {
    if (document.hidden || this.#retry === undefined) return;
    clearTimeout(this.#retry);
    void this.#connect();
  };

  async #connect(): Promise<void> {
    this.#retry = undefined;
    try {
      const token = await socketToken(this.id, { fresh: this.#refused });
      if (this.#closed) return;
      this.#listen(open(`/api/workspaces/${this.id}/socket`, token));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.problem = error;
      const { status } = error.problem;
      if (status === 0 || status >= 500 || status === 429) this.#later();
      else await this.#look();
    }
  }

  /** One that is over opens no socket and is in no list, and can be read about all the same. */
  async #look(): Promise<void> {
    try {
      const seen = await workspaceById(this.id);
      if (this.#closed) return;
      this.workspace = seen;
      fleet.workspaces.put(seen);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.problem = error;
    }
  }

  #listen(socket: WebSocket): void {
    this.#socket = socket;
    const watched = watch(socket, () => socket.close());
    socket.onmessage = ({ data }) => {
      watched.heard();
      if (typeof data === 'string' && data !== 'pong' && this.#socket === socket) this.#message(data);
    };
    socket.onclose = ({ code }) => {
      watched.end();
      if (this.#socket !== socket) return;
      this.#socket = null;
      // One that never spoke may have been refused, which a browser does not tell: a workspace that is over refuses a token, too,
      // and is then read about.
      this.#refused = code === CLOSE.revoked || !this.live;
      this.live = false;
      this.progress = null;
      void this.#catchUp();
      if (code !== CLOSE.ended) this.#later();
    };
  }

  #message(text: string): void {
    const message = JSON.parse(text) as Message;
    this.live = true;
    this.#attempt = 0;
    this.#refused = false;
    this.problem = null;
    switch (message.type) {
      case 'snapshot':
        this.workspace = message.workspace;
        this.node = message.node;
        fleet.workspaces.put(message.workspace);
        fleet.nodes.put(message.node);
        if (message.workspace.state !== 'creating') this.progress = null;
        return;
      case 'events':
        // A step that has ended has no progress any more.
        if (message.items.some((event) => event.kind === 'boot_step' && event.workspace_id === this.id)) this.progress = null;
        return this.take(message.items);
      case 'progress':
        this.progress = message;
        return;
    }
  }

  /** Without the socket the past is asked for once. */
  async #catchUp(): Promise<void> {
    const nodeId = fleet.workspaces.get(this.id)?.node.id;
    if (this.#closed) return;
    if (!nodeId) return this.#look();
    try {
      const [past, node] = await Promise.all([eventsSince({ after: 0, node_id: nodeId }), nodeById(nodeId)]);
      this.node = node;
      this.take(past.items);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }

  #later(): void {
    if (this.#closed) return;
    this.#retry = setTimeout(() => void this.#connect(), backoffMs(this.#attempt + 1));
    this.#attempt += 1;
  }
}
