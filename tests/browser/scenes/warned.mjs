// Scenes of what is told to who has to act: budgets that run out, a machine whose agent is away, what may be had, what has ended.
import { problem } from "./api.mjs";
import { contained } from "./contained.mjs";
import { full, ID } from "./data.mjs";
import { stuck, tended } from "./lives.mjs";

const NOW = Date.now();
const ago = (seconds) => new Date(NOW - seconds * 1000).toISOString();
const month = (scope, usage) => ({
  scope,
  measure: "cost_per_month",
  usage,
  limit: "20.00",
});
const users = full["/api/admin/users"].items;
const reached = [
  {
    scope: "installation",
    percent: 100,
    spent: "20.02",
    budget: "20.00",
    at: ago(900),
  },
  {
    scope: "user",
    id: users[1].id,
    percent: 80,
    spent: "8.03",
    budget: "10.00",
    at: ago(90_000),
  },
  {
    scope: "tenant",
    id: users[0].tenant_id,
    percent: 50,
    spent: "25.00",
    budget: "50.00",
    at: ago(200_000),
  },
];

/** An admin's own budget nearly spent, and the installation's spent. */
const spent = {
  ...full,
  "/api/usage": { items: [month("user", "16.84")] },
  "/api/admin/limits": {
    scope: "installation",
    set: { cost_per_month: "20.00" },
    items: [month("installation", "20.14")],
  },
  "/api/admin/budget-alerts": { items: reached },
  "/api/tenant/budget-alerts": { items: reached.slice(1) },
};

const lost = {
  ...full.nodes[ID.node],
  health: "disconnected",
  away_since_at: ago(3 * 3600),
};
/** A machine whose agent is away. */
const away = {
  ...full,
  nodes: { ...full.nodes, [ID.node]: lost },
  "/api/nodes": { items: [lost, ...full["/api/nodes"].items.slice(2)] },
};

const dedicated = { ...full.nodes[ID.node], isolation: "dedicated" };
/** A dedicated machine that is there already. */
const taken = {
  ...contained,
  nodes: { ...full.nodes, [ID.node]: dedicated },
  "/api/nodes": { items: [dedicated] },
};

/** An installation that allows little. */
const bounded = {
  ...contained,
  "/api/me": {
    ...contained["/api/me"],
    container_limits: {
      ...contained["/api/me"].container_limits,
      network_max: "restricted",
      image_registries: ["docker.io/library", "ghcr.io/ada"],
      default: {
        ...contained["/api/me"].container_limits.default,
        network: "none",
      },
    },
  },
};

const gone = (item, seconds, reason) => ({
  ...item,
  state: "gone",
  state_since_at: ago(seconds),
  reason,
});
/** One with things that are over. */
const over = {
  ...full,
  ended: {
    "/api/workspaces": [
      gone(
        { ...full.workspaces[ID.running], id: `wsp_${"e".repeat(20)}` },
        7200,
        "Its owner deleted it.",
      ),
      gone(
        {
          ...full.workspaces[ID.stopped],
          id: `wsp_${"f".repeat(20)}`,
          name: "old-experiment",
        },
        9 * 86_400,
        "It was stopped for a day, and its files were deleted.",
      ),
    ],
    "/api/nodes": [
      gone(
        { ...full.nodes[ID.node], id: `nod_${"e".repeat(20)}` },
        7000,
        "No machine is left. Nobody used it for 30 minutes.",
      ),
    ],
  },
};

const NO_PRICES = problem(
  503,
  "unavailable",
  "Not available for the moment",
  "The database did not answer. Nothing was changed; try again in a moment.",
);
const create = async (page) => {
  await page.getByRole("button", { name: "Create", exact: true }).click();
};
const ended = (page) => page.getByText("Ended", { exact: true }).click();
const suspended = {
  ...tended,
  "/api/admin/nodes/suspended": {
    items: [
      ...stuck["/api/admin/nodes/suspended"].items,
      {
        id: `nod_${"n".repeat(20)}`,
        user_id: users[2].id,
        state: "ready",
        state_since_at: ago(8000),
        reason: "Ready for workspaces.",
      },
    ],
  },
};

export const WARNED = [
  {
    name: "budgets-banner",
    at: "/workspaces",
    scene: spent,
    until: (page) => page.getByText("is spent: 20.14").waitFor(),
  },
  {
    name: "budgets-limits",
    at: "/limits",
    scene: spent,
    act: async (page) => {
      await page.getByRole("button", { name: "Dismiss" }).first().click();
      await page.getByText("Budgets this month").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "budgets-tenant",
    at: "/tenant",
    scene: spent,
    until: (page) => page.getByText("8.03 of 10.00").waitFor(),
  },
  {
    name: "node-away",
    at: `/nodes/${ID.node}`,
    scene: away,
    until: (page) => page.getByText("has been away since").waitFor(),
  },
  { name: "nodes-away", at: "/nodes", scene: away },
  {
    name: "workspace-away",
    at: `/workspaces/${ID.running}`,
    scene: away,
    until: (page) => page.getByText("has been away since").waitFor(),
  },
  {
    name: "create-no-prices",
    at: "/workspaces",
    scene: full,
    refuse: {
      [`GET /api/credentials/crd_${"a".repeat(20)}/catalog`]: NO_PRICES,
    },
    act: create,
    until: (page) => page.getByText("Nothing is created before").waitFor(),
  },
  {
    name: "create-dedicated",
    at: "/workspaces",
    scene: taken,
    act: async (page) => {
      await create(page);
      await page.getByRole("button", { name: "Change" }).click();
      await page.getByText("Dedicated", { exact: true }).click();
      await page.getByText("On your dedicated node").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "create-bounded",
    at: "/workspaces",
    scene: bounded,
    act: async (page) => {
      await create(page);
      await page.getByRole("button", { name: "Change" }).click();
      await page.getByLabel("Image").fill("quay.io/any/thing");
      await page.getByLabel("Processes").fill("9000");
      await page
        .getByText("Images come from docker.io/library")
        .scrollIntoViewIfNeeded();
    },
  },
  {
    name: "workspaces-ended",
    at: "/workspaces",
    scene: over,
    act: ended,
    until: (page) => page.getByText("old-experiment").waitFor(),
  },
  {
    name: "nodes-ended",
    at: "/nodes",
    scene: over,
    act: async (page) => {
      await ended(page);
      await page.getByText("in all").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "installation-suspended",
    at: "/installation",
    scene: suspended,
    act: async (page) => {
      await page.getByRole("button", { name: "Destroy" }).click();
      await page.locator("dialog").waitFor();
    },
  },
];
