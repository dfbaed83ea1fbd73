// When and why a workspace ends by itself, in words; when a page warns of it. Pure. The times of warnings are the control
// plane's (src/domain/workspace/ending.rs): the page only counts down between what it is told.
import type { ActivityCause, EndingCause, EventView, PatienceLimitsView, WorkspaceView } from './api/schema';
import { elapsed, instant, relative } from './format';

const MINUTE = 60_000;
const FIRST_LEAD = 10 * MINUTE;
const LAST_LEAD = 2 * MINUTE;

export const USED: Record<ActivityCause, string> = {
  started: 'it was started',
  terminal_input: 'somebody typed',
  terminal_output: 'its terminal was looked at while it showed something',
  process: 'a process works in it',
  assistant: 'its assistant is at its turn',
  keep_awake: 'something in it asked to be kept awake',
};

const WHAT: Record<EndingCause, string> = {
  idle: 'Stops',
  keep_over: 'Is deleted, with its files,',
  lifetime_over: 'Is destroyed with its node',
  agent_away: 'Counts as stopped',
};

/** What may be chosen as the longest life of an ephemeral workspace, in seconds: what the installation says, and others below its most. */
export function lifetimes(limits: Pick<PatienceLimitsView, 'max_duration_secs' | 'max_duration_secs_max'>): number[] {
  const some = [900, 1800, 3600, 7200, 14_400, 28_800, 86_400].filter((secs) => secs <= limits.max_duration_secs_max);
  return [...new Set([...some, limits.max_duration_secs])].sort((a, b) => a - b);
}

/** An end that is later than that did not come: its node's agent is away, or what would bring it is late. Nobody counts down to it. */
const LATE_MS = 5 * MINUTE;

/** How long before the end a page warns, and warns for the last time: when the control plane does. One and the same where it waits shortly. */
function leads(workspace: WorkspaceView, cause: EndingCause): { first: number; last: number } {
  const waits = { idle: workspace.idle_timeout_secs, keep_over: workspace.stop_keep_secs, lifetime_over: 600, agent_away: 0 };
  const millis = 1000 * waits[cause];
  const last = Math.min(LAST_LEAD, millis / 4);
  return { first: millis >= FIRST_LEAD ? FIRST_LEAD : last, last };
}

export interface Warning {
  /** Names this end: another end is another warning. */
  key: string;
  /** Whether it is the last one before the end. */
  last: boolean;
  cause: EndingCause;
  leftMs: number;
  title: string;
  detail: string;
  /** Whether keeping it puts the end off. */
  mayKeep: boolean;
}

/** What to warn of now; null when nothing ends soon. */
export function warning(workspace: WorkspaceView, now: number): Warning | null {
  const { ending } = workspace;
  if (!ending) return null;
  const leftMs = Date.parse(ending.at) - now;
  const { first, last } = leads(workspace, ending.cause);
  if (leftMs > first || leftMs < -LATE_MS) return null;
  const when = leftMs > 0 ? `in ${elapsed(leftMs)}` : 'now';
  return {
    key: `${ending.cause} ${ending.at}`,
    last: leftMs <= last,
    cause: ending.cause,
    leftMs,
    title: `${WHAT[ending.cause]} ${when}`,
    detail: ending.detail,
    mayKeep: ending.cause === 'idle' || ending.cause === 'keep_over',
  };
}

const UNLESS: Record<EndingCause, string> = {
  idle: ' unless it is used',
  keep_over: ' unless you start or keep it',
  lifetime_over: ', whatever happens',
  agent_away: ' unless its node’s agent comes back',
};

/** Why it is there, until when, and what happens then. */
export function standing(workspace: WorkspaceView, now: number): string {
  const { activity, ending, keep_alive_until_at: kept } = workspace;
  const because: string[] = [];
  if (workspace.state === 'running' && activity)
    because.push(`Last used ${relative(activity.until_at, now)}: ${USED[activity.cause] ?? activity.cause}.`);
  if (kept && Date.parse(kept) > now) because.push(`You keep it until ${instant(kept, now)}.`);
  if (ending && Date.parse(ending.at) < now - LATE_MS) because.push(`Its end was due ${stripped(instant(ending.at, now))} and is late.`);
  else if (ending) because.push(`${WHAT[ending.cause]} ${stripped(instant(ending.at, now))}${UNLESS[ending.cause]}.`);
  else if (workspace.state === 'running') because.push('When it ends by itself is not known for the moment.');
  return because.join(' ');
}

const stripped = (when: string): string => (/^\d/.test(when) ? `at ${when}` : when);

/** What stands before a page's title while something ends. */
export function titlePrefix(warning: Warning | null): string {
  if (!warning) return '';
  if (warning.leftMs <= 0) return '(ends now) ';
  return warning.leftMs < MINUTE ? '(under 1 min) ' : `(${Math.ceil(warning.leftMs / MINUTE)} min) `;
}

type Saved = Extract<EventView, { kind: 'saved' }>;

/** How the save step before its latest end went; none where there was none. */
export function lastSave(events: EventView[], workspaceId: string): Saved | null {
  let saved: Saved | null = null;
  for (const event of events) {
    if (event.workspace_id !== workspaceId) continue;
    if (event.kind === 'saved') saved = event;
    // What was saved before it ran again is another story.
    else if (event.kind === 'workspace_state' && event.state === 'running') saved = null;
  }
  return saved;
}

export interface PatienceForm {
  /** Minutes, as typed. */
  idle: string;
  /** Hours, as typed. */
  keep: string;
}

export const emptyPatience = (): PatienceForm => ({ idle: '', keep: '' });

export interface PatienceLimits {
  idle_timeout_secs: number;
  idle_timeout_secs_max: number;
  stop_keep_secs: number;
  stop_keep_secs_max: number;
}

const FIELDS = [
  { field: 'idle', unit: 60, max: 'idle_timeout_secs_max', asks: 'idle_timeout_secs', word: 'minutes' },
  { field: 'keep', unit: 3600, max: 'stop_keep_secs_max', asks: 'stop_keep_secs', word: 'hours' },
] as const;

/** What is asked, and what is wrong with it. Empty fields ask nothing. */
export function askedPatience(form: PatienceForm, limits: PatienceLimits) {
  const asked: { idle_timeout_secs?: number; stop_keep_secs?: number } = {};
  const wrong: Partial<Record<keyof PatienceForm, string>> = {};
  for (const { field, unit, max, asks, word } of FIELDS) {
    const text = form[field].trim();
    if (!text) continue;
    const secs = Math.round(Number(text.replace(',', '.')) * unit);
    if (!Number.isFinite(secs) || secs < 5) wrong[field] = `A number of ${word}.`;
    else if (secs > limits[max]) wrong[field] = `At most ${limits[max] / unit} ${word}.`;
    else asked[asks] = secs;
  }
  return { asked, wrong };
}
