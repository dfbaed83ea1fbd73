// Plain words for the API's words.
import type { EngineKind, Isolation, NodeHealth, NodePolicy, NodeState, ProviderKind, ProviderView, SaveOutcome, WorkspaceState } from './api/schema';
import { duration } from './format';

export type Tone = 'good' | 'busy' | 'idle' | 'bad' | 'warn';
type AnyState = NodeState | WorkspaceState;

const STATES: Record<AnyState, { word: string; tone: Tone }> = {
  requested: { word: 'Requested', tone: 'busy' },
  placing: { word: 'Starting', tone: 'busy' },
  creating: { word: 'Creating', tone: 'busy' },
  running: { word: 'Running', tone: 'good' },
  stopped: { word: 'Stopped', tone: 'idle' },
  deleting: { word: 'Deleting', tone: 'busy' },
  gone: { word: 'Gone', tone: 'idle' },
  failed: { word: 'Failed', tone: 'bad' },
  provisioning: { word: 'Provisioning', tone: 'busy' },
  booting: { word: 'Booting', tone: 'busy' },
  ready: { word: 'Ready', tone: 'good' },
  destroying: { word: 'Destroying', tone: 'busy' },
  quarantined: { word: 'Quarantined', tone: 'bad' },
};

export const stateWord = (state: AnyState): string => STATES[state]?.word ?? state;
export const stateTone = (state: AnyState): Tone => STATES[state]?.tone ?? 'idle';
/** Whether a state ends soon by itself, so that it is worth asking often. */
export const inTransition = (state: AnyState): boolean => stateTone(state) === 'busy';

export const ISOLATION: Record<Isolation, { word: string; explained: string }> = {
  user: { word: 'Yours', explained: 'A machine of your own. Up to three of your workspaces share it; nobody else’s ever do.' },
  ephemeral: {
    word: 'Ephemeral',
    explained: 'A fresh machine for this workspace alone, destroyed with it, at the latest when its time is over. Nobody else sees it.',
  },
  dedicated: {
    word: 'Dedicated',
    explained: 'One long-lived machine of your own for up to three workspaces. It is kept, and billed, until you destroy it.',
  },
};

export const POLICY: Record<NodePolicy, string> = {
  schedulable: 'Takes new workspaces',
  cordoned: 'Cordoned: no new workspaces',
  draining: 'Draining: destroyed when its last workspace is gone',
};

export const HEALTH: Record<NodeHealth, string> = {
  unknown: 'Its agent has not reported yet',
  connected: 'Its agent is connected',
  disconnected: 'Its agent is not connected',
};

export const SAVED: Record<SaveOutcome, string> = {
  saved: 'Its save hook has run',
  failed: 'Its save hook has failed',
  timed_out: 'Its save hook took too long and was ended',
};

export const ENGINE: Record<EngineKind, string> = { podman: 'Podman', docker: 'Docker', unconfined: 'None' };

const PROVIDERS: Record<ProviderKind, string> = { hetzner: 'Hetzner Cloud' };
/** What a provider bills more than is counted here; nothing where it bills by the second. */
export function billsWhole(provider: Pick<ProviderView, 'name' | 'billing_period_secs'> | undefined): string {
  const secs = provider?.billing_period_secs;
  if (!provider || !secs || secs <= 1) return '';
  return `Counted by the second; ${provider.name} bills every started ${secs === 3600 ? 'hour' : duration(secs * 1000)} in full.`;
}

export const providerName = (kind: ProviderKind): string => PROVIDERS[kind] ?? kind;
