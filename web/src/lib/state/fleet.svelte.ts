// The user's workspaces, nodes and clouds, and the one loop that keeps them in step: it asks for events, often while
// something is on its way, seldom when all is quiet, never when nobody looks, and fetches again what they name.
import * as api from '../api/client';
import type { CredentialView, EventView, Money, NodeView, ProviderView, WorkspaceView } from '../api/schema';
import { inTransition } from '../words';
import { clock } from './clock.svelte';
import { Collection } from './collection.svelte';
import { connection } from './connection.svelte';

const HOUR_MS = 3_600_000;
const BUSY_MS = 2_000;
const IDLE_MS = 30_000;
const LOST_MS = 4_000;

class Fleet {
  readonly workspaces = new Collection<WorkspaceView>(api.workspaces, api.workspace);
  readonly nodes = new Collection<NodeView>(api.nodes, api.node);
  credentials = $state.raw<CredentialView[] | null>(null);
  credentialsProblem = $state<api.ApiError | null>(null);
  providers = $state.raw<ProviderView[]>([]);
  /** The newest events, so that pages can follow along. */
  newest = $state.raw<EventView[]>([]);

  #after: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #asking = false;

  start(): void {
    if (this.#running) return;
    this.#running = true;
    connection.whenLost(() => this.#schedule());
    document.addEventListener('visibilitychange', this.#look);
    addEventListener('online', this.#look);
    void this.#round();
    void this.loadCredentials();
  }

  stop(): void {
    this.#running = false;
    this.#after = null;
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#look);
    removeEventListener('online', this.#look);
    this.workspaces.forget();
    this.nodes.forget();
    this.credentials = null;
  }

  /** Asks now: something was just changed from here. */
  kick(): void {
    if (!this.#running || this.#asking) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#round(), 150);
  }

  async loadCredentials(): Promise<void> {
    try {
      const [credentials, providers] = await Promise.all([api.credentials(), api.providers()]);
      this.credentials = credentials;
      this.providers = providers;
      this.credentialsProblem = null;
    } catch (error) {
      this.credentialsProblem = error as api.ApiError;
    }
  }

  /** What a node has cost by now: what the control plane said, and its price for the time since. */
  costSoFar(node: NodeView): Money {
    const since = clock.now - (this.nodes.receivedAt.get(node) ?? clock.now);
    const more = node.state === 'gone' ? 0 : (Number(node.price_per_hour.amount) * Math.max(0, since)) / HOUR_MS;
    return { amount: String(Number(node.cost_so_far.amount) + more), currency: node.cost_so_far.currency };
  }

  provider(kind: ProviderView['kind'] | undefined): ProviderView | undefined {
    return this.providers.find((provider) => provider.kind === kind);
  }

  credentialName(id: string): string {
    return this.credentials?.find((credential) => credential.id === id)?.name ?? id;
  }

  readonly #look = (): void => {
    if (!document.hidden) this.kick();
  };

  async #round(): Promise<void> {
    if (!this.#running || this.#asking) return;
    if (document.hidden) return; // Coming back into view starts the next round.
    this.#asking = true;
    try {
      await this.#ask();
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
    } finally {
      this.#asking = false;
      this.#schedule();
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#running) this.#timer = setTimeout(() => void this.#round(), this.#pause());
  }

  async #ask(): Promise<void> {
    if (this.#after === null || this.workspaces.items === null || this.nodes.items === null) {
      // Where to start is asked before the lists, so that nothing between the two answers is missed.
      try {
        this.#after = (await api.events()).last_id;
      } finally {
        await Promise.all([this.workspaces.load(), this.nodes.load()]);
      }
      return;
    }
    for (let rounds = 0; rounds < 5; rounds += 1) {
      const { items, last_id } = await api.events({ after: this.#after });
      this.#after = Math.max(this.#after, last_id);
      if (!items.length) return;
      this.newest = items;
      await Promise.all([
        this.workspaces.refetch([...items.flatMap((event) => event.workspace_id ?? []), ...this.#workspacesOn(items)]),
        this.nodes.refetch(items.map((event) => event.node_id)),
      ]);
    }
  }

  /** A node's change shows in its workspaces too. */
  #workspacesOn(items: EventView[]): string[] {
    const nodes = new Set(items.filter((event) => event.kind === 'node_state').map((event) => event.node_id));
    return this.workspaces.present.filter((workspace) => nodes.has(workspace.node.id)).map((workspace) => workspace.id);
  }

  #pause(): number {
    if (connection.lostSince !== null) return LOST_MS;
    const busy = this.workspaces.present.some((w) => inTransition(w.state)) || this.nodes.present.some((n) => inTransition(n.state));
    return busy ? BUSY_MS : IDLE_MS;
  }
}

export const fleet = new Fleet();
