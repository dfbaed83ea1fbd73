// What was measured, in a line and in order: what is broken first. Pure.
import type { PostureCheck, PostureView } from './api/schema';
import { relative } from './format';

export type Standing = 'holds' | 'broken' | 'unknown' | 'noted';

/** Where a check stands: one that need not pass breaks nothing. */
export function standing(check: PostureCheck): Standing {
  if (check.outcome === 'pass') return 'holds';
  if (!check.must_pass) return 'noted';
  return check.outcome === 'fail' ? 'broken' : 'unknown';
}

export const STANDING: Record<Standing, string> = { holds: 'holds', broken: 'does not hold', unknown: 'could not be measured', noted: 'noted' };

const ORDER: Standing[] = ['broken', 'unknown', 'noted', 'holds'];
export const ordered = (checks: PostureCheck[]): PostureCheck[] => checks.toSorted((a, b) => ORDER.indexOf(standing(a)) - ORDER.indexOf(standing(b)));

/** `Measured 3 min ago: 14 of 14 hold`. Counted are those that must hold; one that could not be measured does not. */
export function headline({ checks, holds, measured_at }: PostureView, now: number): string {
  const must = checks.filter((check) => check.must_pass);
  const held = must.filter((check) => check.outcome === 'pass').length;
  const when = relative(measured_at, now);
  // More was measured than is shown: the control plane has judged all of it.
  const rest = !holds && held === must.length ? ', and not all of what was measured is shown' : '';
  return `Measured ${when}: ${held} of ${must.length} hold${rest}`;
}
