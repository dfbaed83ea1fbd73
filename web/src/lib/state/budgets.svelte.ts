// What is spent of the budgets that the user answers for, so that every page can say when one runs out: their own, their tenant's for
// its admins, the installation's for admins. A warning that was dismissed comes again when it changes.
import * as api from '../api/client';
import type { LimitView } from '../api/schema';
import { alerts, type Alert } from '../limits';
import { clock } from './clock.svelte';
import { session } from './session.svelte';

const KEY = 'ringfence.dismissed';
const LOOK_AGAIN_MS = 10 * 60_000;
/** More are never kept: each is of one budget, threshold and month. */
const MOST_DISMISSED = 20;

class Budgets {
  #items = $state.raw<LimitView[]>([]);
  #dismissed = $state.raw<string[]>(read());

  /** What is to be said now. */
  get due(): Alert[] {
    return alerts(this.#items, clock.now).filter((alert) => !this.#dismissed.includes(this.#mark(alert)));
  }

  /** Asks now and from time to time, for as long as somebody is signed in. Gives what ends it. */
  watch(): () => void {
    void this.load();
    const timer = setInterval(() => document.hidden || void this.load(), LOOK_AGAIN_MS);
    return () => {
      clearInterval(timer);
      this.#items = [];
    };
  }

  async load(): Promise<void> {
    const asked: Promise<LimitView[]>[] = [api.usage()];
    if (session.tenantAdmin) asked.push(api.tenantUsage());
    if (session.admin) asked.push(api.limits('installation').then((view) => view.items));
    // Each by itself: one that fails hides no other, and is asked again later.
    const answers = await Promise.allSettled(asked);
    this.#items = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  }

  dismiss(alert: Alert): void {
    this.#dismissed = [this.#mark(alert), ...this.#dismissed].slice(0, MOST_DISMISSED);
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#dismissed));
    } catch {
      // It then lasts as long as the page.
    }
  }

  /** Another user of this browser has dismissed nothing. */
  #mark(alert: Alert): string {
    return `${session.me?.user.id} ${alert.key}`;
  }
}

function read(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(kept) ? kept.filter((one) => typeof one === 'string') : [];
  } catch {
    return [];
  }
}

export const budgets = new Budgets();
