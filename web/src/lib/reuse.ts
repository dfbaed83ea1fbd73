// Whether a new workspace takes a machine that is there already, and so costs nothing more. Pure: what the control plane decides by
// load and health it decides itself; here only what a price must be shown for.
import type { Isolation, NodeView } from './api/schema';

const ON_ITS_WAY = ['requested', 'provisioning', 'booting', 'ready'];

export interface Reuse {
  node: NodeView;
  /** Whether a new one may be made in its place after all, at its price. */
  orNew: boolean;
  /** Why it will be refused, where it will. */
  refused?: string;
}

/** A shared machine that lives for less than that, or a quarter of its life, takes no new workspace. */
const DAY_MS = 24 * 3_600_000;

function livesOn({ created_at, hard_deadline_at }: NodeView, now: number): boolean {
  const [from, until] = [Date.parse(created_at), Date.parse(hard_deadline_at)];
  return until - now >= Math.min(DAY_MS, (until - from) / 4);
}

/** The machine that a workspace would go to; null where a new one is made. */
export function reuse(isolation: Isolation, nodes: NodeView[], credentialId: string | undefined, asksForRoom: boolean, now: number): Reuse | null {
  switch (isolation) {
    case 'ephemeral':
      return null;
    case 'dedicated': {
      const node = nodes.find((one) => one.isolation === 'dedicated' && ON_ITS_WAY.includes(one.state));
      if (!node) return null;
      const dedicated = { node, orNew: false };
      if (node.credential_id !== credentialId) return { ...dedicated, refused: 'It is in another of your clouds, and you can have one.' };
      if (node.policy !== 'schedulable') return { ...dedicated, refused: 'It takes no new workspaces. Uncordon or destroy it first.' };
      if (node.workspaces.length >= node.slots) return { ...dedicated, refused: 'All its places are taken. Delete a workspace on it first.' };
      return dedicated;
    }
    case 'user': {
      const node = nodes.find(
        (one) =>
          one.isolation === 'user' &&
          one.state === 'ready' &&
          one.health === 'connected' &&
          one.policy === 'schedulable' &&
          one.workspaces.length < one.slots &&
          one.credential_id === credentialId &&
          livesOn(one, now),
      );
      return node && !asksForRoom ? { node, orNew: true } : null;
    }
  }
}
