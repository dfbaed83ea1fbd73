// xterm.js, set up as a Ringfence terminal. Loaded only where a terminal is shown.
import '@xterm/xterm/css/xterm.css';

import { FitAddon } from '@xterm/addon-fit';
import { UnicodeGraphemesAddon } from '@xterm/addon-unicode-graphemes';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { WebglAddon } from '@xterm/addon-webgl';
import { type ITheme, Terminal } from '@xterm/xterm';
import { toCells } from './frames';
import { askBeforeClipboardWrites } from './osc52';
import { DARK, LIGHT } from './palette';
import { guardQueries } from './query_guard';
import { strictDocument, strictly } from './strict_document';

/** What a terminal tells the page. */
export interface Listener {
  typed(bytes: Uint8Array): void;
  mayAnswer(): boolean;
  titled(title: string): void;
  /** A link was clicked: show where it leads before it opens. */
  link(url: string): void;
  /** A program wants to put this on the clipboard. */
  clipboard(text: string): void;
  copied(characters: number): void;
}

/** How a terminal is shown. */
export interface Look {
  dark: boolean;
  /** In pixels. */
  textSize: number;
  readAloud: boolean;
}

const SCROLLBACK_LINES = 10_000;
const encoder = new TextEncoder();

export class Screen {
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();

  constructor(
    private readonly element: HTMLElement,
    private readonly listener: Listener,
    look: Look,
  ) {
    const openLink = (_: MouseEvent, url: string): void => this.#openLink(url);
    this.#terminal = new Terminal({
      allowProposedApi: true,
      documentOverride: strictDocument(),
      fontFamily: "'JetBrains Mono Variable', ui-monospace, Menlo, Consolas, monospace",
      fontSize: look.textSize,
      lineHeight: 1.2,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      scrollback: SCROLLBACK_LINES,
      screenReaderMode: look.readAloud,
      macOptionIsMeta: true,
      rightClickSelectsWord: false,
      minimumContrastRatio: 4.5,
      theme: paletteOf(look.dark),
      linkHandler: { activate: openLink, allowNonHttpProtocols: false },
    });
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.loadAddon(new UnicodeGraphemesAddon());
    this.#terminal.unicode.activeVersion = '15-graphemes';
    this.#terminal.loadAddon(new WebLinksAddon(openLink));
    guardQueries(this.#terminal.parser, () => listener.mayAnswer());
    askBeforeClipboardWrites(this.#terminal.parser, (text) => listener.clipboard(text));
    this.#terminal.attachCustomKeyEventHandler((event) => this.#ours(event));
    this.#terminal.onData((data) => this.#data(data));
    this.#terminal.onBinary((data) => listener.typed(Uint8Array.from(data, (character) => character.charCodeAt(0))));
    this.#terminal.onTitleChange((title) => listener.titled(title));
    strictly(() => this.#terminal.open(element));
    this.#useWebgl();
  }

  get cells(): { cols: number; rows: number } {
    return { cols: toCells(this.#terminal.cols), rows: toCells(this.#terminal.rows) };
  }

  get focused(): boolean {
    return this.element.contains(document.activeElement);
  }

  /** How many cells there is room for. */
  room(): { cols: number; rows: number } | null {
    const room = this.#fit.proposeDimensions();
    if (!room || !Number.isFinite(room.cols) || !Number.isFinite(room.rows)) return null;
    return { cols: toCells(room.cols), rows: toCells(room.rows) };
  }

  write(bytes: Uint8Array, drawn: () => void): void {
    this.#terminal.write(bytes, drawn);
  }

  /** Clears everything, after what was written before. */
  reset(): void {
    this.#terminal.write('', () => this.#terminal.reset());
  }

  /** Takes a size after what was written for the one before. */
  resize(cols: number, rows: number): void {
    this.#terminal.write('', () => {
      if (cols !== this.#terminal.cols || rows !== this.#terminal.rows) this.#terminal.resize(cols, rows);
    });
  }

  /** Types for the person, as the phone's key row does. Goes the way keys go. */
  input(text: string): void {
    this.#terminal.input(text, true);
  }

  /** Whether arrow keys are sent as an application wants them. */
  get applicationCursor(): boolean {
    return this.#terminal.modes.applicationCursorKeysMode;
  }

  paste(text: string): void {
    this.#terminal.paste(text);
  }

  focus(): void {
    this.#terminal.focus();
  }

  style(look: Look): void {
    this.#terminal.options.theme = paletteOf(look.dark);
    this.#terminal.options.fontSize = look.textSize;
    this.#terminal.options.screenReaderMode = look.readAloud;
  }

  async copySelection(): Promise<void> {
    const text = this.#terminal.getSelection();
    if (!text) return;
    await navigator.clipboard.writeText(text);
    this.listener.copied(text.length);
  }

  /** Everything there is, scrolled away lines included. */
  async copyAll(): Promise<void> {
    this.#terminal.selectAll();
    await this.copySelection();
    this.#terminal.clearSelection();
  }

  dispose(): void {
    this.#terminal.dispose();
  }

  /** Says which keys are the terminal's: false keeps xterm.js from them. */
  #ours(event: KeyboardEvent): boolean {
    const mac = /Mac|iPhone|iPad/.test(navigator.platform);
    const key = event.key.toLowerCase();
    const command = mac ? event.metaKey && !event.ctrlKey : event.ctrlKey && event.shiftKey;
    if (!command || event.altKey) return true;
    if (key === 'c' && (this.#terminal.hasSelection() || !mac)) {
      event.preventDefault();
      if (event.type === 'keydown') void this.copySelection();
      return false;
    }
    // The browser turns this one into a paste event, which xterm.js takes, brackets and all.
    if (key === 'v') return false;
    if (key === 'a') {
      event.preventDefault();
      if (event.type === 'keydown') this.#terminal.selectAll();
      return false;
    }
    // Ctrl+Shift+K, or Cmd+K, opens the page's palette and is the way out by keyboard.
    return key !== 'k';
  }

  #data(data: string): void {
    // Reports of focus are answers too, to a mode that replayed output may have set.
    if ((data === '\x1b[I' || data === '\x1b[O') && !this.listener.mayAnswer()) return;
    this.listener.typed(encoder.encode(data));
  }

  #openLink(text: string): void {
    const url = URL.parse(text);
    if (url && (url.protocol === 'http:' || url.protocol === 'https:')) this.listener.link(url.href);
  }

  /** Draws with the graphics card where there is one; xterm.js draws with elements otherwise. */
  #useWebgl(): void {
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => {
        webgl.dispose();
        this.element.dataset.renderer = 'dom';
      });
      this.#terminal.loadAddon(webgl);
      this.element.dataset.renderer = 'webgl';
    } catch {
      this.element.dataset.renderer = 'dom';
    }
  }
}

const paletteOf = (dark: boolean): ITheme => (dark ? DARK : LIGHT);
