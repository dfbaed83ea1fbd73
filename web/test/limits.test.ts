import { describe, expect, it } from 'vitest';
import type { LimitView } from '../src/lib/api/schema';
import { amounts, percentOf, shareOf, texts, threshold, wrongAmount } from '../src/lib/limits';

const item = (usage: string, limit?: string): LimitView => ({ scope: 'user', measure: 'cost_per_month', usage, limit });

describe('limits', () => {
  it('come back as they were set, and what is empty is not set', () => {
    const set = { nodes: 3, cost_per_month: '20.50' };
    expect(JSON.parse(JSON.stringify(amounts(texts(set))))).toEqual(set);
    expect(JSON.parse(JSON.stringify(amounts(texts({ nodes: null }))))).toEqual({});
    expect(amounts({ ...texts({}), nodes: ' 0 ' }).nodes).toBe(0);
  });

  it('are refused before they are sent when they are no amounts', () => {
    for (const text of ['', '0', '12', ' 7 ']) expect(wrongAmount(text, false)).toBeUndefined();
    for (const text of ['-1', '1.5', 'x', '1e3', '99999999999']) expect(wrongAmount(text, false)).toBeDefined();
    for (const text of ['', '0.5', '20', '0.000001']) expect(wrongAmount(text, true)).toBeUndefined();
    for (const text of ['-1', '.5', '1.', '1,50', '0.0000001']) expect(wrongAmount(text, true)).toBeDefined();
  });

  it('say how much of them is used', () => {
    expect(percentOf(item('5', '20'))).toBe(25);
    expect(percentOf(item('30', '20'))).toBe(100);
    expect(percentOf(item('0', '0'))).toBe(100);
    expect(percentOf(item('5'))).toBe(0);
    expect([item('9', '20'), item('10', '20'), item('16', '20'), item('20', '20'), item('9')].map(threshold)).toEqual([0, 50, 80, 100, 0]);
  });

  it('say how much of a quota is used', () => {
    const share = (estimate: number, limit: number) => shareOf({ quota: 'requests', estimate, limit });
    expect([share(0, 100), share(25, 100), share(500, 100)]).toEqual([0, 25, 100]);
  });
});
