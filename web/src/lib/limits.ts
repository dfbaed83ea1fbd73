// Limits in plain words, and what is typed into their fields.
import type { LimitAmounts, LimitMeasure, LimitScope, LimitView, QuotaItem } from './api/schema';

export const FIELDS: { measure: LimitMeasure; label: string; money: boolean; hint: string }[] = [
  { measure: 'nodes', label: 'Machines', money: false, hint: 'Each counts until its provider has confirmed that it is gone.' },
  { measure: 'workspaces', label: 'Workspaces', money: false, hint: 'Those that have a place on a machine.' },
  { measure: 'ephemeral_workspaces', label: 'Ephemeral workspaces', money: false, hint: 'Each has a machine of its own.' },
  { measure: 'cost_per_hour', label: 'Cost of an hour', money: true, hint: 'All machines together, such as 0.50.' },
  { measure: 'cost_per_month', label: 'Cost of a month', money: true, hint: 'A calendar month, in UTC. When it is spent, machines end.' },
];
export const measureLabel = (item: LimitView): string => FIELDS.find((field) => field.measure === item.measure)?.label ?? item.measure;

export type Texts = Record<LimitMeasure, string>;

/** What is set, as texts of fields. */
export function texts(set: LimitAmounts): Texts {
  const text = (value: number | string | null | undefined) => (value === null || value === undefined ? '' : String(value));
  return {
    nodes: text(set.nodes),
    workspaces: text(set.workspaces),
    ephemeral_workspaces: text(set.ephemeral_workspaces),
    cost_per_hour: text(set.cost_per_hour),
    cost_per_month: text(set.cost_per_month),
  };
}

/** What is wrong with a field's text; nothing when it is empty. */
export function wrongAmount(text: string, money: boolean): string | undefined {
  const trimmed = text.trim();
  if (!trimmed) return undefined;
  if (money) return /^\d{1,9}(\.\d{1,6})?$/.test(trimmed) ? undefined : 'An amount such as 0.50.';
  return /^\d{1,9}$/.test(trimmed) ? undefined : 'A whole number.';
}

/** What the fields say, as the API takes it: what is empty is not set. */
export function amounts(fields: Texts): LimitAmounts {
  const count = (text: string) => (text.trim() ? Number(text.trim()) : undefined);
  const money = (text: string) => text.trim() || undefined;
  return {
    nodes: count(fields.nodes),
    workspaces: count(fields.workspaces),
    ephemeral_workspaces: count(fields.ephemeral_workspaces),
    cost_per_hour: money(fields.cost_per_hour),
    cost_per_month: money(fields.cost_per_month),
  };
}

/** The share of a limit that is used, 0 to 100. A limit of nothing is used up. */
export function percentOf(item: LimitView): number {
  if (!item.limit) return 0;
  const limit = Number(item.limit);
  return limit > 0 ? Math.min(100, (Number(item.usage) / limit) * 100) : 100;
}

/** The highest of the thresholds 50, 80 and 100 % that is reached; 0 when none is. */
export function threshold(item: LimitView): 0 | 50 | 80 | 100 {
  const percent = percentOf(item);
  if (!item.limit || percent < 50) return 0;
  return percent >= 100 ? 100 : percent >= 80 ? 80 : 50;
}

/** A budget that runs out, or is spent. */
export interface Alert {
  /** Another threshold, limit or month is another alert. */
  key: string;
  full: boolean;
  words: string;
  /** Where there is more of it. */
  href: string;
  place: string;
}

const WHOSE: Record<LimitScope, { whose: string; href: string; place: string }> = {
  user: { whose: 'Your', href: '/settings', place: 'Your limits' },
  tenant: { whose: 'Your tenant’s', href: '/tenant', place: 'Your tenant' },
  installation: { whose: 'This installation’s', href: '/limits', place: 'Limits' },
};

/** What is worth saying on every page: money of which four fifths are used, or all. Numbers of things are said where one creates them. */
export function alerts(items: LimitView[], now: number): Alert[] {
  return items.flatMap((item): Alert[] => {
    const reached = threshold(item);
    const monthly = item.measure === 'cost_per_month';
    if (reached < 80 || !(monthly || item.measure === 'cost_per_hour')) return [];
    const { whose, href, place } = WHOSE[item.scope];
    const full = reached === 100;
    const what = `${whose} ${monthly ? 'budget for this month' : 'machines’ cost of an hour'}`;
    const of = `${item.usage} of ${item.limit}`;
    const then = full
      ? `Nothing more can be created${monthly ? ', and machines end' : ''}.`
      : `At 100 % nothing more can be created${monthly ? ', and machines end' : ''}.`;
    const words = full
      ? `${what} is ${monthly ? 'spent' : 'at its limit'}: ${of}. ${then}`
      : `${what}: ${Math.floor(percentOf(item))} % used, ${of}. ${then}`;
    const month = monthly ? new Date(now).toISOString().slice(0, 7) : '';
    return [{ key: [item.scope, item.measure, reached, item.limit, month].join(' '), full, words, href, place }];
  });
}

/** The share of a quota that is used, 0 to 100. */
export const shareOf = ({ estimate, limit }: QuotaItem): number => (limit > 0 ? Math.min(100, (estimate / limit) * 100) : 100);
