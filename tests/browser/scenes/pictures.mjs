// The pictures that are taken of the pages: where, of which scene, and what is done before.
import { mayNotify } from "../support/absence.mjs";
import { opened, output, problem, reset } from "./api.mjs";
import { contained } from "./contained.mjs";
import { empty, full, ID } from "./data.mjs";
import { apart, ending, stuck, tended } from "./lives.mjs";
import { WARNED } from "./warned.mjs";

const SHELL = [
  "\x1b]0;ada@blog-engine: ~/blog\x07\x1b[1;32mada@blog-engine\x1b[0m:\x1b[1;34m~/blog\x1b[0m$ ls --color\n",
  "\x1b[1;34mcontent\x1b[0m  \x1b[1;34mthemes\x1b[0m  Cargo.toml  README.md  \x1b[1;32mbuild.sh\x1b[0m\n",
  "\x1b[1;32mada@blog-engine\x1b[0m:\x1b[1;34m~/blog\x1b[0m$ cargo test\n",
  "\x1b[1;32m   Compiling\x1b[0m blog v0.3.1\n\x1b[1;32m    Finished\x1b[0m test profile [unoptimized] in 4.21s\n\x1b[1;32m     Running\x1b[0m tests/render.rs\n\n",
  "running 3 tests\ntest front_matter_is_read ... \x1b[32mok\x1b[0m\ntest links_are_checked ... \x1b[32mok\x1b[0m\ntest dates_sort ... \x1b[31mFAILED\x1b[0m\n\n",
  "See https://example.org/report for more. ┌─┬─┐ 日本語 ✓ 👩‍💻\n",
  "\x1b[1;32mada@blog-engine\x1b[0m:\x1b[1;34m~/blog\x1b[0m$ ",
].join("");
export const terminal = [opened(), reset(), output(SHELL)];
const REJECTED = problem(
  422,
  "credential_rejected",
  "The provider refused the credential",
  "Hetzner Cloud answered that the token is not valid. Nothing was stored. Make a new token with read and write permission and paste it here.",
);
const IN_USE = problem(
  409,
  "credential_in_use",
  "The credential is in use",
  "Two nodes still need this key to be destroyed. The key was kept. Destroy them on the Nodes page, then delete the key.",
);

/** Each picture: its name, the path, the scene, and what to do before it is taken. */
export const PICTURES = [
  { name: "sign-in", at: "/sign-in#token=abc", scene: empty, signedIn: false },
  {
    name: "sign-in-without-link",
    at: "/workspaces",
    scene: empty,
    signedIn: false,
  },
  {
    name: "sign-in-refused",
    at: "/sign-in#token=abc",
    scene: empty,
    signedIn: false,
    refuse: {
      "POST /api/auth/link": problem(
        401,
        "link_invalid",
        "This sign-in link cannot be used",
        "It was used already, or it is older than ten minutes. Ask for a new one.",
      ),
    },
    act: (page) => page.getByRole("button", { name: "Sign in" }).click(),
  },
  { name: "workspaces-full", at: "/workspaces", scene: full },
  { name: "workspaces-empty", at: "/workspaces", scene: empty },
  { name: "workspaces-failing", at: "/workspaces", scene: full, failing: true },
  {
    name: "workspace-terminal",
    at: `/workspaces/${ID.running}`,
    scene: full,
    terminal,
    until: shown,
  },
  {
    name: "workspace-details",
    at: `/workspaces/${ID.running}`,
    scene: full,
    terminal,
    until: shown,
    act: (page) => page.getByRole("button", { name: "Details" }).click(),
  },
  {
    name: "workspace-reconnecting",
    at: `/workspaces/${ID.running}`,
    scene: full,
    terminal: [...terminal, 4503],
    until: (page) => page.locator("[data-status=reconnecting]").waitFor(),
  },
  {
    name: "workspace-exited",
    at: `/workspaces/${ID.running}`,
    scene: full,
    terminal: [...terminal, 4410],
    until: (page) => page.locator("[data-status=exited]").waitFor(),
  },
  {
    name: "workspace-booting",
    at: `/workspaces/${ID.booting}`,
    scene: full,
    until: (page) =>
      page.locator("[data-step=booting][data-status=active]").waitFor(),
  },
  {
    name: "workspace-ending",
    at: `/workspaces/${ID.running}`,
    scene: ending,
    terminal,
    act: (page) => mayNotify({ context: page.context(), page }, "prompt"),
    until: async (page) => {
      await shown(page);
      await page.getByRole("button", { name: "Notify me" }).waitFor();
    },
  },
  {
    name: "workspace-ending-deleted",
    at: `/workspaces/${ID.stopped}`,
    scene: ending,
    until: (page) => page.getByText("save hook has failed").waitFor(),
    act: (page) => page.getByRole("button", { name: "Keep it" }).waitFor(),
  },
  { name: "workspace-stopped", at: `/workspaces/${ID.stopped}`, scene: full },
  { name: "workspace-failed", at: `/workspaces/${ID.failed}`, scene: full },
  {
    name: "workspace-missing",
    at: "/workspaces/wsp_00000000000000000000",
    scene: full,
    until: (page) => page.getByText("no such workspace").waitFor(),
  },
  {
    name: "create",
    at: "/workspaces",
    scene: full,
    act: (page) =>
      page.getByRole("button", { name: "Create", exact: true }).click(),
    until: (page) => page.locator("dialog").waitFor(),
  },
  {
    name: "create-changed",
    at: "/workspaces",
    scene: full,
    act: async (page) => {
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.getByRole("button", { name: "Change" }).click();
      await page.locator("label", { hasText: "cx33" }).click();
    },
  },
  {
    name: "create-container",
    at: "/workspaces",
    scene: contained,
    act: (page) =>
      page.getByRole("button", { name: "Create", exact: true }).click(),
    until: (page) => page.getByText("A container with").waitFor(),
  },
  {
    name: "create-container-changed",
    at: "/workspaces",
    scene: contained,
    act: async (page) => {
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.getByRole("button", { name: "Change" }).click();
      await page.getByLabel("Image").fill("ghcr.io/ada/blog-tools:2026-11");
      await page.getByLabel("Memory, GB").fill("6");
      await page.getByText("Some domains").click();
      await page
        .getByRole("textbox", { name: "Domains" })
        .fill("github.com deb.debian.org");
      await page.getByLabel("Image").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "create-container-secrets",
    at: "/workspaces",
    scene: contained,
    act: async (page) => {
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.getByRole("button", { name: "Change" }).click();
      await page.getByText("The image needs a login").click();
      await page.getByLabel("Registry user").fill("ada");
      await page.getByRole("button", { name: "Add a secret" }).click();
      await page.getByLabel("Name of secret 1").fill("API_KEY");
      await page
        .getByLabel("Value of secret 1")
        .fill("first line\nsecond line");
      await page.getByRole("button", { name: "Add a secret" }).click();
      await page.getByLabel("Name of secret 2").fill("not a name");
      await page.getByLabel("Name of secret 2").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "create-container-wrong",
    at: "/workspaces",
    scene: contained,
    act: async (page) => {
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.getByRole("button", { name: "Change" }).click();
      await page.getByLabel("Processors").fill("40");
      await page.getByText("Nothing", { exact: true }).click();
      await page
        .getByLabel("Git repository")
        .fill("https://github.com/ada/blog");
      await page.getByLabel("Environment").fill("EDITOR vi");
      await page.getByText("is not NAME=value").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "workspace-creating",
    at: `/workspaces/${ID.booting}`,
    scene: contained,
    until: (page) => page.locator("progress").waitFor(),
  },
  {
    name: "workspace-measured",
    at: `/workspaces/${ID.running}`,
    scene: contained,
    terminal,
    until: (page) => page.getByText("7 of 7 hold").waitFor(),
    act: async (page) => {
      await shown(page);
      await page.getByRole("button", { name: "Details" }).click();
      await page.getByText("7 of 7 hold").click();
      await page.getByText("System calls are filtered").click();
    },
  },
  {
    name: "workspace-failed-image",
    at: `/workspaces/${ID.failed}`,
    scene: contained,
  },
  {
    name: "node-measured",
    at: `/nodes/${ID.node}`,
    scene: contained,
    act: (page) => page.getByText("5 of 5 hold").click(),
  },
  {
    name: "node-broken",
    at: `/nodes/${ID.failedNode}`,
    scene: contained,
    until: (page) => page.getByText("4 of 5 hold").waitFor(),
    act: (page) => page.getByText("drops what comes in over IPv6").click(),
  },
  {
    name: "delete",
    at: `/workspaces/${ID.stopped}`,
    scene: full,
    act: (page) => page.getByRole("button", { name: "Delete" }).click(),
  },
  {
    name: "palette",
    at: "/workspaces",
    scene: full,
    act: async (page) => {
      await page.keyboard.press("Control+k");
      await page.locator("dialog").waitFor();
    },
  },
  { name: "nodes-full", at: "/nodes", scene: full },
  {
    name: "nodes-keep-warm",
    at: "/nodes",
    scene: full,
    act: (page) =>
      page.getByRole("button", { name: "Change", exact: true }).click(),
    until: (page) => page.getByText("together.").waitFor(),
  },
  { name: "nodes-empty", at: "/nodes", scene: empty },
  { name: "nodes-failing", at: "/nodes", scene: full, failing: true },
  {
    name: "node",
    at: `/nodes/${ID.node}`,
    scene: full,
    until: (page) => page.getByText("trade the bootstrap token").waitFor(),
  },
  { name: "clouds-full", at: "/clouds", scene: full },
  { name: "clouds-empty", at: "/clouds", scene: empty },
  { name: "clouds-failing", at: "/clouds", scene: full, failing: true },
  {
    name: "cloud-refused",
    at: "/clouds",
    scene: empty,
    refuse: { "POST /api/credentials": REJECTED },
    act: async (page) => {
      await page.getByRole("button", { name: "Connect a cloud" }).click();
      await page.getByLabel("Key", { exact: true }).fill("not-a-token");
      await page.getByRole("button", { name: "Connect", exact: true }).click();
      await page.getByText("credential_rejected").waitFor();
    },
  },
  {
    name: "cloud-in-use",
    at: "/clouds",
    scene: full,
    refuse: { [`DELETE /api/credentials/crd_${"a".repeat(20)}`]: IN_USE },
    act: async (page) => {
      await page.getByRole("button", { name: "Delete" }).first().click();
      await page
        .locator("dialog")
        .getByRole("button", { name: "Delete" })
        .click();
      await page.getByText("credential_in_use").waitFor();
    },
  },
  {
    name: "activity-full",
    at: "/activity",
    scene: full,
    until: (page) => page.getByText("open the link").waitFor(),
  },
  {
    name: "activity-audit",
    at: "/activity",
    scene: full,
    act: (page) => page.getByRole("button", { name: "Audit log" }).click(),
    until: (page) => page.getByText("user.suspend").waitFor(),
  },
  {
    name: "activity-empty",
    at: "/activity",
    scene: empty,
    until: (page) => page.getByText("Nothing has happened yet").waitFor(),
  },
  { name: "activity-failing", at: "/activity", scene: full, failing: true },
  {
    name: "settings-full",
    at: "/settings",
    scene: full,
    until: (page) => page.getByText("deploy script").waitFor(),
  },
  { name: "settings-empty", at: "/settings", scene: empty },
  { name: "settings-failing", at: "/settings", scene: full, failing: true },
  {
    name: "users-full",
    at: "/users",
    scene: full,
    until: (page) => page.getByText("Grace").waitFor(),
  },
  { name: "users-failing", at: "/users", scene: full, failing: true },
  {
    name: "installation",
    at: "/installation",
    scene: tended,
    until: (page) => page.getByText("Machines are made").waitFor(),
    act: async (page) => {
      await page.getByRole("button", { name: "What would they do" }).click();
      await page.getByText("Would delete the machine").waitFor();
    },
  },
  {
    name: "installation-paused",
    at: "/installation",
    scene: stuck,
    until: (page) => page.getByText("No machines are made").waitFor(),
  },
  {
    name: "installation-forget",
    at: "/installation",
    scene: stuck,
    act: async (page) => {
      await page.getByRole("button", { name: "Forget" }).first().click();
      await page.locator("dialog input").fill(`nod_${"k".repeat(20)}`);
    },
  },
  {
    name: "installation-failing",
    at: "/installation",
    scene: tended,
    failing: true,
  },
  {
    name: "node-life",
    at: `/nodes/${ID.node}`,
    scene: tended,
    until: (page) => page.locator("[data-life=ready]").waitFor(),
    act: (page) => page.getByText("What happened so far").click(),
  },
  {
    name: "node-forget",
    at: `/nodes/${ID.failedNode}`,
    scene: stuck,
    act: async (page) => {
      await page.getByRole("button", { name: "Forget" }).click();
      await page.locator("dialog input").fill(ID.failedNode);
    },
  },
  {
    name: "node-gateway",
    at: `/nodes/${ID.node}`,
    scene: apart,
    act: async (page) => {
      await page.getByRole("button", { name: "Make a token" }).click();
      await page.getByRole("button", { name: "Make it" }).click();
      await page.locator("[data-secret]").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "workspace-receipt",
    at: `/workspaces/${ID.stopped}`,
    scene: apart,
    until: (page) => page.getByText("pushed 3 commits").waitFor(),
  },
  {
    name: "users-membership",
    at: "/users",
    scene: full,
    act: (page) =>
      page.getByRole("button", { name: "Tenant and role" }).nth(1).click(),
    until: (page) => page.getByLabel("Tenant", { exact: true }).waitFor(),
  },
  {
    name: "limits-full",
    at: "/limits",
    scene: full,
    until: (page) => page.getByText("The plan carries").waitFor(),
  },
  {
    name: "limits-quota",
    at: "/limits",
    scene: full,
    act: (page) => page.getByText("The plan carries").scrollIntoViewIfNeeded(),
  },
  { name: "limits-failing", at: "/limits", scene: full, failing: true },
  {
    name: "tenant-full",
    at: "/tenant",
    scene: full,
    until: (page) => page.getByRole("heading", { name: "Nodes" }).waitFor(),
  },
  { name: "tenant-failing", at: "/tenant", scene: full, failing: true },
  { name: "missing", at: "/nothing/here", scene: full },
  ...WARNED,
];

/** The terminal is open, and all of it is drawn. */
export async function shown(page) {
  await page.locator("[data-terminal=main][data-status=open]").waitFor();
  await page
    .locator(
      `[data-drawn="${Buffer.byteLength(SHELL.replaceAll("\n", "\r\n"))}"]`,
    )
    .waitFor();
}
