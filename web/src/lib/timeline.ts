// The way of a workspace from the request to its prompt, made from events: what was done, how long it took, what is
// under way. Pure: the same events and the same now give the same steps.
import type { EventView, NodeState, NodeView, Progress, WorkspaceView } from './api/schema';
import { bytes } from './format';
import { providerName } from './words';

export interface Step {
  key: string;
  title: string;
  status: 'done' | 'active' | 'failed' | 'waiting';
  startedAt: number | null;
  /** Null while it is not known. */
  durationMs: number | null;
  detail?: string;
  parts: Part[];
  /** How far the step is, while somebody says so. */
  progress?: { words: string; share: number | null };
}

/** One thing the machine did within a step. */
export interface Part {
  title: string;
  durationMs: number;
  error?: string;
}

/** The phases in their order, each with the event that starts it. The end of one is the start of the next. */
interface Phase {
  key: string;
  title: string;
  begins: (event: EventView) => boolean;
}

const nodeIs = (state: NodeState) => (event: EventView) => event.kind === 'node_state' && event.state === state;

export function timeline(
  workspace: WorkspaceView,
  node: NodeView | null,
  events: EventView[],
  now: number,
  progress: Progress | null = null,
): Step[] {
  const mine = events.filter((event) => !event.workspace_id || event.workspace_id === workspace.id);
  // A workspace on a node that was there before it has no boot to show.
  const bornWith = node ? Date.parse(node.created_at) >= Date.parse(workspace.created_at) - 5_000 : true;
  const cloud = providerName(workspace.node.provider);
  const phases: Phase[] = [
    { key: 'requested', title: 'Accepted', begins: (event) => event.kind === 'workspace_state' && event.state === 'requested' },
    ...(bornWith
      ? [
          { key: 'provisioning', title: `${cloud} makes a ${workspace.node.size} in ${workspace.node.region}`, begins: nodeIs('provisioning') },
          { key: 'booting', title: 'The machine boots and its agent calls in', begins: nodeIs('booting') },
        ]
      : []),
    {
      key: 'creating',
      title: bornWith ? 'The agent makes the workspace' : 'The agent makes the workspace on a node you have',
      begins: (event) => event.kind === 'workspace_state' && event.state === 'creating',
    },
    { key: 'running', title: 'Running', begins: (event) => event.kind === 'workspace_state' && event.state === 'running' },
  ];

  const created = Date.parse(workspace.created_at);
  const starts = phases.map((phase) => {
    const begin = mine.find(phase.begins);
    return phase.key === 'requested' ? created : begin ? Date.parse(begin.at) : null;
  });
  const reached = starts.findLastIndex((start) => start !== null);
  const failedAt = workspace.state === 'failed' ? Date.parse(workspace.state_since_at) : null;
  const arrived = phases[reached]?.key === 'running';

  return phases.map((phase, index): Step => {
    const startedAt = starts[index] ?? null;
    const next = starts.slice(index + 1).find((start) => start !== null) ?? null;
    const step = { key: phase.key, title: phase.title, startedAt, parts: parts(phase.key, mine) };
    if (index > reached) return { ...step, status: 'waiting', durationMs: null };
    if (index < reached) return { ...step, status: 'done', durationMs: startedAt !== null && next !== null ? Math.max(0, next - startedAt) : null };
    if (arrived) return { ...step, status: 'done', durationMs: null };
    const spent = startedAt === null ? null : (failedAt ?? now) - startedAt;
    if (failedAt !== null) return { ...step, status: 'failed', durationMs: spent, detail: workspace.reason };
    const far = phase.key === 'creating' && progress ? { progress: howFar(progress) } : {};
    return { ...step, status: 'active', durationMs: spent, detail: notice(mine, startedAt), ...far };
  });
}

/** What the machine did while it booted, and what its agent did to make the workspace. */
function parts(phase: string, events: EventView[]): Part[] {
  return events.flatMap((event) => {
    if (event.kind !== 'boot_step' || phase !== (event.workspace_id ? 'creating' : 'booting')) return [];
    return [{ title: event.step, durationMs: event.duration_ms, ...(event.error ? { error: event.error } : {}) }];
  });
}

/** A node's boot and nothing else: its states and steps from the request until it takes workspaces, or never will. */
export function bootLog(events: EventView[]): EventView[] {
  const own = events.filter((event) => !event.workspace_id && event.kind !== 'ending_soon' && event.kind !== 'saved');
  const end = own.findIndex((event) => event.kind === 'node_state' && !['requested', 'provisioning', 'booting'].includes(event.state));
  return end < 0 ? own : own.slice(0, end + 1);
}

/** A step's progress in words, and as a share where that is known. */
export function howFar({ step, detail, done_bytes, total_bytes }: Progress): { words: string; share: number | null } {
  const known = typeof done_bytes === 'number' && typeof total_bytes === 'number' && total_bytes > 0;
  const amount = known ? `${bytes(done_bytes)} of ${bytes(total_bytes)}` : typeof done_bytes === 'number' ? bytes(done_bytes) : null;
  const words = [step, ...[detail, amount].filter((part): part is string => !!part)].join(' · ');
  return { words, share: known ? Math.min(1, done_bytes / total_bytes) : null };
}

/** What a person should know of the step under way: the newest notice since it began. */
function notice(events: EventView[], since: number | null): string | undefined {
  const last = events.findLast((event) => event.kind === 'notice' && Date.parse(event.at) >= (since ?? 0));
  return last?.kind === 'notice' ? last.detail : undefined;
}

/** From the request to the prompt; null while it is not there yet. */
export function totalMs(workspace: WorkspaceView, events: EventView[]): number | null {
  const running = events.find((event) => event.kind === 'workspace_state' && event.workspace_id === workspace.id && event.state === 'running');
  return running ? Date.parse(running.at) - Date.parse(workspace.created_at) : null;
}
