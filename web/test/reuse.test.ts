import { expect, test } from 'vitest';
import type { Isolation, NodeView } from '../src/lib/api/schema';
import { reuse as reuseAt } from '../src/lib/reuse';

const NOW = Date.parse('2026-11-21T00:00:00Z');
const reuse = (isolation: Isolation, nodes: NodeView[], credential: string, asksForRoom: boolean, now = NOW) =>
  reuseAt(isolation, nodes, credential, asksForRoom, now);

const node = (more: Partial<NodeView> = {}) =>
  ({
    isolation: 'user',
    state: 'ready',
    health: 'connected',
    policy: 'schedulable',
    workspaces: [],
    slots: 3,
    credential_id: 'crd_a',
    created_at: '2026-11-20T00:00:00Z',
    hard_deadline_at: '2026-11-27T00:00:00Z',
    ...more,
  }) as NodeView;

test('a machine with room is taken before a new one, which may be made all the same', () => {
  const there = node();
  expect(reuse('user', [there], 'crd_a', false)).toEqual({ node: there, orNew: true });
  expect(reuse('user', [there], 'crd_a', true)).toBeNull();
  expect(reuse('user', [there], 'crd_b', false)).toBeNull();
  for (const unfit of [{ state: 'booting' }, { health: 'disconnected' }, { policy: 'cordoned' }, { slots: 0 }, { isolation: 'dedicated' }])
    expect(reuse('user', [node(unfit as Partial<NodeView>)], 'crd_a', false)).toBeNull();
  expect(reuse('ephemeral', [there], 'crd_a', false)).toBeNull();
});

test('a dedicated machine is taken whatever it does, and there is no second', () => {
  const dedicated = (more: Partial<NodeView> = {}) => node({ isolation: 'dedicated', ...more });
  for (const state of ['requested', 'provisioning', 'booting', 'ready'] as const)
    expect(reuse('dedicated', [dedicated({ state, health: 'unknown' })], 'crd_a', true)).toEqual({ node: expect.anything(), orNew: false });
  for (const state of ['failed', 'destroying', 'gone', 'quarantined'] as const)
    expect(reuse('dedicated', [dedicated({ state })], 'crd_a', false)).toBeNull();
  expect(reuse('dedicated', [node()], 'crd_a', false)).toBeNull();
  const refused = (more: Partial<NodeView>) => reuse('dedicated', [dedicated(more)], 'crd_a', false)?.refused;
  expect(refused({ workspaces: ['a', 'b', 'c'] })).toContain('All its places');
  expect(refused({ policy: 'cordoned' })).toContain('takes no new');
  expect(refused({ credential_id: 'crd_b' })).toContain('another of your clouds');
});

test('a shared machine that ends within a day takes nothing new, and one that lives for hours only in its last quarter', () => {
  const before = (hours: number) => Date.parse('2026-11-27T00:00:00Z') - hours * 3_600_000;
  expect(reuse('user', [node()], 'crd_a', false, before(25))).not.toBeNull();
  expect(reuse('user', [node()], 'crd_a', false, before(23))).toBeNull();
  const brief = node({ created_at: '2026-11-26T20:00:00Z' });
  expect(reuse('user', [brief], 'crd_a', false, before(1.5))).not.toBeNull();
  expect(reuse('user', [brief], 'crd_a', false, before(0.5))).toBeNull();
});
