// The stream of one terminal over sockets that break, against a socket that is a plain object.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Status } from '../src/lib/terminal/connection';

class FakeSocket {
  static all: FakeSocket[] = [];
  static readonly OPEN = 1;
  readyState = 1;
  binaryType = '';
  sent: Uint8Array[] = [];
  onmessage: (event: { data: unknown }) => void = () => {};
  onclose: (event: { code: number }) => void = () => {};
  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
  }
  send(data: ArrayBuffer | string): void {
    if (typeof data !== 'string') this.sent.push(new Uint8Array(data));
  }
  close(): void {}
  give(type: number, ...body: number[]): void {
    this.onmessage({ data: Uint8Array.from([type, ...body]).buffer });
  }
  opened(epoch: number, input = 0, flags = 0): void {
    this.give(0x81, ...u64(epoch), ...u64(input), flags);
  }
  output(offset: number, text: string): void {
    this.give(0x82, ...u64(offset), ...new TextEncoder().encode(text));
  }
  cut(code = 1006): void {
    this.onclose({ code });
  }
}
const u64 = (value: number): number[] => [0, 0, 0, 0, (value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const newest = (): FakeSocket => FakeSocket.all.at(-1)!;
const query = (): URLSearchParams => new URL(newest().url).searchParams;

/** Who hears when the tab goes out of sight. */
const watching = new Set<() => void>();
function show(seen: boolean): void {
  Object.assign(document, { hidden: !seen });
  for (const heard of watching) heard();
}

let tokens = 0;
beforeEach(() => {
  vi.useFakeTimers();
  vi.resetModules();
  FakeSocket.all = [];
  tokens = 0;
  vi.stubGlobal('location', { origin: 'http://here' });
  watching.clear();
  vi.stubGlobal('document', {
    hidden: false,
    addEventListener: (_: string, heard: () => void) => watching.add(heard),
    removeEventListener: (_: string, heard: () => void) => watching.delete(heard),
  });
  vi.stubGlobal('addEventListener', () => {});
  vi.stubGlobal('removeEventListener', () => {});
  vi.stubGlobal('WebSocket', FakeSocket);
  vi.stubGlobal('fetch', async () => {
    tokens += 1;
    return Response.json({ token: `t${tokens}`, permissions: [], expires_at: new Date(Date.now() + 3_600_000).toISOString() });
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function start() {
  const { TerminalConnection } = await import('../src/lib/terminal/connection');
  const seen = { screen: '', notices: [] as string[], status: [] as Status[] };
  const connection = new TerminalConnection('wsp_1', 'main', 'vwr_1', {
    status: (status) => seen.status.push(status),
    output: (bytes, drawn) => {
      seen.screen += new TextDecoder().decode(bytes);
      drawn();
    },
    reset: (why) => {
      seen.screen = '';
      seen.notices.push(why ?? '');
    },
    size: () => {},
    cells: () => ({ cols: 80, rows: 24 }),
    notice: (text) => seen.notices.push(text),
  });
  connection.start();
  await settle();
  return { connection, seen };
}
const settle = () => vi.advanceTimersByTimeAsync(0);
const reconnect = async () => {
  await vi.advanceTimersByTimeAsync(20_000);
  await settle();
};

test('a cut stream goes on where it was, no byte lost or drawn twice', async () => {
  const { seen } = await start();
  newest().opened(5);
  newest().give(0x83, ...u64(0));
  newest().output(0, 'one ');
  newest().cut();
  expect(seen.status.at(-1)).toMatchObject({ is: 'reconnecting' });
  await reconnect();
  expect(query().get('epoch')).toBe('5');
  expect(query().get('offset')).toBe('4');
  newest().opened(5);
  newest().output(2, 'e two '); // An agent may begin earlier than asked.
  expect(seen.screen).toBe('one two ');
});

test('bytes that are missing make the page ask for them rather than draw what follows', async () => {
  const { seen } = await start();
  newest().opened(5);
  newest().give(0x83, ...u64(0));
  newest().output(3, 'later');
  expect(seen.screen).toBe('');
  await reconnect();
  expect(query().get('offset')).toBe('0');
});

test('input typed while away is sent once the terminal is back', async () => {
  const { connection } = await start();
  newest().opened(5, 10);
  connection.type(new TextEncoder().encode('a'));
  expect(Array.from(newest().sent.at(-1)!)).toEqual([1, ...u64(10), 97]);
  newest().cut();
  connection.type(new TextEncoder().encode('b'));
  await reconnect();
  newest().opened(5, 10); // The agent never got the a.
  expect(Array.from(newest().sent.at(-1)!)).toEqual([1, ...u64(10), 97, 98]);
});

test('a new epoch clears the screen, says so, and drops what was meant for the old shell', async () => {
  const { connection, seen } = await start();
  newest().opened(5);
  newest().output(0, 'old');
  newest().cut();
  connection.type(new TextEncoder().encode('rm'));
  await reconnect();
  newest().opened(6);
  newest().give(0x83, ...u64(0));
  expect(newest().sent).toEqual([]);
  expect(seen.notices).toContain('The shell was restarted.');
  newest().output(0, 'new');
  expect(seen.screen).toBe('new');
});

test('output is acknowledged per half window, not per frame', async () => {
  await start();
  newest().opened(5);
  newest().give(0x83, ...u64(0));
  const block = 'x'.repeat(60_000);
  newest().output(0, block);
  newest().output(60_000, block);
  expect(newest().sent).toEqual([]);
  newest().output(120_000, block);
  expect(newest().sent.map((frame) => Array.from(frame))).toEqual([[2, ...u64(180_000)]]);
});

test('an agent that hears of it is told when the tab goes out of sight and comes back, and an older one is told nothing', async () => {
  await start();
  newest().opened(5, 0, 4);
  expect(newest().sent).toEqual([]); // A viewer counts as seen until it says otherwise.
  show(false);
  show(false);
  show(true);
  expect(newest().sent.map((frame) => Array.from(frame))).toEqual([
    [4, 1],
    [4, 0],
  ]);
  show(false);
  newest().cut();
  await reconnect();
  newest().opened(5, 0, 4);
  expect(newest().sent.map((frame) => Array.from(frame))).toEqual([[4, 1]]);
  newest().cut();
  show(true);
  await reconnect();
  newest().opened(5);
  show(false);
  expect(newest().sent).toEqual([]);
});

test('an exit is told and ends the stream until somebody asks again', async () => {
  const { connection, seen } = await start();
  newest().opened(5);
  newest().give(0x85, 0, 0, 0, 0, 3);
  newest().cut(4410);
  expect(seen.status.at(-1)).toEqual({ is: 'exited', why: 'The shell ended with exit code 3.' });
  await reconnect();
  expect(FakeSocket.all.length).toBe(1);
  connection.again();
  await settle();
  expect(FakeSocket.all.length).toBe(2);
});

test('a refused token is renewed once', async () => {
  const { seen } = await start();
  newest().cut(4401);
  await reconnect();
  expect(newest().protocols).toEqual(['ringfence.v1', 't2']);
  newest().cut(4401);
  expect(seen.status.at(-1)).toMatchObject({ is: 'ended' });
});
