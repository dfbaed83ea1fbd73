// How amounts, instants and sizes are written. Amounts arrive as decimal strings and are only ever displayed.
import type { Money } from './api/schema';

/** `€0.0066`: as many digits as it takes to see a difference, two at least. */
export function money({ amount, currency }: Money): string {
  const value = Number(amount);
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 4 : 2;
  try {
    return new Intl.NumberFormat('en', {
      style: 'currency',
      currency,
      currencyDisplay: 'narrowSymbol',
      minimumFractionDigits: 2,
      maximumFractionDigits: digits,
    }).format(value);
  } catch {
    return `${amount} ${currency}`;
  }
}

export const perHour = (price: Money): string => `${money(price)}/h`;

/** `62 ms`, `1.4 s`, `12 s`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`. */
export function duration(millis: number): string {
  const seconds = Math.max(0, millis) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return rounded(Math.round(seconds));
}

/** The same in whole seconds, for what is still running. */
export function elapsed(millis: number): string {
  return rounded(Math.max(0, Math.floor(millis / 1000)));
}

function rounded(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 10 && seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 7 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** `14:32` today, `14 Nov 14:32` on another day. */
export function instant(at: string | number, now = Date.now()): string {
  const date = new Date(at);
  const time = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  if (date.toDateString() === new Date(now).toDateString()) return time;
  const sameYear = date.getFullYear() === new Date(now).getFullYear();
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', ...(sameYear ? {} : { year: 'numeric' }) })} ${time}`;
}

/** `just now`, `5 min ago`, `in 2 h`. */
export function relative(at: string | number, now: number): string {
  const away = new Date(at).getTime() - now;
  if (Math.abs(away) < 5000) return 'just now';
  return away < 0 ? `${coarse(-away)} ago` : `in ${coarse(away)}`;
}

function coarse(millis: number): string {
  const seconds = Math.floor(millis / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** `4 GB`, as clouds count: powers of 1024, the unit without its i. */
export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 10 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** An identifier short enough for a line; the whole one is in its title. */
export function shortId(id: string): string {
  const [prefix, body] = id.split('_');
  return body ? `${prefix}_${body.slice(0, 6)}` : id;
}
