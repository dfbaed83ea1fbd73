// The sentences of a life: why until when, what next, at the latest when.
import type { LifecycleView, SweepActionKind } from './api/schema';
import { instant, relative } from './format';
import { stateWord } from './words';

/** "Alive because …, until 14:32." or how it ended and how long that can be read. */
export function aliveSentence(life: LifecycleView, now: number): string {
  if (!life.alive) {
    const until = life.readable_until_at ? ` This can be read until ${instant(life.readable_until_at, now)}.` : '';
    return `Ended. ${life.reason}${until}`;
  }
  const because = life.alive.because.replace(/\.$/, '');
  const until = life.alive.until_at ? `, until ${instant(life.alive.until_at, now)}` : '';
  return `Alive ${because}${until}.`;
}

/** "Then: Stopped at 14:32 (in 20 min). Why." Nothing where only an event ends it. */
export function nextSentence(life: LifecycleView, now: number): string | null {
  if (!life.next) return null;
  const word = stateWord(life.next.state as Parameters<typeof stateWord>[0]);
  return `Next: ${word} at ${instant(life.next.at, now)} (${relative(life.next.at, now)}). ${life.next.cause}`;
}

/** "Ends at the latest on …" Nothing where that is what comes next, or where it has ended. */
export function limitSentence(life: LifecycleView, now: number): string | null {
  if (!life.hard_limit_at || life.hard_limit_at === life.next?.at) return null;
  return `Ends at ${instant(life.hard_limit_at, now)} at the latest, whatever happens.`;
}

/** What a sweep does with one thing, for people; `done` tells whether it has. */
export function actionWord(action: SweepActionKind, done: boolean): string {
  const words: Record<SweepActionKind, [did: string, would: string]> = {
    wake_node: ['Woke', 'Would wake'],
    delete_machine: ['Deleted the machine', 'Would delete the machine'],
    leave_machine: ['Left the machine', 'Left the machine'],
    list_machines: ['Listed', 'Could not list'],
    make_node: ['Made anew', 'Would make anew'],
    end_node: ['Ended', 'Would end'],
    prune: ['Deleted old', 'Would delete old'],
  };
  return words[action][done ? 0 : 1];
}
