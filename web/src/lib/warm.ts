// Machines that are kept warm, in words. Pure.
import type { Money, WarmPoolView } from './api/schema';
import { perHour } from './format';

/** As many as one can ask for. */
export const MOST_WARM = 5;

/** What there is of what was asked for. */
export function standing({ minimum, warm, being_made }: WarmPoolView): string {
  if (!minimum) return 'None is kept. A new workspace waits until its machine is made, unless one that you left is still there.';
  const there = warm ? `${warm} of ${minimum} ${warm === 1 ? 'is' : 'are'} warm` : `None of ${minimum} is warm yet`;
  const coming = being_made ? `, ${being_made} ${being_made === 1 ? 'is' : 'are'} being made` : '';
  return `${there}${coming}.`;
}

/** What so many cost, before it is asked for. */
export function costOf(count: number, price: Money | undefined): string {
  if (!count || !price) return 'Those that are there go once their idle time is over, within the hour.';
  const each = `About ${perHour(price)} each, also while nobody works`;
  if (count === 1) return `${each}.`;
  return `${each}: ${perHour({ amount: String(Number(price.amount) * count), currency: price.currency })} together.`;
}
