// An installation whose workspaces are containers: what was asked of them, how far they are, what was measured, what failed.
import { full, ID, me } from "./data.mjs";

const GIB = 1024 ** 3;
const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();

const usual = {
  image: "docker.io/library/buildpack-deps:bookworm-scm",
  cpu_limit: 1,
  memory_limit_bytes: 2 * GIB,
  disk_quota_bytes: 5 * GIB,
  pids_limit: 512,
  network: "internet",
};
const container = {
  ...usual,
  image: "ghcr.io/ada/blog-tools:2026-11",
  cpu_limit: 1.5,
  network: "restricted",
  allowed_domains: ["github.com", "ghcr.io", "deb.debian.org"],
  repository: { url: "https://github.com/ada/blog", branch: "main" },
  env: ["EDITOR", "RUST_LOG"],
  secrets: ["deploy-key"],
};

const check = (id, title, measured, rule, outcome = "pass", must = true) => ({
  id,
  title,
  rule,
  measured,
  outcome,
  must_pass: must,
});
const inside = [
  check(
    "capabilities",
    "It has no capabilities.",
    "CapEff 0000000000000000",
    "all capabilities dropped",
  ),
  check(
    "no_new_privileges",
    "Nothing in it gains privileges.",
    "NoNewPrivs 1",
    "no-new-privileges",
  ),
  check(
    "seccomp",
    "System calls are filtered.",
    "Seccomp 2, unshare(CLONE_NEWUSER): EPERM",
    "seccomp filter",
  ),
  check("user", "It runs as an ordinary user.", "uid 1000", "user 1000"),
  check(
    "root",
    "Its root file system cannot be written.",
    "touch /x: Read-only file system",
    "read-only root",
  ),
  check(
    "metadata",
    "The cloud’s metadata service is out of reach.",
    "169.254.169.254: no answer, fd00:ec2::254: no route",
    "no metadata",
  ),
  check(
    "memory",
    "Its memory is limited.",
    "memory.max 2147483648",
    "memory limit",
  ),
];
const host = [
  check(
    "listening",
    "Nothing listens for the network.",
    "no sockets beyond loopback",
    "no listening port on a VM",
  ),
  check(
    "firewall_v4",
    "The firewall drops what comes in over IPv4.",
    "18 rules, 0 missing, 412 packets dropped",
    "firewall loaded",
  ),
  check(
    "firewall_v6",
    "The firewall drops what comes in over IPv6.",
    "16 rules, 0 missing, 3 packets dropped",
    "firewall loaded",
  ),
  check(
    "runtime",
    "The container runtime has the fixes of November 2025.",
    "runc 1.3.6",
    "runtime no older than 1.3.3",
  ),
  check(
    "bootstrap_token",
    "The bootstrap token is nowhere on the disk.",
    "0 of 41 files hold it",
    "user-data erased",
  ),
  check(
    "swap",
    "There is no swap.",
    "SwapTotal 0 kB",
    "memory limits without swap",
    "fail",
    false,
  ),
];
const broken = host.map((one) =>
  one.id === "firewall_v6"
    ? {
        ...one,
        outcome: "fail",
        measured: "chain RINGFENCE-FORWARD: 2 of 9 rules are missing",
      }
    : one,
);
const posture = (checks, seconds) => ({
  holds: checks.every((one) => !one.must_pass || one.outcome === "pass"),
  measured_at: ago(seconds),
  checks,
});

const creating = {
  ...full.workspaces[ID.booting],
  state: "creating",
  state_since_at: ago(21),
  created_at: ago(40),
  reason: "Its node is making it.",
  container,
};
const workspaces = {
  ...full.workspaces,
  [ID.booting]: {
    ...creating,
    node: { ...creating.node, state: "ready", engine: "podman" },
  },
  [ID.running]: {
    ...full.workspaces[ID.running],
    container,
    node: { ...full.workspaces[ID.running].node, engine: "podman" },
  },
  [ID.failed]: {
    ...full.workspaces[ID.failed],
    container: usual,
    failure: "image_not_found",
    reason:
      "The registry has no such image. Check its name and tag, then create the workspace again. Seen: ghcr.io answered 404: manifest unknown: 2026-13",
    node: {
      ...full.workspaces[ID.failed].node,
      engine: "docker",
      state: "ready",
    },
  },
};
const nodes = {
  ...full.nodes,
  [ID.node]: { ...full.nodes[ID.node], engine: "podman" },
  [ID.bootingNode]: {
    ...full.nodes[ID.bootingNode],
    state: "ready",
    engine: "podman",
    health: "connected",
  },
  [ID.failedNode]: {
    ...full.nodes[ID.failedNode],
    engine: "docker",
    failure: "posture_failed",
    reason:
      "Being deleted at the provider. The machine was measured, and what must hold did not, so it was not used. Its posture names the check that failed.",
  },
};
const event = (number, seconds, workspaceId, kind) => ({
  id: number,
  at: ago(seconds),
  node_id: ID.bootingNode,
  ...(workspaceId ? { workspace_id: workspaceId } : {}),
  ...kind,
});

export const contained = {
  ...full,
  "/api/me": {
    ...me,
    engine: "containers",
    container_limits: {
      default: usual,
      cpu_limit_max: 16,
      memory_limit_bytes_max: 64 * GIB,
      disk_quota_bytes_max: 100 * GIB,
      pids_limit_max: 4096,
      network_max: "internet",
    },
  },
  "/api/workspaces": { items: Object.values(workspaces) },
  "/api/nodes": { items: Object.values(nodes) },
  [`/api/workspaces/${ID.running}/posture`]: posture(inside, 180),
  [`/api/nodes/${ID.node}/posture`]: posture(host, 180),
  [`/api/nodes/${ID.failedNode}/posture`]: posture(broken, 40),
  workspaces,
  nodes,
  events: [
    ...full.events.filter((one) => one.node_id !== ID.bootingNode),
    event(316, 40, ID.booting, {
      kind: "workspace_state",
      state: "requested",
      detail: "Accepted.",
    }),
    event(317, 39.6, null, {
      kind: "node_state",
      state: "provisioning",
      detail: "Asking Hetzner Cloud for a cx33 in hel1.",
    }),
    event(318, 36, null, {
      kind: "node_state",
      state: "booting",
      detail: "The machine exists.",
    }),
    event(319, 22, null, {
      kind: "boot_step",
      step: "load the firewall",
      duration_ms: 58,
    }),
    event(320, 21, ID.booting, {
      kind: "workspace_state",
      state: "creating",
      detail: "Its node is making it.",
    }),
    event(321, 4, ID.booting, {
      kind: "boot_step",
      step: "pull ghcr.io/ada/blog-tools:2026-11",
      duration_ms: 16_400,
    }),
  ],
  progress: {
    workspace_id: ID.booting,
    step: "clone https://github.com/ada/blog",
    detail: "receiving objects",
    done_bytes: 31_457_280,
    total_bytes: 73_400_320,
  },
};
