import { expect, test } from 'vitest';
import type { NodeView } from '../src/lib/api/schema';
import { reuse } from '../src/lib/reuse';

const node = (more: Partial<NodeView> = {}) =>
  ({
    isolation: 'user',
    state: 'ready',
    health: 'connected',
    policy: 'schedulable',
    workspaces: [],
    slots: 3,
    credential_id: 'crd_a',
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
