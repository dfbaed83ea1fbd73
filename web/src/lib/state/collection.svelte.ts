// A list of the user's things, kept in step with the control plane.
import { ApiError } from '../api/client';

interface Item {
  id: string;
  state: string;
  row_version: number;
  created_at: string;
}

export class Collection<T extends Item> {
  /** Null until it is known. */
  items = $state.raw<T[] | null>(null);
  problem = $state<ApiError | null>(null);

  /** When each view came, by this browser's clock: what grows with time is told from then on. */
  readonly receivedAt = new WeakMap<T, number>();

  constructor(
    private readonly all: () => Promise<T[]>,
    private readonly one: (id: string) => Promise<T>,
  ) {}

  /** Those that still exist. */
  get present(): T[] {
    return this.items?.filter((item) => item.state !== 'gone') ?? [];
  }

  get(id: string): T | undefined {
    return this.items?.find((item) => item.id === id);
  }

  async load(): Promise<void> {
    try {
      const items = await this.all();
      for (const item of items) this.receivedAt.set(item, Date.now());
      this.items = newestFirst(items);
      this.problem = null;
    } catch (error) {
      this.problem = error as ApiError;
    }
  }

  /** Fetches what has changed. What is not there any more leaves the list. */
  async refetch(ids: Iterable<string>): Promise<void> {
    const changed = [...new Set(ids)];
    if (changed.length > 6) return this.load();
    await Promise.all(
      changed.map(async (id) => {
        try {
          this.put(await this.one(id));
        } catch (error) {
          if (error instanceof ApiError && error.problem.status === 404) this.drop(id);
        }
      }),
    );
  }

  /** Takes a newer view of one item; an older one, overtaken on its way, is ignored. */
  put(item: T): void {
    const items = this.items ?? [];
    const known = this.get(item.id);
    if (known && known.row_version > item.row_version) return;
    this.receivedAt.set(item, Date.now());
    this.items = known ? items.map((other) => (other.id === item.id ? item : other)) : newestFirst([item, ...items]);
  }

  drop(id: string): void {
    if (this.get(id)) this.items = (this.items ?? []).filter((item) => item.id !== id);
  }

  forget(): void {
    this.items = null;
    this.problem = null;
  }
}

const newestFirst = <T extends Item>(items: T[]): T[] => items.toSorted((a, b) => b.created_at.localeCompare(a.created_at));
