import { expect, test } from 'vitest';
import type { EventView, NodeView, WorkspaceView } from '../src/lib/api/schema';
import { bootLog, howFar, timeline, totalMs } from '../src/lib/timeline';

const T0 = Date.parse('2026-11-22T10:00:00Z');
const at = (ms: number) => new Date(T0 + ms).toISOString();
const workspace = (state: WorkspaceView['state'], since = 0) =>
  ({
    id: 'wsp_1',
    state,
    state_since_at: at(since),
    created_at: at(0),
    reason: 'No machine of this size is left.',
    node: { provider: 'hetzner', size: 'cx23', region: 'fsn1' },
  }) as WorkspaceView;
const node = (created: number) => ({ id: 'nod_1', created_at: at(created) }) as NodeView;
let id = 0;
const event = (ms: number, rest: object): EventView => ({ id: (id += 1), at: at(ms), node_id: 'nod_1', ...rest }) as EventView;
const boot = [
  event(0, { kind: 'workspace_state', workspace_id: 'wsp_1', state: 'requested', detail: '' }),
  event(100, { kind: 'node_state', state: 'provisioning', detail: '' }),
  event(2100, { kind: 'node_state', state: 'booting', detail: '' }),
  event(5000, { kind: 'boot_step', step: 'trade the bootstrap token', duration_ms: 80 }),
];

test('the step under way counts on and what follows waits', () => {
  const steps = timeline(workspace('placing'), node(0), boot, T0 + 6000);
  expect(steps.map((step) => `${step.key} ${step.status} ${step.durationMs}`)).toEqual([
    'requested done 100',
    'provisioning done 2000',
    'booting active 3900',
    'creating waiting null',
    'running waiting null',
  ]);
  expect(steps[2]?.parts).toEqual([{ title: 'trade the bootstrap token', durationMs: 80 }]);
});

test('a failure stops the clock of its step and says why', () => {
  const steps = timeline(workspace('failed', 4000), node(0), boot, T0 + 60_000);
  expect(steps[2]).toMatchObject({ status: 'failed', durationMs: 1900, detail: 'No machine of this size is left.' });
});

test('a workspace on a node that was there before shows no boot', () => {
  const steps = timeline(
    workspace('creating'),
    node(-600_000),
    [event(10, { kind: 'workspace_state', workspace_id: 'wsp_1', state: 'creating', detail: '' })],
    T0 + 300,
  );
  expect(steps.map((step) => step.key)).toEqual(['requested', 'creating', 'running']);
});

test('the whole way is measured from the request to running', () => {
  const events = [...boot, event(7200, { kind: 'workspace_state', workspace_id: 'wsp_1', state: 'running', detail: '' })];
  expect(totalMs(workspace('running'), events)).toBe(7200);
  expect(timeline(workspace('running'), node(0), events, T0 + 9000).every((step) => step.status === 'done')).toBe(true);
});

test('pulling and cloning are parts of making the workspace, and how far they are is said in words', () => {
  const events = [
    ...boot,
    event(6000, { kind: 'workspace_state', workspace_id: 'wsp_1', state: 'creating', detail: '' }),
    event(7000, { kind: 'boot_step', workspace_id: 'wsp_1', step: 'pull the image', duration_ms: 900 }),
    event(7100, { kind: 'boot_step', workspace_id: 'wsp_other', step: 'pull the image', duration_ms: 900 }),
  ];
  const progress = { workspace_id: 'wsp_1', step: 'clone the repository', detail: 'main', done_bytes: 3 * 1024 ** 2, total_bytes: 12 * 1024 ** 2 };
  const steps = timeline(workspace('creating'), node(0), events, T0 + 8000, progress);
  const creating = steps.find((step) => step.key === 'creating');
  expect(creating?.parts).toEqual([{ title: 'pull the image', durationMs: 900 }]);
  expect(creating?.progress).toEqual({ words: 'clone the repository · main · 3 MB of 12 MB', share: 0.25 });
  expect(steps.find((step) => step.key === 'booting')?.parts).toHaveLength(1);
  expect(howFar({ workspace_id: 'wsp_1', step: 'pull', done_bytes: 5 })).toEqual({ words: 'pull · 5 B', share: null });
});

test('a boot log is the boot and nothing that came after it', () => {
  const ready = event(6000, { kind: 'node_state', state: 'ready', detail: '' });
  const later = [
    event(6100, { kind: 'boot_step', step: 'clone it', workspace_id: 'wsp_1', duration_ms: 9 }),
    event(7000, { kind: 'notice', detail: 'Its link is back.' }),
    event(9000, { kind: 'node_state', state: 'destroying', detail: '' }),
  ];
  const kinds = (events: EventView[]) => bootLog(events).map((one) => ('state' in one ? one.state : one.kind));
  expect(kinds([...boot, ready, ...later])).toEqual(['provisioning', 'booting', 'boot_step', 'ready']);
  expect(kinds(boot), 'while it boots').toEqual(['provisioning', 'booting', 'boot_step']);
  const failed = event(6000, { kind: 'node_state', state: 'failed', detail: '' });
  expect(kinds([...boot, failed, ...later]), 'one that failed').toEqual(['provisioning', 'booting', 'boot_step', 'failed']);
});
