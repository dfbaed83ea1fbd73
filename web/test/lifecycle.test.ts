import { expect, test } from 'vitest';
import { actionWord, aliveSentence, limitSentence, nextSentence } from '../src/lib/lifecycle';
import type { LifecycleView } from '../src/lib/api/schema';

const NOW = new Date(2026, 10, 28, 12, 0, 0).getTime();
const at = (minutes: number) => new Date(NOW + minutes * 60_000).toISOString();
const life = (rest: Partial<LifecycleView>): LifecycleView => ({
  state: 'ready',
  reason: 'Takes workspaces.',
  price_per_hour: { amount: '0.0066', currency: 'EUR' },
  cost_so_far: { amount: '0.02', currency: 'EUR' },
  workspaces_on_node: 1,
  transitions: [],
  ...rest,
});

test('what is alive says why and until when', () => {
  const kept = life({ alive: { because: 'because it is kept for your next workspace.', until_at: at(30) } });
  expect(aliveSentence(kept, NOW)).toBe('Alive because it is kept for your next workspace, until 12:30.');
  expect(aliveSentence(life({ alive: { because: 'because a workspace has a place on it.' } }), NOW)).toBe(
    'Alive because a workspace has a place on it.',
  );
});

test('what has ended says why and how long it can be read', () => {
  const gone = life({ state: 'gone', reason: 'No machine is left. Its owner deleted it.', readable_until_at: at(60) });
  expect(aliveSentence(gone, NOW)).toBe('Ended. No machine is left. Its owner deleted it. This can be read until 13:00.');
});

test('what follows is told once', () => {
  const next = { state: 'destroying', at: at(20), cause: 'Its longest life is over then.' };
  const both = life({ alive: { because: 'because.' }, next, hard_limit_at: at(20) });
  expect(nextSentence(both, NOW)).toBe('Next: Destroying at 12:20 (in 20 min). Its longest life is over then.');
  expect(limitSentence(both, NOW)).toBeNull();
  expect(limitSentence({ ...both, hard_limit_at: at(50) }, NOW)).toBe('Ends at 12:50 at the latest, whatever happens.');
  expect(nextSentence(life({}), NOW)).toBeNull();
});

test('a dry run speaks of what would be done', () => {
  expect(actionWord('delete_machine', false)).toBe('Would delete the machine');
  expect(actionWord('delete_machine', true)).toBe('Deleted the machine');
});
