import { expect, test } from 'vitest';
import { writtenText } from '../src/lib/terminal/osc52';

test('what a program wants on the clipboard is read as text', () => {
  expect(writtenText(`c;${btoa('hello')}`)).toBe('hello');
  expect(writtenText(`;${btoa(String.fromCharCode(...new TextEncoder().encode('grün')))}`)).toBe('grün');
});

test('a read, nonsense and too much are refused', () => {
  for (const data of ['c;?', 'c', 'c;', 'c;%%%', `c;${btoa('\xff\xfe')}`, `c;${btoa('x'.repeat(100_001))}`])
    expect(writtenText(data), data.slice(0, 20)).toBeNull();
});
