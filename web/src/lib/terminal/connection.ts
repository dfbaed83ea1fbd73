// One viewer's stream of one terminal, over as many sockets as it takes: no byte of output lost or drawn twice, no byte
// of input lost or taken twice, and everything that happens said in words.
import { ApiError } from '../api/client';
import { backoffMs } from '../backoff';
import { CLOSE, open, socketToken, watch } from '../socket';
import { exitWords } from './exit';
import { type AgentFrame, decode, encodeAck, encodeInput, encodeResize, encodeVisibility, type Opened, WINDOW_BYTES } from './frames';
import { InputQueue } from './input_queue';

export type Status =
  | { is: 'connecting' }
  | { is: 'open'; readOnly: boolean }
  | { is: 'reconnecting'; why: string; retryAt: number }
  | { is: 'exited'; why: string }
  | { is: 'ended'; why: string };

/** Who draws. */
export interface Drawer {
  status(status: Status): void;
  /** Draw the bytes, then call `drawn`. */
  output(bytes: Uint8Array, drawn: () => void): void;
  /** Clear the screen: what follows does not continue it. */
  reset(notice: string | null): void;
  size(cols: number, rows: number): void;
  /** How large the screen is now. */
  cells(): { cols: number; rows: number };
  /** Something to know that changes nothing on the screen. */
  notice(text: string): void;
}

export class TerminalConnection {
  /** Bytes of output handed to the drawer, counted from the start of the epoch. */
  received = 0;
  /** Bytes that are on the screen. */
  drawn = 0;
  /** Bytes handed over since the page was loaded: with `received` it tells whether any came twice. */
  total = 0;
  epoch = '0';

  #acked = 0;
  /** Counts resets, so that a late "drawn" of what was before one is not counted after it. */
  #screen = 0;
  #input = new InputQueue();
  #opened = false;
  #typed = false;
  /** What this agent was told last of whether anybody can see the screen; null where it does not hear of it. */
  #hidden: boolean | null = null;
  #socket: WebSocket | null = null;
  #endWatch: () => void = () => {};
  #retry: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #tokenRefused = false;
  #exit: string | null = null;
  #restarted = false;
  #closed = false;

  constructor(
    private readonly workspaceId: string,
    private readonly terminal: string,
    private readonly viewer: string,
    private readonly drawer: Drawer,
  ) {}

  start(): void {
    addEventListener('online', this.#hurry);
    document.addEventListener('visibilitychange', this.#seen);
    void this.#connect();
  }

  close(): void {
    this.#closed = true;
    removeEventListener('online', this.#hurry);
    document.removeEventListener('visibilitychange', this.#seen);
    clearTimeout(this.#retry);
    this.#drop();
  }

  /** Connects again after an end: a new socket starts a new shell where the last one has exited. */
  again(): void {
    this.#attempt = 0;
    this.#exit = null;
    this.#tokenRefused = false;
    clearTimeout(this.#retry);
    this.#drop();
    this.drawer.status({ is: 'connecting' });
    void this.#connect();
  }

  /** Whether this viewer has typed on this socket: only then may its terminal answer a program's questions, because
   *  another viewer, or this one before a replay, has answered those that came earlier. */
  get typed(): boolean {
    return this.#typed;
  }

  /** Sends what was typed. */
  type(bytes: Uint8Array): void {
    this.#typed = this.#opened;
    if (this.#exit !== null) return;
    if (!this.#input.push(bytes)) {
      this.drawer.notice('Too much input is waiting to be sent; the last was not taken.');
      return;
    }
    this.#sendInput();
  }

  resize(cols: number, rows: number): void {
    if (this.#opened) this.#socket?.send(encodeResize(cols, rows));
  }

  readonly #hurry = (): void => {
    if (document.hidden || this.#retry === undefined) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    void this.#connect();
  };

  readonly #seen = (): void => {
    this.#tellVisibility();
    this.#hurry();
  };

  /** What is put out in a tab that nobody sees is no use of the workspace: the agent takes a viewer for seen until told. */
  #tellVisibility(): void {
    if (this.#hidden === null || this.#hidden === document.hidden) return;
    this.#hidden = document.hidden;
    this.#socket?.send(encodeVisibility(this.#hidden));
  }

  async #connect(): Promise<void> {
    this.#retry = undefined;
    let token: string;
    try {
      token = await socketToken(this.workspaceId, { fresh: this.#tokenRefused });
    } catch (error) {
      if (this.#closed) return;
      if (!(error instanceof ApiError)) throw error;
      const { status, title, detail } = error.problem;
      // What the control plane refuses now it refuses again; what it could not say is asked again.
      if (status >= 400 && status < 500 && status !== 429) this.drawer.status({ is: 'ended', why: `${title}. ${detail}` });
      else this.#later(title);
      return;
    }
    if (this.#closed) return;
    const { cols, rows } = this.drawer.cells();
    const query = new URLSearchParams({
      terminal: this.terminal,
      cols: String(cols),
      rows: String(rows),
      epoch: this.epoch,
      offset: String(this.received),
      viewer: this.viewer,
    });
    const socket = open(`/api/workspaces/${this.workspaceId}/terminal?${query}`, token);
    this.#socket = socket;
    this.#typed = false;
    const watched = watch(socket, () => this.#lost(socket, 'The connection stopped answering'));
    this.#endWatch = watched.end;
    socket.onmessage = ({ data }) => {
      watched.heard();
      if (this.#socket === socket && data instanceof ArrayBuffer) this.#take(decode(data));
    };
    socket.onclose = ({ code }) => this.#shut(socket, code);
  }

  #take(frame: AgentFrame | null): void {
    if (frame === null) return this.#end('This page does not understand what the workspace sent. Reload it to get the newest.');
    switch (frame.type) {
      case 'opened':
        return this.#open(frame);
      case 'reset':
        return this.#reset(frame.offset);
      case 'output':
        return this.#output(frame.offset, frame.bytes);
      case 'input-ack':
        return this.#input.acknowledge(frame.offset);
      case 'size':
        return this.drawer.size(frame.cols, frame.rows);
      case 'exited':
        this.#exit = exitWords(frame.how, frame.value);
        return;
    }
  }

  #open(opened: Opened): void {
    const first = this.epoch === '0';
    if (first) this.#input.begin(opened.inputOffset);
    else if (opened.epoch === this.epoch) this.#input.resume(opened.inputOffset);
    else if (this.#input.restart(opened.inputOffset)) this.drawer.notice('What was typed last did not reach the shell before it ended.');
    if (opened.epoch !== this.epoch) {
      // A reset follows and says where the output of the new shell begins.
      this.#restarted = !first;
      this.epoch = opened.epoch;
    }
    this.#acked = this.received;
    this.#opened = true;
    this.#hidden = opened.hearsVisibility ? false : null;
    this.#tellVisibility();
    this.#attempt = 0;
    this.#tokenRefused = false;
    this.drawer.status({ is: 'open', readOnly: opened.readOnly });
    this.#sendInput();
  }

  #reset(offset: number): void {
    const had = this.received;
    this.received = this.drawn = this.#acked = offset;
    this.#screen += 1;
    const behind = had > 0 || offset > 0 ? 'Older output is no longer kept; the screen begins where it still is.' : null;
    this.drawer.reset(this.#restarted ? 'The shell was restarted.' : behind);
    this.#restarted = false;
  }

  #output(offset: number, bytes: Uint8Array): void {
    const known = this.received - offset;
    if (known < 0) return this.#lost(this.#socket, 'Output was missing'); // The next socket asks for it.
    const fresh = known === 0 ? bytes : bytes.subarray(known);
    if (!fresh.length) return;
    this.received += fresh.length;
    this.total += fresh.length;
    const end = this.received;
    const screen = this.#screen;
    this.drawer.output(fresh, () => {
      if (screen !== this.#screen) return;
      this.drawn = end;
      this.#acknowledge();
    });
  }

  #acknowledge(): void {
    if (this.drawn - this.#acked < WINDOW_BYTES / 2 || !this.#opened) return;
    this.#acked = this.drawn;
    this.#socket?.send(encodeAck(this.#acked));
  }

  #sendInput(): void {
    if (!this.#opened) return;
    for (let chunk = this.#input.next(); chunk; chunk = this.#input.next()) {
      this.#socket?.send(encodeInput(chunk.offset, chunk.bytes));
    }
  }

  #shut(socket: WebSocket, code: number): void {
    if (socket !== this.#socket) return;
    const wasOpen = this.#opened;
    this.#drop();
    switch (code) {
      case CLOSE.exited:
        return this.drawer.status({ is: 'exited', why: this.#exit ?? 'The shell has ended.' });
      case CLOSE.invalid:
        return this.#end('The workspace did not understand this page. Reload it to get the newest.');
      case CLOSE.ended:
        return this.#end('The workspace is not running.');
      case CLOSE.tooMany:
        return this.#end('The workspace has as many terminals and viewers as it takes. Close one and connect again.');
      case CLOSE.revoked:
        // An hour-old token is one thing, a session that has ended is another: one try with a new token tells them apart.
        if (this.#tokenRefused) return this.#end('This sign-in no longer opens the terminal.');
        this.#tokenRefused = true;
        return this.#later('The sign-in to the terminal has to be renewed');
      case CLOSE.agentAway:
        return this.#later('The node’s agent is not connected at the moment');
      default:
        return this.#later(wasOpen ? 'The connection was lost' : 'The connection could not be made');
    }
  }

  #lost(socket: WebSocket | null, why: string): void {
    if (socket === null || socket !== this.#socket) return;
    this.#drop();
    this.#later(why);
  }

  #end(why: string): void {
    this.#drop();
    this.drawer.status({ is: 'ended', why });
  }

  #later(why: string): void {
    if (this.#closed) return;
    const pause = backoffMs(this.#attempt);
    this.#attempt += 1;
    this.drawer.status({ is: 'reconnecting', why, retryAt: Date.now() + pause });
    this.#retry = setTimeout(() => void this.#connect(), pause);
  }

  #drop(): void {
    this.#endWatch();
    const socket = this.#socket;
    this.#socket = null;
    this.#opened = false;
    this.#hidden = null;
    socket?.close();
  }
}
