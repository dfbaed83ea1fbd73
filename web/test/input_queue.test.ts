import { expect, test } from 'vitest';
import { MAX_DATA_BYTES, WINDOW_BYTES } from '../src/lib/terminal/frames';
import { InputQueue } from '../src/lib/terminal/input_queue';

const text = (word: string): Uint8Array => new TextEncoder().encode(word);
const sent = (queue: InputQueue): string => {
  let all = '';
  for (let chunk = queue.next(); chunk; chunk = queue.next()) all += `${chunk.offset}:${new TextDecoder().decode(chunk.bytes)} `;
  return all.trim();
};

test('what was typed before the first socket opened goes on where this viewer’s input ends', () => {
  const queue = new InputQueue();
  queue.push(text('ls'));
  queue.begin(40);
  expect(sent(queue)).toBe('40:ls');
});

test('after a cut only what the terminal does not have is sent again', () => {
  const queue = new InputQueue();
  queue.push(text('abc'));
  expect(sent(queue)).toBe('0:abc');
  queue.push(text('def'));
  expect(sent(queue)).toBe('3:def');
  queue.acknowledge(2);
  queue.resume(4);
  expect(sent(queue)).toBe('4:ef');
});

test('a cut between sending and the acknowledgement sends the same bytes at the same offsets', () => {
  const queue = new InputQueue();
  queue.push(text('rm x'));
  expect(sent(queue)).toBe('0:rm x');
  queue.resume(0);
  expect(sent(queue)).toBe('0:rm x');
  queue.acknowledge(4);
  queue.resume(4);
  expect(sent(queue)).toBe('');
});

test('nothing typed for one shell reaches the next', () => {
  const queue = new InputQueue();
  queue.push(text('old'));
  expect(queue.restart(0)).toBe(true);
  expect(sent(queue)).toBe('');
  queue.push(text('new'));
  expect(sent(queue)).toBe('0:new');
});

test('a large paste is cut into frames and bounded as a whole', () => {
  const queue = new InputQueue();
  expect(queue.push(new Uint8Array(MAX_DATA_BYTES + 1))).toBe(true);
  expect(queue.next()?.bytes.length).toBe(MAX_DATA_BYTES);
  expect(queue.next()).toMatchObject({ offset: MAX_DATA_BYTES, bytes: new Uint8Array(1) });
  expect(queue.push(new Uint8Array(WINDOW_BYTES))).toBe(false);
});
