// A machine whose agent is away: since when, what may have become of it, and what it costs meanwhile. Pure.
import type { NodeView, ProviderView } from './api/schema';
import { elapsed, instant } from './format';

/** A link that is lost for a moment is nobody's worry. */
const WORTH_SAYING_MS = 60_000;

export interface Away {
  title: string;
  detail: string;
}

/** What to say of it; null where its agent is there, or was a moment ago. */
export function away(node: NodeView | null | undefined, provider: ProviderView | undefined, now: number): Away | null {
  if (node?.state !== 'ready' || node.health !== 'disconnected' || !node.away_since_at) return null;
  const since = Date.parse(node.away_since_at);
  if (now - since < WORTH_SAYING_MS) return null;
  const cloud = provider?.name ?? 'the cloud';
  const bill = provider?.poweroff_ends_billing
    ? `If it is off, ${cloud} bills nothing for it.`
    : `${provider ? cloud : 'The cloud'} bills it until it is deleted, also while it is off.`;
  return {
    title: `Its agent has been away since ${instant(since, now)} (${elapsed(now - since)})`,
    detail: `The machine may be off, or may only not reach Ringfence. ${bill}`,
  };
}
