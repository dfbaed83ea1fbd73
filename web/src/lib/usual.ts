// How long steps took the last times in this browser, so that a wait can be told with what is usual. Measured, never guessed.
import type { Step } from './timeline';

const KEY = 'ringfence.usual';
const KEPT = 9;
type Times = Record<string, number[]>;

/** What a step is compared with: its own kind, on the same machines. */
export const usualKey = (step: Step, place: string): string => `${step.key} ${place}`;

/** The middle of the last times; null before there are two. */
export function usualMs(key: string, times: Times = read()): number | null {
  const known = times[key] ?? [];
  return known.length < 2 ? null : (known.toSorted((a, b) => a - b)[Math.floor(known.length / 2)] ?? null);
}

/** Keeps the times of a way that has ended well. */
export function remember(steps: Step[], place: string): void {
  const times = read();
  for (const step of steps) {
    if (step.status !== 'done' || step.durationMs === null) continue;
    const key = usualKey(step, place);
    times[key] = [...(times[key] ?? []), Math.round(step.durationMs)].slice(-KEPT);
  }
  try {
    localStorage.setItem(KEY, JSON.stringify(times));
  } catch {
    // Without storage nothing is usual.
  }
}

function read(): Times {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}') as Times;
  } catch {
    return {};
  }
}
