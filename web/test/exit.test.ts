import { expect, test } from 'vitest';
import { exitWords } from '../src/lib/terminal/exit';

test('how a shell ended is said in words', () => {
  expect([0, 1, 126, 127, 130, 137, 139, 143, 200].map((code) => exitWords('code', code))).toEqual([
    'The shell has ended.',
    'The shell ended with exit code 1.',
    'The shell ended with exit code 126: the last command was found, and could not be run.',
    'The shell ended with exit code 127: the last command was not found.',
    'The shell ended with exit code 130: it was interrupted with Ctrl+C (SIGINT).',
    'The shell ended with exit code 137: it was killed, or the workspace was out of memory (SIGKILL).',
    'The shell ended with exit code 139: it crashed: it used memory that is not its own (SIGSEGV).',
    'The shell ended with exit code 143: it was asked to end (SIGTERM).',
    'The shell ended with exit code 200.',
  ]);
  expect([9, 15, 64].map((signal) => exitWords('signal', signal))).toEqual([
    'The shell was ended by SIGKILL: it was killed, or the workspace was out of memory.',
    'The shell was ended by SIGTERM: it was asked to end.',
    'The shell was ended by signal 64.',
  ]);
});
