// How long to wait before trying again: doubling from a quarter of a second to fifteen, each time a random share of it,
// so that many pages that lost the same server do not come back at once.

const FIRST_MS = 250;
const MOST_MS = 15_000;

export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(ceiling * (0.5 + random() / 2));
}
