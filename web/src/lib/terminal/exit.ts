// How a shell ended, in words: what its exit code or signal is known to mean. Pure.

/** What ended it, as a clause: “it was …”. */
const SIGNALS: Record<number, [name: string, means: string]> = {
  1: ['SIGHUP', 'its terminal was closed'],
  2: ['SIGINT', 'it was interrupted with Ctrl+C'],
  3: ['SIGQUIT', 'it was told to quit'],
  4: ['SIGILL', 'it crashed on an instruction that this processor lacks'],
  6: ['SIGABRT', 'it gave up by itself'],
  7: ['SIGBUS', 'it crashed, perhaps because the disk is full'],
  8: ['SIGFPE', 'it crashed in a calculation'],
  9: ['SIGKILL', 'it was killed, or the workspace was out of memory'],
  11: ['SIGSEGV', 'it crashed: it used memory that is not its own'],
  13: ['SIGPIPE', 'nobody read what it wrote any more'],
  15: ['SIGTERM', 'it was asked to end'],
  24: ['SIGXCPU', 'it used more processor time than it may'],
  25: ['SIGXFSZ', 'it wrote a larger file than it may'],
  31: ['SIGSYS', 'it made a system call that a workspace may not make'],
};

const CODES: Record<number, string> = {
  126: 'the last command was found, and could not be run',
  127: 'the last command was not found',
};

/** A sentence for the end of a shell. */
export function exitWords(how: 'code' | 'signal', value: number): string {
  if (how === 'signal') {
    const [name, means] = SIGNALS[value] ?? [`signal ${value}`, null];
    return `The shell was ended by ${name}${means ? `: ${means}` : ''}.`;
  }
  if (value === 0) return 'The shell has ended.';
  // A shell tells with 128 and more that a signal ended what ran in it last.
  const [name, means] = SIGNALS[value - 128] ?? [null, CODES[value]];
  return `The shell ended with exit code ${value}${means ? `: ${means}${name ? ` (${name})` : ''}` : ''}.`;
}
