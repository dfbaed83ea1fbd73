// Programs ask terminals questions in their output, and a terminal's answer arrives as if it had been typed. Replayed
// output asks again, and several viewers would all answer: so every question is dropped unless this viewer may answer.
import type { IDisposable, IParser } from '@xterm/xterm';

export function guardQueries(parser: IParser, mayAnswer: () => boolean): IDisposable[] {
  // A handler that returns true has dealt with the sequence, so that xterm.js never sees it.
  const drop = (): boolean => !mayAnswer();
  const dropQuestion = (data: string): boolean => data.split(';').includes('?') && drop();
  return [
    // Device attributes, status and cursor position, modes, version, window and keyboard reports.
    ...[
      { final: 'c' },
      { prefix: '>', final: 'c' },
      { prefix: '=', final: 'c' },
      { final: 'n' },
      { prefix: '?', final: 'n' },
      { intermediates: '$', final: 'p' },
      { prefix: '?', intermediates: '$', final: 'p' },
      { prefix: '>', final: 'q' },
      { final: 't' },
      { prefix: '?', final: 'u' },
    ].map((sequence) => parser.registerCsiHandler(sequence, drop)),
    parser.registerDcsHandler({ intermediates: '$', final: 'q' }, drop),
    parser.registerDcsHandler({ intermediates: '+', final: 'q' }, drop),
    parser.registerEscHandler({ final: 'Z' }, drop),
    // Colours are asked for with the same codes that set them.
    ...[4, 10, 11, 12].map((code) => parser.registerOscHandler(code, dropQuestion)),
  ];
}
