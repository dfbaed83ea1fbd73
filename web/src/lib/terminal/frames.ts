// Terminal frames: one byte of type and a body, integers big endian. The other side of protocol/src/terminal.rs.

/** Bytes either side may have outstanding; acknowledgements go per half window. */
export const WINDOW_BYTES = 256 * 1024;
/** Most bytes of input in one frame: a message of 64 KiB less the channel's number, the type and the offset. */
export const MAX_DATA_BYTES = 64 * 1024 - 4 - 9;
/** Most columns or rows. */
export const MAX_CELLS = 1000;

export interface Opened {
  type: 'opened';
  /** Only ever compared, and any 64 bits: so it is text, which holds them all. */
  epoch: string;
  inputOffset: number;
  readOnly: boolean;
  unconfined: boolean;
  /** Whether the agent hears of visibility; an older one ends the channel at it. */
  hearsVisibility: boolean;
}

export type AgentFrame =
  | Opened
  | { type: 'output'; offset: number; bytes: Uint8Array }
  | { type: 'reset'; offset: number }
  | { type: 'input-ack'; offset: number }
  | { type: 'exited'; how: 'code' | 'signal'; value: number }
  | { type: 'size'; cols: number; rows: number };

/** Reads a frame; null when the bytes are not one. */
export function decode(message: ArrayBuffer): AgentFrame | null {
  const view = new DataView(message);
  const size = message.byteLength;
  if (size < 1) return null;
  switch (view.getUint8(0)) {
    case 0x81: {
      if (size !== 18) return null;
      const epoch = view.getBigUint64(1).toString();
      const inputOffset = offsetAt(view, 9);
      if (inputOffset === null) return null;
      const flags = view.getUint8(17);
      return {
        type: 'opened',
        epoch,
        inputOffset,
        readOnly: (flags & 1) !== 0,
        unconfined: (flags & 2) !== 0,
        hearsVisibility: (flags & 4) !== 0,
      };
    }
    case 0x82: {
      if (size < 9) return null;
      const offset = offsetAt(view, 1);
      return offset === null ? null : { type: 'output', offset, bytes: new Uint8Array(message, 9) };
    }
    case 0x83:
      return onlyOffset('reset', view);
    case 0x84:
      return onlyOffset('input-ack', view);
    case 0x85: {
      if (size !== 6 || view.getUint8(1) > 1) return null;
      return { type: 'exited', how: view.getUint8(1) === 0 ? 'code' : 'signal', value: view.getInt32(2) };
    }
    case 0x86: {
      if (size !== 5) return null;
      const [cols, rows] = [view.getUint16(1), view.getUint16(3)];
      return inCells(cols) && inCells(rows) ? { type: 'size', cols, rows } : null;
    }
    default:
      return null;
  }
}

export function encodeInput(offset: number, bytes: Uint8Array): ArrayBuffer {
  const frame = withOffset(0x01, offset, bytes.length);
  new Uint8Array(frame, 9).set(bytes);
  return frame;
}

export function encodeAck(offset: number): ArrayBuffer {
  return withOffset(0x02, offset, 0);
}

export function encodeResize(cols: number, rows: number): ArrayBuffer {
  const frame = new ArrayBuffer(5);
  const view = new DataView(frame);
  view.setUint8(0, 0x03);
  view.setUint16(1, toCells(cols));
  view.setUint16(3, toCells(rows));
  return frame;
}

export function encodeVisibility(hidden: boolean): ArrayBuffer {
  return Uint8Array.of(0x04, hidden ? 1 : 0).buffer;
}

export const toCells = (count: number): number => Math.min(Math.max(Math.floor(count), 1), MAX_CELLS);

function withOffset(type: number, offset: number, room: number): ArrayBuffer {
  const frame = new ArrayBuffer(9 + room);
  const view = new DataView(frame);
  view.setUint8(0, type);
  view.setBigUint64(1, BigInt(offset));
  return frame;
}

function onlyOffset(type: 'reset' | 'input-ack', view: DataView): AgentFrame | null {
  if (view.byteLength !== 9) return null;
  const offset = offsetAt(view, 1);
  return offset === null ? null : { type, offset };
}

/** Offsets stay below 2^53, where a number still counts every byte; null for what does not. */
function offsetAt(view: DataView, at: number): number | null {
  const value = view.getBigUint64(at);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}

const inCells = (count: number): boolean => count >= 1 && count <= MAX_CELLS;
