// What an installation could look like, for the pictures: an admin's with everything in it, and a newcomer's.
import { limitsOf } from "./limits.mjs";

const NOW = Date.now();
const ago = (seconds) => new Date(NOW - seconds * 1000).toISOString();
const hence = (seconds) => ago(-seconds);
const id = (prefix, letter) => `${prefix}_${letter.repeat(20)}`;
const eur = (amount) => ({ amount, currency: "EUR" });

export const ID = {
  running: id("wsp", "a"),
  booting: id("wsp", "b"),
  stopped: id("wsp", "c"),
  failed: id("wsp", "d"),
  node: id("nod", "a"),
  bootingNode: id("nod", "b"),
  failedNode: id("nod", "d"),
};

export const user = {
  id: id("usr", "a"),
  name: "Ada",
  tenant_id: id("ten", "a"),
  role: "admin",
  state: "active",
  created_at: ago(40 * 86_400),
};
export const me = {
  user,
  session_id: id("ses", "a"),
  expires_at: hence(6 * 86_400),
  engine: "unconfined",
  patience_limits: {
    idle_timeout_secs: 1800,
    idle_timeout_secs_max: 86_400,
    stop_keep_secs: 86_400,
    stop_keep_secs_max: 30 * 86_400,
    keep_alive_secs_max: 12 * 3600,
    max_duration_secs: 3600,
    max_duration_secs_max: 86_400,
  },
};

const summary = (
  node,
  state,
  size = "cx23",
  region = "fsn1",
  engine = "unconfined",
) => ({
  id: node,
  state,
  provider: "hetzner",
  region,
  size,
  engine,
  price_per_hour: eur(size === "cx23" ? "0.0066" : "0.0189"),
});
const workspace = (key, name, state, rest) => ({
  id: ID[key],
  name,
  state,
  state_since_at: ago(400),
  isolation: "user",
  placement_explanation:
    "No node of yours had room for cx23 in fsn1, so a new one was provisioned.",
  spec_generation: 1,
  row_version: 7,
  created_at: ago(900),
  ...rest,
});

export const workspaces = [
  workspace("booting", "quiet-harbour", "placing", {
    state_since_at: ago(9),
    created_at: ago(11.4),
    deadline_at: hence(590),
    reason: "Waiting for its node to boot at Hetzner Cloud hel1.",
    node: summary(ID.bootingNode, "booting", "cx33", "hel1", null),
  }),
  workspace("running", "blog-engine", "running", {
    reason: "Running on a node of yours.",
    node: summary(ID.node, "ready"),
  }),
  workspace("stopped", "api-refactor", "stopped", {
    created_at: ago(86_000),
    reason: "Stopped by you. Its files are kept.",
    node: summary(ID.node, "ready"),
  }),
  workspace("failed", "gpu-experiment", "failed", {
    created_at: ago(90_000),
    failure: "capacity",
    reason:
      "Hetzner Cloud has no cx53 left in nbg1 at the moment. Nothing was created and nothing costs.",
    node: summary(ID.failedNode, "failed", "cx53", "nbg1", null),
  }),
];

const node = (key, state, rest) => ({
  id: ID[key],
  state,
  state_since_at: ago(800),
  policy: "schedulable",
  health: "connected",
  isolation: "user",
  provider: "hetzner",
  credential_id: id("crd", "a"),
  region: "fsn1",
  size: "cx23",
  slots: 3,
  workspaces: [],
  hard_deadline_at: hence(6 * 86_400),
  price_per_hour: eur("0.0066"),
  cost_so_far: eur("0.0213"),
  row_version: 5,
  created_at: ago(11_600),
  ...rest,
});

export const nodes = [
  node("bootingNode", "booting", {
    state_since_at: ago(8),
    created_at: ago(11.4),
    deadline_at: hence(590),
    health: "unknown",
    reason: "The machine starts; its agent has not called in yet.",
    region: "hel1",
    size: "cx33",
    provider_instance_id: "58012345",
    workspaces: [ID.booting],
    price_per_hour: eur("0.0189"),
    cost_so_far: eur("0.000063"),
  }),
  node("node", "ready", {
    created_at: ago(900),
    cost_so_far: eur("0.00165"),
    reason: "Ready for workspaces.",
    provider_instance_id: "58011111",
    engine: "unconfined",
    agent_version: "0.1.0",
    workspaces: [ID.running, ID.stopped],
    facts: {
      cpu_percent: 12.4,
      memory_percent: 88.1,
      memory_total_bytes: 4_294_967_296,
      disk_percent: 31,
      disk_total_bytes: 42_949_672_960,
      measured_at: ago(40),
    },
  }),
  node("failedNode", "destroying", {
    policy: "draining",
    health: "disconnected",
    created_at: ago(90_000),
    failure: "capacity",
    region: "nbg1",
    size: "cx53",
    workspaces: [ID.failed],
    reason:
      "Hetzner Cloud has no cx53 left in nbg1. Looking once more that nothing was made.",
    deadline_at: hence(480),
    cost_so_far: eur("0.00"),
  }),
];

const event = (number, seconds, nodeId, workspaceId, kind) => ({
  id: number,
  at: ago(seconds),
  node_id: nodeId,
  ...(workspaceId ? { workspace_id: workspaceId } : {}),
  ...kind,
});
export const events = [
  event(301, 900, ID.node, ID.running, {
    kind: "workspace_state",
    state: "requested",
    detail: "Accepted.",
  }),
  event(302, 899.8, ID.node, null, {
    kind: "node_state",
    state: "provisioning",
    detail: "Asking Hetzner Cloud for a cx23 in fsn1.",
  }),
  event(303, 897.4, ID.node, null, {
    kind: "node_state",
    state: "booting",
    detail: "The machine exists.",
  }),
  event(304, 889.2, ID.node, null, {
    kind: "boot_step",
    step: "load the firewall",
    duration_ms: 62,
  }),
  event(305, 888.9, ID.node, null, {
    kind: "boot_step",
    step: "trade the bootstrap token",
    duration_ms: 184,
  }),
  event(306, 888.4, ID.node, null, {
    kind: "boot_step",
    step: "open the link",
    duration_ms: 91,
  }),
  event(307, 888.3, ID.node, null, {
    kind: "node_state",
    state: "ready",
    detail: "The agent has reported ready.",
  }),
  event(308, 888.2, ID.node, ID.running, {
    kind: "workspace_state",
    state: "creating",
    detail: "The agent was asked to make it.",
  }),
  event(309, 887.9, ID.node, ID.running, {
    kind: "workspace_state",
    state: "running",
    detail: "It runs.",
  }),
  event(310, 300, ID.failedNode, ID.failed, {
    kind: "workspace_state",
    state: "failed",
    detail: "Hetzner Cloud has no cx53 left in nbg1 at the moment.",
  }),
  event(311, 11.4, ID.bootingNode, ID.booting, {
    kind: "workspace_state",
    state: "requested",
    detail: "Accepted.",
  }),
  event(312, 11.2, ID.bootingNode, null, {
    kind: "node_state",
    state: "provisioning",
    detail: "Asking Hetzner Cloud for a cx33 in hel1.",
  }),
  event(313, 10.1, ID.bootingNode, null, {
    kind: "notice",
    detail: "Hetzner Cloud asked us to wait 1 s; trying again.",
  }),
  event(314, 8, ID.bootingNode, null, {
    kind: "node_state",
    state: "booting",
    detail: "The machine exists.",
  }),
  event(315, 2, ID.bootingNode, null, {
    kind: "boot_step",
    step: "load the firewall",
    duration_ms: 58,
  }),
];

export const providers = [
  {
    kind: "hetzner",
    name: "Hetzner Cloud",
    secret_hint:
      "Paste an API token with read and write permission. Make it in a project that holds nothing else.",
    secret_url: "https://console.hetzner.cloud/",
    poweroff_ends_billing: false,
  },
];
export const credentials = [
  {
    id: id("crd", "a"),
    provider: "hetzner",
    name: "Hetzner Cloud",
    created_at: ago(30 * 86_400),
    validated_at: ago(7200),
    row_version: 2,
  },
  {
    id: id("crd", "b"),
    provider: "hetzner",
    name: "Side project",
    created_at: ago(86_400),
    validated_at: null,
    row_version: 1,
  },
];
const size = (name, cpus, gb, disk, price, architecture = "x86_64") => ({
  id: name,
  cpus,
  memory_bytes: gb * 1024 ** 3,
  disk_bytes: disk * 1024 ** 3,
  architecture,
  prices: ["fsn1", "nbg1", "hel1"].map((region) => ({
    region,
    per_hour: eur(price),
  })),
});
export const catalog = {
  provider: "hetzner",
  regions: [
    { id: "fsn1", name: "Falkenstein, DE" },
    { id: "nbg1", name: "Nuremberg, DE" },
    { id: "hel1", name: "Helsinki, FI" },
  ],
  sizes: [
    size("cx23", 2, 4, 40, "0.0066"),
    size("cax11", 2, 4, 40, "0.0072", "aarch64"),
    size("cx33", 4, 8, 80, "0.0103"),
    size("cx43", 8, 16, 160, "0.0189"),
    size("cx53", 16, 32, 320, "0.0362"),
  ],
  fetched_at: ago(60),
};

const CHROME =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const SAFARI =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";
export const sessions = [
  {
    id: id("ses", "a"),
    current: true,
    created_at: ago(86_400),
    expires_at: hence(6 * 86_400),
    user_agent: CHROME,
    source_address: "203.0.113.7",
  },
  {
    id: id("ses", "b"),
    current: false,
    created_at: ago(3 * 86_400),
    expires_at: hence(4 * 86_400),
    user_agent: SAFARI,
    source_address: "198.51.100.24",
  },
];
export const tokens = [
  {
    id: id("tok", "a"),
    name: "deploy script",
    created_at: ago(5 * 86_400),
    expires_at: hence(85 * 86_400),
  },
];
export const users = [
  user,
  {
    ...user,
    id: id("usr", "b"),
    name: "Grace",
    role: "member",
    created_at: ago(9 * 86_400),
  },
  {
    ...user,
    id: id("usr", "c"),
    name: "Edsger",
    role: "member",
    state: "suspended",
    created_at: ago(20 * 86_400),
  },
];
const act = (
  number,
  seconds,
  actor,
  action,
  subject,
  detail = "",
  source_address = "203.0.113.7",
) => ({
  id: number,
  at: ago(seconds),
  actor,
  action,
  subject,
  source_address,
  detail,
});
export const audit = [
  act(57, 11.4, user.id, "workspace.create", ID.booting),
  act(56, 300, user.id, "user.suspend", id("usr", "c"), "Ended one session."),
  act(
    55,
    888,
    `node:${ID.node}`,
    "bootstrap.redeem",
    ID.node,
    "Bound the agent’s key.",
    "198.51.100.80",
  ),
  act(54, 7200, user.id, "credential.validate", id("crd", "a")),
  act(
    53,
    86_400,
    user.id,
    "session.create",
    id("ses", "a"),
    "By a sign-in link.",
  ),
  act(52, 90_000, "operator", "sign_in_link.create", user.id, "", ""),
];

const page = (items) => ({ items });
const of = (items) => Object.fromEntries(items.map((item) => [item.id, item]));

/** Every answer of an installation in use. */
export const full = {
  "/api/me": me,
  "/api/workspaces": page(workspaces),
  "/api/nodes": page(nodes),
  "/api/credentials": page(credentials),
  "/api/providers": page(providers),
  "/api/sessions": page(sessions),
  "/api/tokens": page(tokens),
  ...limitsOf(users, nodes, workspaces),
  "/api/warm-pool": {
    minimum: 2,
    machine: {
      credential_id: credentials[0].id,
      region: "fsn1",
      size: "cx23",
      price_per_hour: eur("0.0066"),
    },
    warm: 1,
    being_made: 0,
    problem:
      "Your limit for machines is 4, and 4 is used. Nothing was created. Delete what you do not need (a machine counts until its provider has confirmed that it is gone), or ask an admin to raise the limit: page Limits, or PUT /api/admin/limits with scope user and nodes.",
    next_try_at: hence(420),
    set_at: ago(86_400),
  },
  "/api/admin/users": page(users),
  "/api/admin/audit": page(audit),
  catalog,
  workspaces: of(workspaces),
  nodes: of(nodes),
  events,
};

/** A newcomer's. */
export const empty = {
  ...full,
  "/api/me": { ...me, user: { ...user, role: "member" } },
  "/api/workspaces": page([]),
  "/api/nodes": page([]),
  "/api/warm-pool": { minimum: 0, warm: 0, being_made: 0 },
  "/api/credentials": page([]),
  "/api/sessions": page(sessions.slice(0, 1)),
  "/api/tokens": page([]),
  workspaces: {},
  nodes: {},
  events: [],
};
