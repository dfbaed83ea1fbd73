import { expect, test } from 'vitest';
import { usualMs } from '../src/lib/usual';

test('nothing is usual before it happened twice, then the middle is', () => {
  expect(usualMs('booting', {})).toBeNull();
  expect(usualMs('booting', { booting: [9000] })).toBeNull();
  expect(usualMs('booting', { booting: [9000, 90_000, 8000] })).toBe(9000);
});
