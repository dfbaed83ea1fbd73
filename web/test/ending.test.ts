import { expect, test } from 'vitest';
import type { EventView, WorkspaceView } from '../src/lib/api/schema';
import { askedPatience, lastSave, lifetimes, standing, titlePrefix, warning } from '../src/lib/ending';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const after = (secs: number) => new Date(NOW + 1000 * secs).toISOString();

function workspace(ending: WorkspaceView['ending'], more: Partial<WorkspaceView> = {}): WorkspaceView {
  return { state: 'running', idle_timeout_secs: 1800, stop_keep_secs: 86_400, ending, ...more } as WorkspaceView;
}

test('a page warns as early as the control plane does, and not before', () => {
  const idle = (secs: number, more = {}) => warning(workspace({ at: after(secs), cause: 'idle', detail: '' }, more), NOW);
  expect(idle(601)).toBeNull();
  expect(idle(600)).toMatchObject({ title: 'Stops in 10 min', mayKeep: true });
  expect(idle(41, { idle_timeout_secs: 160 })).toBeNull();
  expect(idle(40, { idle_timeout_secs: 160 })?.title).toBe('Stops in 40 s');
  expect(idle(-3)?.title).toBe('Stops now');
  expect(warning(workspace(null), NOW)).toBeNull();
});

test('the last warning is told from the first, where there are two', () => {
  const last = (secs: number, idle: number) =>
    warning(workspace({ at: after(secs), cause: 'idle', detail: '' }, { idle_timeout_secs: idle }), NOW)?.last;
  expect([600, 121, 120, 5].map((secs) => last(secs, 900))).toEqual([false, false, true, true]);
  expect([100, 75, 5].map((secs) => last(secs, 300))).toEqual([undefined, true, true]);
});

test('a save is told of until it runs again', () => {
  const event = (id: number, kind: string, more: object) => ({ id, kind, workspace_id: 'wsp_a', ...more }) as unknown as EventView;
  const saved = event(2, 'saved', { outcome: 'saved', detail: 'all of it' });
  const running = event(3, 'workspace_state', { state: 'running' });
  const stopped = event(4, 'workspace_state', { state: 'stopped' });
  expect(lastSave([saved, stopped], 'wsp_a')).toBe(saved);
  expect(lastSave([saved, running, stopped], 'wsp_a')).toBeNull();
  expect(lastSave([saved], 'wsp_b')).toBeNull();
});

test('an end that nothing puts off offers no way to', () => {
  const last = warning(workspace({ at: after(90), cause: 'lifetime_over', detail: 'Its node ends.' }), NOW);
  expect(last).toMatchObject({ mayKeep: false, detail: 'Its node ends.' });
  expect(titlePrefix(last)).toBe('(2 min) ');
  const prefix = (secs: number) => titlePrefix(warning(workspace({ at: after(secs), cause: 'keep_over', detail: '' }), NOW));
  expect([61, 60, 59, 1, 0, -9].map(prefix)).toEqual(['(2 min) ', '(1 min) ', '(under 1 min) ', '(under 1 min) ', '(ends now) ', '(ends now) ']);
  expect(titlePrefix(null)).toBe('');
});

test('it is said why a workspace is there and until when', () => {
  const ending = { at: after(1500), cause: 'idle' as const, detail: '' };
  const activity = { cause: 'terminal_input' as const, until_at: after(-300) };
  const words = standing(workspace(ending, { activity, keep_alive_until_at: after(-1) }), NOW);
  expect(words).toMatch(/^Last used 5 min ago: somebody typed\. Stops at \d\d:\d\d unless it is used\.$/);
  expect(standing(workspace(ending, { keep_alive_until_at: after(1500) }), NOW)).toMatch(/^You keep it until /);
});

test('an end that is not known is not counted down to, and one that is long past is called late', () => {
  expect(warning(workspace({ at: after(-299), cause: 'idle', detail: '' }), NOW)?.title).toBe('Stops now');
  expect(warning(workspace({ at: after(-301), cause: 'idle', detail: '' }), NOW)).toBeNull();
  expect(standing(workspace({ at: after(-3600), cause: 'idle', detail: '' }), NOW)).toMatch(/^Its end was due at \d\d:\d\d and is late\.$/);
  expect(standing(workspace(null), NOW)).toBe('When it ends by itself is not known for the moment.');
  expect(standing(workspace({ at: after(60), cause: 'agent_away', detail: '' }), NOW)).toContain('unless its node’s agent comes back');
  expect(warning(workspace({ at: after(0), cause: 'agent_away', detail: '' }), NOW)?.mayKeep).toBe(false);
});

test('what is typed is asked in seconds within the ceilings', () => {
  const limits = { idle_timeout_secs: 1800, idle_timeout_secs_max: 86_400, stop_keep_secs: 86_400, stop_keep_secs_max: 604_800 };
  expect(askedPatience({ idle: '', keep: '' }, limits)).toEqual({ asked: {}, wrong: {} });
  expect(askedPatience({ idle: '90', keep: '1,5' }, limits).asked).toEqual({ idle_timeout_secs: 5400, stop_keep_secs: 5400 });
  expect(askedPatience({ idle: '1441', keep: 'x' }, limits).wrong).toEqual({ idle: 'At most 1440 minutes.', keep: 'A number of hours.' });
});

test('an ephemeral workspace may live for what the installation says, and for others below its most', () => {
  expect(lifetimes({ max_duration_secs: 3600, max_duration_secs_max: 86_400 })).toEqual([900, 1800, 3600, 7200, 14_400, 28_800, 86_400]);
  expect(lifetimes({ max_duration_secs: 1200, max_duration_secs_max: 1800 })).toEqual([900, 1200, 1800]);
});
