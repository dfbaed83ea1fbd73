// Programs in a terminal may want to use the viewer's clipboard (OSC 52). Reading it is refused, whoever asks: a file
// shown with `cat` could do so. Writing it is asked first.
import type { IDisposable, IParser } from '@xterm/xterm';

const MOST_CHARACTERS = 100_000;

export function askBeforeClipboardWrites(parser: IParser, ask: (text: string) => void): IDisposable {
  return parser.registerOscHandler(52, (data) => {
    const text = writtenText(data);
    if (text) ask(text);
    return true;
  });
}

/** The text a program wants to write; null for a read or nonsense. */
export function writtenText(data: string): string | null {
  const encoded = data.slice(data.indexOf(';') + 1);
  if (!data.includes(';') || encoded === '?' || encoded.length > MOST_CHARACTERS * 2) return null;
  try {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.length > 0 && text.length <= MOST_CHARACTERS ? text : null;
  } catch {
    return null;
  }
}
