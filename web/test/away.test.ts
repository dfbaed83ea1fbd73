import { expect, test } from 'vitest';
import type { NodeView, ProviderView } from '../src/lib/api/schema';
import { away } from '../src/lib/away';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const node = (secs: number, more: Partial<NodeView> = {}) =>
  ({ state: 'ready', health: 'disconnected', away_since_at: new Date(NOW - 1000 * secs).toISOString(), ...more }) as NodeView;
const provider = (poweroff_ends_billing: boolean) => ({ kind: 'hetzner', name: 'Hetzner Cloud', poweroff_ends_billing }) as ProviderView;

test('a machine whose agent is away says since when, and that it costs', () => {
  const said = away(node(3 * 3600), provider(false), NOW);
  expect(said?.title).toMatch(/^Its agent has been away since \d\d:\d\d \(3 h\)$/);
  expect(said?.detail).toBe(
    'The machine may be off, or may only not reach Ringfence. Hetzner Cloud bills it until it is deleted, also while it is off.',
  );
  expect(away(node(100), undefined, NOW)?.detail).toContain('The cloud bills it until it is deleted');
  expect(away(node(100), provider(true), NOW)?.detail).toContain('If it is off, Hetzner Cloud bills nothing for it.');
});

test('nothing is said of a machine whose agent is there, was a moment ago, or that ends', () => {
  expect(away(node(59), provider(false), NOW)).toBeNull();
  expect(away(node(100, { health: 'connected', away_since_at: null }), provider(false), NOW)).toBeNull();
  expect(away(node(100, { state: 'destroying' }), provider(false), NOW)).toBeNull();
  expect(away(undefined, provider(false), NOW)).toBeNull();
});
