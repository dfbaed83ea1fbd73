// What a cloud offers, and the cheapest of it: by price, as the control plane chooses too. Pure.
import type { Money, SizeView } from './api/schema';

/** What a machine costs in a region; nothing where it is not offered there. */
export const priceIn = (size: SizeView, region: string | null): Money | undefined => size.prices.find((entry) => entry.region === region)?.per_hour;

/** The cheapest of these machines in a region. */
export function cheapestSize(sizes: SizeView[], region: string | null): SizeView | undefined {
  const amount = (size: SizeView) => Number(priceIn(size, region)?.amount ?? Infinity);
  return sizes.toSorted((a, b) => amount(a) - amount(b))[0];
}

/** Where the cheapest of these machines stands, in the region chosen or anywhere. */
export function cheapestRegion(sizes: SizeView[], region: string | null): string | null {
  const all = sizes.flatMap((size) => size.prices).filter((entry) => !region || entry.region === region);
  return all.toSorted((a, b) => Number(a.per_hour.amount) - Number(b.per_hour.amount))[0]?.region ?? null;
}
