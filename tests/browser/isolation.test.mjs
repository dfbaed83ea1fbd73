// The modes of isolation and the limits, as a person chooses and meets them on the pages.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, visitor } from "./support/chromium.mjs";
import {
  connectCloud,
  openTerminal,
  signIn,
  typeLine,
  until,
} from "./support/person.mjs";
import { startStack } from "./support/stack.mjs";

/**
 * The first request of a browser finds nobody signed in; a limit refuses one; what is over opens no socket, and has a receipt only once
 * its machine is gone.
 */
const EXPECTED = [
  /401 .*\/api\/me\)/,
  /429 /,
  /409 .*\/(receipt|token)\)/,
  /WebSocket connection to .*\/socket' failed/,
];
/** A machine is made, or deleted, and everybody knows. */
const MACHINE_LIMIT_MS = 60_000;
/** Until the provider has confirmed that a machine is gone, and a page that looks now and then has seen it. */
const GONE_LIMIT_MS = 150_000;

let stack;
let browser;
let ada;
before(async () => {
  stack = await startStack();
  browser = await launch();
  ada = await visitor(browser, stack.origin);
  await signIn(ada.page, stack.signInLink);
  await connectCloud(ada.page, stack.cloudToken);
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

/** Opens the dialog, and all of it; gives it. */
async function dialogFor(name, isolation) {
  await ada.page.goto("/workspaces");
  await ada.page
    .getByRole("button", { name: /^Create( a workspace)?$/ })
    .last()
    .click();
  const dialog = ada.page.locator("dialog");
  await dialog.getByRole("button", { name: "Change" }).click();
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByRole("radio", { name: isolation }).check();
  return dialog;
}

const create = (dialog) =>
  dialog.getByRole("button", { name: "Create", exact: true }).click();

test("an ephemeral workspace lives as long as was chosen, and leaves a receipt", async () => {
  const dialog = await dialogFor("brief", /^Ephemeral/);
  await dialog.getByLabel("Lives at most").selectOption({ label: "15 min" });
  await create(dialog);
  await openTerminal(ada.page, MACHINE_LIMIT_MS);
  const asked = await ada.page.evaluate(async () => {
    const { items } = await (await fetch("/api/nodes")).json();
    const [node] = items;
    return Date.parse(node.hard_deadline_at) - Date.parse(node.created_at);
  });
  assert.ok(asked > 0 && asked <= 15 * 60_000 + 5_000, `${asked} ms`);
  await typeLine(
    ada.page,
    "mkdir .ringfence; printf '#!/bin/sh\\necho the last word\\n' > .ringfence/save; chmod +x .ringfence/save; echo hook-$((1 + 1))",
  );
  await until(ada.page, (text) => text.includes("hook-2"), "the hook");
  await ada.page.getByRole("button", { name: "Delete" }).click();
  await ada.page
    .locator("dialog")
    .getByRole("button", { name: "Delete" })
    .click();
  await ada.page.waitForURL("**/workspaces");
  await ada.page.getByText("Ended", { exact: true }).click();
  await ada.page.locator("details li a", { hasText: "brief" }).click();
  await ada.page
    .getByRole("heading", { name: "Receipt" })
    .waitFor({ timeout: GONE_LIMIT_MS });
  await ada.page.getByText("the last word").waitFor();
  await ada.page
    .getByText(/bills every started hour in full/)
    .first()
    .waitFor();
});

test("a dedicated machine is made once, and taken again at no extra cost", async () => {
  await create(await dialogFor("first", /^Dedicated/));
  await openTerminal(ada.page, MACHINE_LIMIT_MS);
  const dialog = await dialogFor("second", /^Dedicated/);
  await dialog.getByText("On your dedicated node").waitFor();
  await create(dialog);
  await openTerminal(ada.page, MACHINE_LIMIT_MS);
  await ada.page.goto("/nodes");
  await ada.page.locator("main li a").first().waitFor();
  const dedicated = await ada.page.evaluate(async () => {
    const { items } = await (await fetch("/api/nodes")).json();
    return items.filter(
      (node) => node.isolation === "dedicated" && node.state === "ready",
    );
  });
  assert.equal(dedicated.length, 1);
  assert.equal(dedicated[0].workspaces.length, 2);
});

test("a limit that an admin sets is met with what it is and what is used of it", async () => {
  await ada.page.goto("/limits");
  await ada.page.getByLabel("Workspaces", { exact: true }).fill("2");
  await ada.page.getByRole("button", { name: "Save" }).click();
  await ada.page.getByText("Saved.").waitFor();
  const dialog = await dialogFor("third", /^Yours/);
  await create(dialog);
  const problem = dialog.getByRole("alert");
  await problem.getByText("limit_reached").waitFor();
  const said = await problem.innerText();
  assert.match(said, /2/, said);
  await ada.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await ada.page.goto("/limits");
  await ada.page.getByLabel("Workspaces", { exact: true }).fill("");
  await ada.page.getByRole("button", { name: "Save" }).click();
  await ada.page.getByText("Saved.").waitFor();
  await create(await dialogFor("third", /^Yours/));
  await openTerminal(ada.page, MACHINE_LIMIT_MS);
  ada.assertClean(EXPECTED);
});
