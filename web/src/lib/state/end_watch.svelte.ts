// Whether a workspace's end that a page knows of is still so: each use moves it, and nobody is told of that. So it is asked once
// more when a warning of it is due, and only then is anything said.
import * as api from '../api/client';
import type { Warning } from '../ending';
import { fleet } from './fleet.svelte';

const markOf = (warning: Warning): string => `${warning.key} ${warning.last ? 'last' : 'first'}`;

export class EndWatch {
  readonly #asked = new Set<string>();
  #sure = $state.raw<ReadonlySet<string>>(new Set());

  constructor(private readonly workspaceId: string) {}

  /** What may be said of what is due by what the page knows. */
  confirmed(due: Warning | null): Warning | null {
    if (!due || this.#sure.has(markOf(due))) return due;
    const earlier = { ...due, last: false };
    return this.#sure.has(markOf(earlier)) ? earlier : null;
  }

  /** Asks once for each warning that is due. */
  async look(due: Warning | null): Promise<void> {
    if (!due) return;
    const mark = markOf(due);
    if (this.#asked.has(mark)) return;
    this.#asked.add(mark);
    try {
      fleet.workspaces.put(await api.workspace(this.workspaceId));
    } catch (error) {
      // Who cannot be asked does not take the warning back.
      if (!(error instanceof api.ApiError)) throw error;
    }
    this.#sure = new Set([...this.#sure, mark]);
  }
}
