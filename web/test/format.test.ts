import { expect, test } from 'vitest';
import { bytes, duration, elapsed, money, relative } from '../src/lib/format';

test('amounts have as many digits as it takes to see a difference', () => {
  const eur = (amount: string) => money({ amount, currency: 'EUR' });
  expect([eur('0.0066'), eur('0.02'), eur('12.5'), eur('0.00')]).toEqual(['€0.0066', '€0.02', '€12.50', '€0.00']);
  expect(money({ amount: '1.00', currency: 'not a currency' })).toBe('1.00 not a currency');
});

test('times are said as people say them', () => {
  expect([62, 1400, 12_300, 125_000, 3_600_000, 190_000_000].map(duration)).toEqual(['62 ms', '1.4 s', '12 s', '2 min 5 s', '1 h', '2 d 4 h']);
  expect([-5, 900, 9_900].map(elapsed)).toEqual(['0 s', '0 s', '9 s']);
  expect([relative(0, 1000), relative(0, 3_600_000), relative(90_000, 0)]).toEqual(['just now', '1 h ago', 'in 1 min']);
});

test('sizes are counted as clouds count them', () => {
  expect([512, 4 * 1024 ** 3, 40 * 1024 ** 3, 1.5 * 1024 ** 4].map(bytes)).toEqual(['512 B', '4 GB', '40 GB', '1.5 TB']);
});
