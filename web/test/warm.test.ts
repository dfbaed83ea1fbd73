import { expect, test } from 'vitest';
import type { SizeView, WarmPoolView } from '../src/lib/api/schema';
import { cheapestRegion, cheapestSize, priceIn } from '../src/lib/catalog';
import { costOf, standing } from '../src/lib/warm';

const pool = (minimum: number, warm: number, being_made: number): WarmPoolView => ({ minimum, warm, being_made });
const euros = (amount: string) => ({ amount, currency: 'EUR' });

test('what there is of what was asked for is said in words', () => {
  expect(standing(pool(0, 0, 0))).toMatch(/^None is kept\./);
  expect(standing(pool(2, 0, 1))).toBe('None of 2 is warm yet, 1 is being made.');
  expect(standing(pool(2, 1, 1))).toBe('1 of 2 is warm, 1 is being made.');
  expect(standing(pool(5, 3, 2))).toBe('3 of 5 are warm, 2 are being made.');
  expect(standing(pool(1, 1, 0))).toBe('1 of 1 is warm.');
});

test('the price is said before it is asked for, of one and of all', () => {
  expect(costOf(1, euros('0.0066'))).toBe('About €0.0066/h each, also while nobody works.');
  expect(costOf(3, euros('0.0066'))).toBe('About €0.0066/h each, also while nobody works: €0.0198/h together.');
  expect(costOf(0, undefined)).toContain('within the hour');
});

test('the cheapest is the cheapest of the region, or of all', () => {
  const size = (id: string, prices: Record<string, string>): SizeView => ({
    id,
    cpus: 2,
    memory_bytes: 1,
    disk_bytes: 1,
    architecture: 'x86_64',
    prices: Object.entries(prices).map(([region, amount]) => ({ region, per_hour: euros(amount) })),
  });
  const sizes = [size('large', { north: '0.02', south: '0.01' }), size('small', { north: '0.006', east: '0.007' })];
  expect(cheapestRegion(sizes, null)).toBe('north');
  expect(cheapestRegion(sizes, 'south')).toBe('south');
  expect(cheapestRegion(sizes, 'west')).toBeNull();
  expect(cheapestSize(sizes, 'north')?.id).toBe('small');
  expect(cheapestSize(sizes, 'south')?.id).toBe('large');
  expect(priceIn(sizes[0]!, 'east')).toBeUndefined();
});
