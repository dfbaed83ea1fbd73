import { describe, expect, it } from 'vitest';
import type { LimitView } from '../src/lib/api/schema';
import { alerts, amounts, percentOf, shareOf, texts, threshold, wrongAmount } from '../src/lib/limits';

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

describe('what every page says of budgets', () => {
  const NOW = Date.parse('2026-11-28T12:00:00Z');
  const keys = (items: LimitView[], now = NOW) => alerts(items, now).map((alert) => alert.key);
  const of = (scope: LimitView['scope'], measure: LimitView['measure'], usage: string, limit?: string): LimitView => ({
    scope,
    measure,
    usage,
    limit,
  });

  it('is of money, from four fifths on', () => {
    const nothing = [of('user', 'cost_per_month', '15.99', '20'), of('user', 'nodes', '4', '4'), of('user', 'cost_per_hour', '9')];
    expect(keys(nothing)).toEqual([]);
    const [near, spent, hour] = alerts(
      [
        of('user', 'cost_per_month', '16.00', '20.00'),
        of('installation', 'cost_per_month', '20.14', '20.00'),
        of('tenant', 'cost_per_hour', '0.50', '0.50'),
      ],
      NOW,
    );
    expect(near?.words).toBe('Your budget for this month: 80 % used, 16.00 of 20.00. At 100 % nothing more can be created, and machines end.');
    expect(spent?.words).toBe('This installation’s budget for this month is spent: 20.14 of 20.00. Nothing more can be created, and machines end.');
    expect(hour?.words).toBe('Your tenant’s machines’ cost of an hour is at its limit: 0.50 of 0.50. Nothing more can be created.');
    expect([near?.full, spent?.full]).toEqual([false, true]);
  });

  it('is another alert once it changes', () => {
    const [key] = keys([of('user', 'cost_per_month', '17', '20')]);
    expect(keys([of('user', 'cost_per_month', '19', '20')])).toEqual([key]);
    expect(keys([of('user', 'cost_per_month', '20', '20')])).not.toEqual([key]);
    expect(keys([of('user', 'cost_per_month', '17', '21')])).not.toEqual([key]);
    expect(keys([of('user', 'cost_per_month', '17', '20')], NOW + 5 * 86_400_000)).not.toEqual([key]);
  });
});
