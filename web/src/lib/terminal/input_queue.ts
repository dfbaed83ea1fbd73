// What was typed and is not known to have arrived, by its offset within this viewer's input to one terminal epoch.
import { MAX_DATA_BYTES, WINDOW_BYTES } from './frames';

export interface Chunk {
  offset: number;
  bytes: Uint8Array<ArrayBuffer>;
}

export class InputQueue {
  /** Offset of the first byte kept. */
  #base = 0;
  /** Bytes before this offset were sent on the socket of now. */
  #sent = 0;
  #kept: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  get end(): number {
    return this.#base + this.#kept.length;
  }

  /** Keeps what was typed; false when there is no room, so that nothing is taken by halves. */
  push(bytes: Uint8Array): boolean {
    if (this.#kept.length + bytes.length > WINDOW_BYTES) return false;
    const kept = new Uint8Array(this.#kept.length + bytes.length);
    kept.set(this.#kept);
    kept.set(bytes, this.#kept.length);
    this.#kept = kept;
    return true;
  }

  /** The terminal has everything before `offset`. */
  acknowledge(offset: number): void {
    if (offset <= this.#base) return;
    this.#kept = this.#kept.slice(Math.min(offset - this.#base, this.#kept.length));
    this.#base = offset;
    this.#sent = Math.max(this.#sent, offset);
  }

  /** A first socket: what was typed before it opened goes on where this viewer's input ends. */
  begin(offset: number): void {
    this.#base = offset;
    this.#sent = offset;
  }

  /** Another socket to the same epoch: what the terminal does not have is sent again. */
  resume(offset: number): void {
    this.acknowledge(offset);
    this.#sent = this.#base;
  }

  /** Another shell: nothing typed for the one before may reach it. Says whether anything was dropped. */
  restart(offset: number): boolean {
    const dropped = this.#kept.length > 0;
    this.#kept = new Uint8Array(0);
    this.begin(offset);
    return dropped;
  }

  /** The next bytes to send, or null. What it gives counts as sent. */
  next(): Chunk | null {
    const from = this.#sent - this.#base;
    const bytes = this.#kept.slice(from, from + MAX_DATA_BYTES);
    if (!bytes.length) return null;
    const chunk = { offset: this.#sent, bytes };
    this.#sent += bytes.length;
    return chunk;
  }
}
