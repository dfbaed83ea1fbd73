import { expect, test } from 'vitest';
import type { PostureCheck, PostureOutcome } from '../src/lib/api/schema';
import { headline, ordered, standing } from '../src/lib/posture';

const check = (id: string, outcome: PostureOutcome, must_pass = true): PostureCheck => ({
  id,
  title: id,
  rule: '',
  measured: '',
  outcome,
  must_pass,
});

test('the line counts what must hold, and says when it was measured', () => {
  const checks = [check('a', 'pass'), check('b', 'fail'), check('c', 'unknown'), check('d', 'fail', false)];
  const measured_at = new Date(0).toISOString();
  expect(headline({ holds: false, measured_at, checks }, 180_000)).toBe('Measured 3 min ago: 1 of 3 hold');
  expect(headline({ holds: true, measured_at, checks: [check('a', 'pass')] }, 0)).toBe('Measured just now: 1 of 1 hold');
  expect(headline({ holds: false, measured_at, checks: [check('a', 'pass')] }, 0)).toContain('not all of what was measured is shown');
});

test('what is broken comes first, and what need not hold breaks nothing', () => {
  const checks = [check('holds', 'pass'), check('noted', 'fail', false), check('unknown', 'unknown'), check('broken', 'fail')];
  expect(ordered(checks).map((one) => one.id)).toEqual(['broken', 'unknown', 'noted', 'holds']);
  expect(checks.map(standing)).toEqual(['holds', 'noted', 'unknown', 'broken']);
});
