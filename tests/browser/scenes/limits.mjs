// Limits, tenants and what is used, for the pictures.
const item = (scope, measure, usage, limit) => ({
  scope,
  measure,
  usage,
  ...(limit ? { limit } : {}),
});
const used = (scope, month) => [
  item(scope, "nodes", "3", "4"),
  item(scope, "workspaces", "4"),
  item(scope, "ephemeral_workspaces", "1", "100"),
  item(scope, "cost_per_hour", "0.0198", "0.50"),
  item(scope, "cost_per_month", month, "20.00"),
];

/** Answers about limits for a user of a tenant. */
export const limitsOf = (users, nodes, workspaces) => ({
  "/api/usage": { items: used("user", "3.10") },
  "/api/tenant/usage": { items: used("tenant", "12.40") },
  "/api/tenant/budget-alerts": { items: [] },
  "/api/admin/budget-alerts": { items: [] },
  "/api/tenant/users": { items: users },
  "/api/tenant/nodes": {
    items: nodes.map((node) => ({ ...node, user_id: users[0].id })),
  },
  "/api/tenant/workspaces": {
    items: workspaces.map((workspace) => ({
      ...workspace,
      user_id: users[1].id,
      node_id: workspace.node.id,
    })),
  },
  "/api/admin/tenants": {
    items: [
      {
        id: users[0].tenant_id,
        name: "Analytical Engines",
        created_at: users[0].created_at,
      },
      {
        id: "ten_00000000000000000002",
        name: "Night shift",
        created_at: users[0].created_at,
      },
    ],
  },
  "/api/admin/limits": {
    scope: "installation",
    set: { cost_per_month: "20.00" },
    items: used("installation", "14.20"),
  },
  "/api/admin/quota": {
    since_at: new Date(
      Math.floor(Date.now() / 86_400_000) * 86_400_000,
    ).toISOString(),
    items: [
      { quota: "requests", limit: 100_000, estimate: 3_120 },
      { quota: "object_requests", limit: 100_000, estimate: 1_904 },
      { quota: "rows_read", limit: 5_000_000, estimate: 164_300 },
      { quota: "rows_written", limit: 100_000, estimate: 84_250 },
      { quota: "object_duration", limit: 13_000, estimate: 3_870 },
      { quota: "object_rows_written", limit: 100_000, estimate: 2_410 },
    ],
    how: "Estimated from rows: the time nodes have lived today, the machines that were asked for, events and acts that were recorded.",
    idle_nodes_carried: 2_023,
  },
});
