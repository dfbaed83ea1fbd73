// The main job by hand, through the pages: sign in, connect a cloud, create a workspace, use it, look after it, and
// leave nothing that costs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DESKTOP, launch, PHONE, visitor } from "./support/chromium.mjs";
import {
  connectCloud,
  createWorkspace,
  openTerminal,
  signIn,
  typeLine,
  until,
} from "./support/person.mjs";
import { startStack } from "./support/stack.mjs";

/** Until a machine is gone at the cloud and everybody knows. */
const GONE_LIMIT_MS = 60_000;
/** The console tells that nobody was signed in at first, and what a test had refused. */
const EXPECTED = [/401 .*\/api\/me\)/, /(401|403|404|409|422) /];

let stack;
let browser;
let ada;
before(async () => {
  stack = await startStack();
  browser = await launch();
  ada = await visitor(browser, stack.origin);
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

test("a visitor without a session is told how to get one", async () => {
  const stranger = await visitor(browser, stack.origin);
  await stranger.page.goto("/nodes");
  await stranger.page
    .getByRole("heading", { name: "You are not signed in" })
    .waitFor();
  stranger.assertClean(EXPECTED);
  await stranger.close();
});

test("a sign-in link signs in after a click, once", async () => {
  await signIn(ada.page, stack.signInLink);
  const thief = await visitor(browser, stack.origin);
  await thief.page.goto(stack.signInLink);
  await thief.page.getByRole("button", { name: "Sign in" }).click();
  await thief.page.getByText("link_invalid").waitFor();
  thief.assertClean(EXPECTED);
  await thief.close();
});

test("a newcomer is led to connect a cloud, and a wrong key is explained", async () => {
  await ada.page.getByRole("link", { name: "Connect a cloud" }).click();
  await ada.page.getByRole("button", { name: "Connect a cloud" }).click();
  await ada.page
    .getByLabel("Key", { exact: true })
    .fill("not-a-key-of-anybody");
  await ada.page.getByRole("button", { name: "Connect", exact: true }).click();
  await ada.page.getByText("credential_rejected").waitFor();
  await ada.page.keyboard.press("Escape");
  await ada.page.locator("dialog").waitFor({ state: "detached" });
  await connectCloud(ada.page, stack.cloudToken);
  await ada.page.getByRole("button", { name: "Try the key" }).click();
  await ada.page.getByText(/accepts the key/).waitFor();
});

test("one click creates a workspace; its way is shown and ends in a terminal", async () => {
  const created = createWorkspace(ada.page);
  await ada.page.locator("[data-step=booting]").waitFor();
  await created;
  await typeLine(ada.page, "echo it-is-$((40 + 2))");
  await until(ada.page, (text) => text.includes("it-is-42"), "the answer");
  await ada.page.getByRole("button", { name: "Details" }).click();
  await ada.page.locator("[data-step=running][data-status=done]").waitFor();
  await ada.page.locator(".parts li").first().waitFor();
  await ada.page.getByText("unconfined").first().waitFor();
});

test("prices and sizes are shown before a workspace is created with them", async () => {
  await ada.page.goto("/workspaces");
  await ada.page.getByRole("button", { name: "Create", exact: true }).click();
  await ada.page.getByRole("button", { name: "Change" }).click();
  const dialog = ada.page.locator("dialog");
  await dialog.getByText(/\/h/).first().waitFor();
  await dialog.getByLabel("Name").fill("Not a name");
  assert.ok(
    await dialog
      .getByRole("button", { name: "Create", exact: true })
      .isDisabled(),
  );
  await dialog.getByLabel("Name").fill("second-one");
  await dialog.getByRole("button", { name: "Create", exact: true }).click();
  await openTerminal(ada.page, 60_000);
  await ada.page.getByRole("heading", { name: "second-one" }).waitFor();
});

test("a workspace stops and starts again with its files", async () => {
  await typeLine(ada.page, "echo kept > kept.txt && echo written-$((1 + 1))");
  await until(ada.page, (text) => text.includes("written-2"), "the file");
  await ada.page.getByRole("button", { name: "Stop" }).click();
  await ada.page
    .getByRole("button", { name: "Start", exact: true })
    .click({ timeout: 30_000 });
  await openTerminal(ada.page, 60_000);
  await typeLine(ada.page, "clear; cat kept.txt; echo read-$((1 + 1))");
  await until(ada.page, (text) => /kept\s+read-2/.test(text), "the file again");
});

test("the node’s page shows its boot log, and cordons it", async () => {
  await ada.page.goto("/nodes");
  await ada.page.locator("main li a").first().click();
  await ada.page.getByText("trade the bootstrap token").waitFor();
  await ada.page.getByRole("button", { name: "Cordon" }).click();
  await ada.page.getByText("no new workspaces").first().waitFor();
  await ada.page.getByRole("button", { name: "Uncordon" }).click();
  await ada.page.getByRole("button", { name: "Cordon", exact: true }).waitFor();
});

test("a key that nodes need is not deleted, and the page says why", async () => {
  await ada.page.goto("/clouds");
  await ada.page.getByRole("button", { name: "Delete" }).click();
  await ada.page
    .locator("dialog")
    .getByRole("button", { name: "Delete" })
    .click();
  await ada.page.getByText("credential_in_use").waitFor();
  await ada.page.keyboard.press("Escape");
});

test("an API token is shown once and opens the API", async () => {
  await ada.page.goto("/settings");
  await ada.page.getByLabel("What the new token is for").fill("a test");
  await ada.page.getByRole("button", { name: "Make a token" }).click();
  const secret = await ada.page.locator("[data-secret]").innerText();
  const answer = await fetch(`${stack.origin}/api/me`, {
    headers: { authorization: `Bearer ${secret}` },
  });
  assert.equal(answer.status, 200);
  await ada.page.reload();
  await ada.page.getByText("a test").waitFor();
  assert.ok(!(await ada.page.content()).includes(secret));
  await ada.page.getByRole("button", { name: "Revoke" }).click();
  await ada.page
    .locator("dialog")
    .getByRole("button", { name: "Revoke" })
    .click();
  await ada.page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(
    (
      await fetch(`${stack.origin}/api/me`, {
        headers: { authorization: `Bearer ${secret}` },
      })
    ).status,
    401,
  );
});

test("an admin invites a user, who sees nothing of the admin’s, on a phone", async () => {
  await ada.page.goto("/users");
  await ada.page.getByRole("button", { name: "Create a user" }).click();
  await ada.page.getByLabel("Name").fill("grace");
  await ada.page
    .locator("dialog")
    .getByRole("button", { name: "Create", exact: true })
    .click();
  const link = await ada.page.locator("[data-secret]").innerText();
  await ada.page.getByRole("button", { name: "Done" }).click();

  const grace = await visitor(browser, stack.origin, {
    viewport: PHONE,
    isMobile: true,
    hasTouch: true,
  });
  await signIn(grace.page, link);
  await grace.page.getByText("Connect your cloud first").waitFor();
  assert.equal(
    await grace.page.getByRole("link", { name: "Users" }).count(),
    0,
  );

  await ada.page
    .locator("li", { hasText: "grace" })
    .getByRole("button", { name: "Suspend" })
    .click();
  await ada.page
    .locator("dialog")
    .getByRole("button", { name: "Suspend" })
    .click();
  await ada.page
    .locator("li", { hasText: "grace" })
    .getByText("suspended")
    .waitFor();
  await grace.page.goto("/workspaces");
  await grace.page
    .getByRole("heading", { name: "You are not signed in" })
    .waitFor();
  grace.assertClean(EXPECTED);
  await grace.close();
});

test("the audit log has what was done", async () => {
  await ada.page.goto("/activity");
  await ada.page.locator("main ol li").first().waitFor();
  await ada.page.getByRole("button", { name: "Audit log" }).click();
  await ada.page.getByText("credential", { exact: false }).first().waitFor();
});

test("with everything deleted nothing is left that costs", async () => {
  for (let left = 2; left > 0; left -= 1) {
    await ada.page.goto("/workspaces");
    await ada.page.locator("main li a").first().click();
    await ada.page.getByRole("button", { name: "Delete" }).click();
    await ada.page
      .locator("dialog")
      .getByRole("button", { name: "Delete" })
      .click();
    await ada.page.waitForURL("**/workspaces");
    await ada.page.waitForFunction(
      (count) => document.querySelectorAll("main li a").length <= count,
      left - 1,
      { timeout: GONE_LIMIT_MS },
    );
  }
  await ada.page.goto("/nodes");
  // More than one where this computer was so busy that a machine was not used again.
  const nodes = ada.page.locator("main li a");
  await nodes.first().waitFor();
  for (const href of await nodes.evaluateAll((all) => all.map((a) => a.href))) {
    await ada.page.goto(href);
    await ada.page.getByRole("button", { name: "Destroy" }).click();
    // A page that is left takes the requests with it that were not answered yet.
    const asked = ada.page.waitForResponse(
      (response) => response.request().method() === "DELETE",
    );
    await ada.page
      .locator("dialog")
      .getByRole("button", { name: "Destroy" })
      .click();
    await asked;
  }
  await ada.page.goto("/nodes");
  await ada.page
    .getByText("Nothing of yours runs in any cloud")
    .waitFor({ timeout: GONE_LIMIT_MS });
});

test("what is over is found again, with its reason and what it has cost", async () => {
  await ada.page.getByText("Ended", { exact: true }).click();
  await ada.page.getByText("owner deleted it").first().waitFor();
  await ada.page
    .getByText(/ in all$/)
    .first()
    .waitFor();
  await ada.page.goto("/workspaces");
  await ada.page.getByText("Ended", { exact: true }).click();
  await ada.page.locator("details li a", { hasText: "second-one" }).click();
  await ada.page.getByRole("heading", { name: "second-one is gone" }).waitFor();
  await ada.page.goto("/activity");
  await ada.page.locator("main ol li").first().waitFor();
});

test("signing out ends it", async () => {
  await ada.page.setViewportSize(DESKTOP);
  await ada.page.goto("/settings");
  await ada.page.getByRole("button", { name: "Sign out" }).click();
  await ada.page
    .getByRole("heading", { name: "You are not signed in" })
    .waitFor();
  await ada.page.goto("/workspaces");
  await ada.page
    .getByRole("heading", { name: "You are not signed in" })
    .waitFor();
  ada.assertClean(EXPECTED);
});
