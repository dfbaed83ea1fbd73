// Lives of nodes and workspaces, and what an installation's admin sees of its sweeps.
import { full, ID } from "./data.mjs";

const NOW = Date.now();
const ago = (seconds) => new Date(NOW - seconds * 1000).toISOString();
const hence = (seconds) => ago(-seconds);

const ENDED = ["gone", "failed"];

/** The life of a scene's node or workspace, as its state would have it. */
export function lifeOf(item) {
  const price = item.price_per_hour ?? item.node.price_per_hour;
  const over = ENDED.includes(item.state);
  return {
    state: item.state,
    reason: item.reason,
    ...(over
      ? { readable_until_at: hence(29 * 86_400) }
      : {
          alive: {
            because: item.node
              ? "because somebody types in it."
              : "because a workspace has a place on it; it then waits a while for your next one.",
          },
          next: {
            state: item.node ? "stopped" : "destroying",
            at: hence(item.node ? 1740 : 6 * 86_400),
            cause: item.node
              ? "It is stopped when it was not used for 30 minutes. Its files are kept."
              : "Its longest life is over then, whatever runs on it.",
          },
          hard_limit_at: hence(6 * 86_400),
        }),
    price_per_hour: price,
    cost_so_far: { amount: "0.02", currency: price.currency },
    workspaces_on_node: 2,
    transitions: [
      {
        at: ago(900),
        state: "requested",
        cause: "Accepted, with a place on a node.",
      },
      { at: ago(890), state: item.state, cause: item.reason },
    ],
  };
}

export const PROVISIONING = {
  on: { paused: false, by_operator: false },
  paused: {
    paused: true,
    by_operator: false,
    reason: "The bill of November is under review",
    by: full["/api/me"].user.id,
    since_at: ago(5400),
  },
};

export const READY = {
  ready: true,
  checks: [{ name: "database", ok: true }],
  sweeps: [
    { sweep: "inventory", succeeded_at: ago(70), oldest_at: ago(400) },
    { sweep: "overdue", succeeded_at: ago(70) },
    { sweep: "prune", succeeded_at: ago(540) },
    { sweep: "revocations", succeeded_at: ago(70) },
  ],
};

const found = (action, subject, detail, done = false) => ({
  action,
  subject,
  detail,
  done,
});
export const SWEPT = {
  dry_run: true,
  sweeps: [
    { sweep: "revocations", actions: [] },
    {
      sweep: "overdue",
      actions: [
        found(
          "wake_node",
          ID.node,
          "It is ready and something of it is overdue.",
        ),
      ],
    },
    {
      sweep: "inventory",
      actions: [
        found(
          "delete_machine",
          "58211377",
          `ringfence-${"d".repeat(20)} (${ID.failedNode}). Its node is gone.`,
        ),
        found(
          "leave_machine",
          "58211380",
          "db-1 It carries this installation's mark and names no node: look at it yourself.",
          true,
        ),
      ],
    },
    {
      sweep: "prune",
      actions: [found("prune", "events", "140 have had their time.")],
    },
  ],
};

/** An installation that is looked after. */
export const tended = {
  ...full,
  "/api/admin/provisioning": PROVISIONING.on,
  "/api/admin/sweep": SWEPT,
  "/api/admin/nodes/suspended": { items: [] },
};

/** One in which no machines are made, with a node whose machine cannot be deleted. */
export const stuck = {
  ...tended,
  "/api/admin/provisioning": PROVISIONING.paused,
  nodes: {
    ...full.nodes,
    [ID.failedNode]: {
      ...full.nodes[ID.failedNode],
      stuck: true,
      engine: "unconfined",
      reason:
        "The provider refuses the credential, so the machine cannot be deleted: replace the key. Its owner deleted it.",
    },
  },
};
stuck["/api/nodes"] = { items: Object.values(stuck.nodes) };

/** One with a dedicated node, and an ephemeral workspace that is over and has its receipt. */
export const apart = {
  ...full,
  nodes: {
    ...full.nodes,
    [ID.node]: { ...full.nodes[ID.node], isolation: "dedicated" },
  },
  workspaces: {
    ...full.workspaces,
    [ID.stopped]: {
      ...full.workspaces[ID.stopped],
      isolation: "ephemeral",
      state: "gone",
      reason: "Its longest life was over.",
    },
  },
  [`/api/nodes/${ID.node}/gateway-token`]: {
    id: `gwt_${"a".repeat(20)}`,
    created_at: ago(0),
    secret: "rfg_9zX0kq4nUwVbJ3mE7tYhR2cLpD6sAfGiKoNxQvZuTyM",
  },
  [`/api/workspaces/${ID.stopped}/receipt`]: {
    workspace_id: ID.stopped,
    name: "api-refactor",
    created_at: ago(4000),
    ended_at: ago(300),
    reason: "Its longest life was over.",
    saved: {
      at: ago(310),
      outcome: "saved",
      output:
        "pushed 3 commits to github.com/ada/api, branch refactor\n5f1c0d2a9e7b4c3d8f6a1b0e2c4d6f8a0b1c3e5d  api.bundle",
      output_sha256:
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    machine: {
      node_id: ID.failedNode,
      provider: "hetzner",
      region: "fsn1",
      size: "cx23",
      gone_at: ago(280),
      cost: { amount: "0.0072", currency: "EUR" },
    },
  },
};
apart["/api/nodes"] = { items: Object.values(apart.nodes) };
apart["/api/workspaces"] = { items: Object.values(apart.workspaces) };

const stuckNode = (user, node, seconds, reason) => ({
  id: `nod_${node.repeat(20)}`,
  user_id: full["/api/admin/users"].items[user].id,
  state: "destroying",
  state_since_at: ago(seconds),
  failure: "deleted",
  reason,
  stuck: true,
});
stuck["/api/admin/nodes/suspended"] = {
  items: [
    stuckNode(
      2,
      "k",
      9 * 86_400,
      "The provider refuses the credential, so the machine cannot be deleted: replace the key. Its owner deleted it.",
    ),
    stuckNode(
      2,
      "m",
      4000,
      "The provider has not confirmed the deletion in time; still trying. Nobody used it for 30 minutes.",
    ),
  ],
};

/** A workspace that ends soon for want of use, and a stopped one, which saved, whose files are deleted soon. */
const used = full.workspaces[ID.running];
const over = full.workspaces[ID.stopped];
export const ending = {
  ...full,
  workspaces: {
    ...full.workspaces,
    [ID.running]: {
      ...used,
      idle_timeout_secs: 1800,
      stop_keep_secs: 86_400,
      ending: {
        at: hence(470),
        cause: "idle",
        detail:
          "It is stopped when it was not used for 30 minutes. Its files are kept.",
      },
    },
    [ID.stopped]: {
      ...over,
      idle_timeout_secs: 1800,
      stop_keep_secs: 86_400,
      ending: {
        at: hence(95),
        cause: "keep_over",
        detail:
          "It is stopped, and deleted with its files after 1 day of that.",
      },
    },
  },
  events: [
    ...full.events,
    {
      id: full.events.at(-1).id + 1,
      at: ago(86_400),
      node_id: over.node.id,
      workspace_id: over.id,
      kind: "saved",
      outcome: "failed",
      duration_ms: 4100,
      detail: "fatal: could not read from remote repository",
    },
  ],
};
ending["/api/workspaces"] = { items: Object.values(ending.workspaces) };
