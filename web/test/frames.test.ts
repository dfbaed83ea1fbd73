import { expect, test } from 'vitest';
import { decode, encodeAck, encodeInput, encodeResize, encodeVisibility } from '../src/lib/terminal/frames';

const hex = (buffer: ArrayBuffer): string => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
const bytes = (...values: number[]): ArrayBuffer => Uint8Array.from(values).buffer;
const u64 = (low: number): number[] => [0, 0, 0, 0, (low >>> 24) & 255, (low >>> 16) & 255, (low >>> 8) & 255, low & 255];

test('frames to the agent are laid out as the protocol says', () => {
  expect(hex(encodeInput(5, new Uint8Array([0x6c, 0x73])))).toBe('01 00 00 00 00 00 00 00 05 6c 73');
  expect(hex(encodeAck(131_072))).toBe('02 00 00 00 00 00 02 00 00');
  expect(hex(encodeResize(120, 40))).toBe('03 00 78 00 28');
  expect(hex(encodeVisibility(true))).toBe('04 01');
  expect(hex(encodeVisibility(false))).toBe('04 00');
});

test('a size beyond what a terminal may have is cut to it', () => {
  expect(hex(encodeResize(0, 5000))).toBe('03 00 01 03 e8');
});

test('frames from the agent are read', () => {
  const opened = { type: 'opened', epoch: '7', inputOffset: 9 };
  expect(decode(bytes(0x81, ...u64(7), ...u64(9), 3))).toEqual({ ...opened, readOnly: true, unconfined: true, hearsVisibility: false });
  expect(decode(bytes(0x81, ...u64(7), ...u64(9), 4))).toEqual({ ...opened, readOnly: false, unconfined: false, hearsVisibility: true });
  expect(decode(bytes(0x82, ...u64(300), 104, 105))).toEqual({ type: 'output', offset: 300, bytes: new Uint8Array([104, 105]) });
  expect(decode(bytes(0x82, ...u64(300)))).toEqual({ type: 'output', offset: 300, bytes: new Uint8Array([]) });
  expect(decode(bytes(0x83, ...u64(42)))).toEqual({ type: 'reset', offset: 42 });
  expect(decode(bytes(0x84, ...u64(42)))).toEqual({ type: 'input-ack', offset: 42 });
  expect(decode(bytes(0x85, 0, 0, 0, 0, 130))).toEqual({ type: 'exited', how: 'code', value: 130 });
  expect(decode(bytes(0x85, 1, 255, 255, 255, 247))).toEqual({ type: 'exited', how: 'signal', value: -9 });
  expect(decode(bytes(0x86, 0, 120, 0, 40))).toEqual({ type: 'size', cols: 120, rows: 40 });
});

test('an epoch of any 64 bits is kept whole', () => {
  expect(decode(bytes(0x81, 255, 255, 255, 255, 255, 255, 255, 255, ...u64(0), 0))).toMatchObject({ epoch: '18446744073709551615' });
});

test('bytes that are not a frame are refused', () => {
  for (const wrong of [
    [],
    [0x7f],
    [0x81, 0],
    [0x82, 0],
    [0x83, ...u64(1), 0],
    [0x84],
    [0x85, 2, 0, 0, 0, 0],
    [0x85, 0],
    [0x86, 0, 0, 0, 40],
    [0x86, 0, 1, 4, 0],
  ]) {
    expect(decode(bytes(...wrong)), wrong.join(' ')).toBeNull();
  }
  expect(decode(bytes(0x82, 255, 0, 0, 0, 0, 0, 0, 0)), 'an offset beyond what a number counts').toBeNull();
});
