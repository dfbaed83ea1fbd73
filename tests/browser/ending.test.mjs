// What a page says before a workspace ends by itself: in itself, in its title, and through the browser to who looks elsewhere.
// The ends are the control plane's; only the browser's clock is put forward, where ten minutes would have to be waited for.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { lookAway, mayNotify, watched } from "./support/absence.mjs";
import { launch, visitor } from "./support/chromium.mjs";
import {
  connectCloud,
  openTerminal,
  signIn,
  typeLine,
  until,
} from "./support/person.mjs";
import { startStack } from "./support/stack.mjs";

/** The first request of a browser finds nobody signed in. */
const EXPECTED = [/401 .*\/api\/me\)/];
/** A machine is made, or deleted, and everybody knows. */
const MACHINE_LIMIT_MS = 60_000;

let stack;
let browser;
let ada;
let session;
/** It is stopped after a quarter of an hour without use: long enough for both warnings. */
let patient;
before(async () => {
  stack = await startStack();
  browser = await launch();
  ada = await visitor(browser, stack.origin);
  await signIn(ada.page, stack.signInLink);
  await connectCloud(ada.page, stack.cloudToken);
  patient = await create({ name: "patient", idle_timeout_secs: 900 });
  await ada.page.goto(`/workspaces/${patient}`);
  await openTerminal(ada.page, MACHINE_LIMIT_MS);
  session = await ada.context.storageState();
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

const create = (params) =>
  ada.page.evaluate(async (params) => {
    const answer = await fetch("/api/workspaces", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(params),
    });
    const made = await answer.json();
    if (!answer.ok) throw new Error(JSON.stringify(made));
    return made.id;
  }, params);

/** Another browser of the same person, at a workspace whose terminal is open. */
async function at(workspace, setting) {
  const who = await visitor(browser, stack.origin, { storageState: session });
  await watched(who.context);
  await who.page.goto(`/workspaces/${workspace}`);
  if (setting) await mayNotify(who, setting);
  await openTerminal(who.page, MACHINE_LIMIT_MS);
  return who;
}

const banner = (page) => page.getByRole("region", { name: "Ends soon" });
const notices = (page) => page.evaluate(() => window.notices);
/** Puts the browser's clock to so many seconds before the workspace ends, as the control plane has it. */
const leave = (page, seconds) =>
  page.evaluate(
    async ([path, seconds]) => {
      const { ending } = await (await fetch(path)).json();
      window.putClock(Date.parse(ending.at) - 1000 * seconds);
    },
    [`/api/workspaces/${patient}`, seconds],
  );
const titled = (page, pattern) =>
  page.waitForFunction(
    (source) => new RegExp(source).test(document.title),
    pattern.source,
  );

test("ten minutes before its end a workspace's page says so, and in its title", async () => {
  const { page, assertClean, close } = await at(patient, "prompt");
  await leave(page, 650);
  await titled(page, /^patient · Ringfence$/);
  assert.equal(await banner(page).count(), 0, "it is too early");

  await leave(page, 595);
  await banner(page)
    .getByText(/^Stops in 9 min( \d+ s)?\.$/)
    .waitFor();
  await banner(page)
    .getByText("It is stopped when it was not used for 15 minutes.")
    .waitFor();
  await titled(page, /^\(10 min\) patient · Ringfence$/);
  // Said once to who hears the page, and not each second.
  const alert = page.getByRole("alert").filter({ hasText: "Stops in" });
  const said = await alert.textContent();
  await banner(page)
    .getByText(/^Stops in 9 min [1-4]?\d s\.$/)
    .waitFor();
  assert.equal(await alert.textContent(), said);

  await leave(page, 100);
  await banner(page)
    .getByText(/^Stops in [45]\d s\.$|^Stops in 1 min( \d+ s)?\.$/)
    .waitFor();
  await titled(page, /^\((2 min|1 min|under 1 min)\) patient · Ringfence$/);
  assert.deepEqual(await notices(page), [], "nobody was asked for leave yet");
  assertClean(EXPECTED);
  await close();
});

test("who has not allowed notices is asked by a button, and who has refused them is left alone", async () => {
  for (const setting of ["prompt", "denied"]) {
    const who = await at(patient, setting);
    const back = await lookAway(who);
    await leave(who.page, 500);
    // In steps, as nobody looks; the title is what a tab still shows.
    await titled(who.page, /^\((9|8) min\) patient/);
    await leave(who.page, 100);
    await titled(who.page, /^\((2|1|under 1) min\) patient/);
    assert.deepEqual(await notices(who.page), [], setting);
    await back();
    const ask = banner(who.page).getByRole("button", { name: "Notify me" });
    await banner(who.page).waitFor();
    assert.equal(await ask.count(), setting === "prompt" ? 1 : 0);
    if (setting === "prompt") {
      await mayNotify(who, "granted");
      await ask.waitFor({ state: "detached" });
    }
    who.assertClean(EXPECTED);
    await who.close();
  }
});

test("who looks elsewhere is told once at ten minutes and once at two, and who looks is not", async () => {
  const looking = await at(patient, "granted");
  const who = await at(patient, "granted");
  const back = await lookAway(who);
  for (const { page } of [looking, who]) await leave(page, 530);
  await titled(who.page, /^\(9 min\) patient/);
  await who.page.waitForFunction(() => window.notices.length === 1);
  for (const { page } of [looking, who]) await leave(page, 350);
  await titled(who.page, /^\((6|5) min\) patient/);
  assert.equal((await notices(who.page)).length, 1, "it was told already");

  for (const { page } of [looking, who]) await leave(page, 110);
  await who.page.waitForFunction(() => window.notices.length === 2);
  await titled(who.page, /^\((2|1) min\) patient/);
  const [first, second] = await notices(who.page);
  assert.match(first.title, /^patient: stops in 8 min/);
  assert.match(second.title, /^patient: stops in 1 min/);
  assert.match(second.body, /^It is stopped when it was not used for/);
  assert.notEqual(first.tag, second.tag, "the second rings too");
  assert.deepEqual([first.closed, second.closed], [true, false]);

  await banner(looking.page).waitFor();
  assert.deepEqual(await notices(looking.page), [], "the page was enough");
  await back();

  // Kept in one browser, it is kept in the other.
  await banner(looking.page)
    .getByRole("button", { name: "Keep it for an hour" })
    .press("Enter");
  for (const { page, assertClean, close } of [looking, who]) {
    await banner(page).waitFor({ state: "detached", timeout: 40_000 });
    await titled(page, /^patient · Ringfence$/);
    assertClean(EXPECTED);
    if (page === who.page) {
      const all = await notices(page);
      assert.deepEqual(
        all.map((notice) => notice.closed),
        [true, true],
        "what is not so any more does not stand there",
      );
    }
    await close();
  }
});

test("a workspace in use is not warned of; left alone it is, stops, and says what it saved", async () => {
  const id = await create({ name: "hasty", idle_timeout_secs: 40 });
  const { page, assertClean, close } = await at(id);
  await typeLine(
    page,
    "mkdir .ringfence; printf '#!/bin/sh\\necho kept all of it\\n' > .ringfence/save; chmod +x .ringfence/save; echo hook-$((1 + 1))",
  );
  await until(page, (text) => text.includes("hook-2"), "the hook");
  // The page learns of no use: it has to ask before it believes in an end. For longer than it may be idle.
  await page.evaluate(() => {
    window.warned = 0;
    new MutationObserver(() => {
      if (document.querySelector("[aria-label='Ends soon']"))
        window.warned += 1;
    }).observe(document.body, { childList: true, subtree: true });
  });
  const end = Date.now() + 50_000;
  while (Date.now() < end) {
    await typeLine(page, "true");
    // The pace of somebody at work, who is the cause here: there is nothing to wait for.
    await page.waitForTimeout(2000);
  }
  assert.equal(await page.evaluate(() => window.warned), 0);

  await banner(page)
    .getByText(/^Stops in \d+ s\.$/)
    .waitFor({ timeout: 60_000 });
  await titled(page, /^\(under 1 min\) hasty/);
  await page
    .getByRole("paragraph")
    .filter({
      hasText: "It was stopped because it was not used for 40 seconds.",
    })
    .waitFor({ timeout: 60_000 });
  await page.getByText("Its save hook has run").waitFor();
  await page.getByText("kept all of it").waitFor();
  await banner(page).waitFor({ state: "detached" });
  await titled(page, /^hasty · Ringfence$/);
  assertClean(EXPECTED);
  await close();
});

test("an ephemeral workspace's page counts down to its end, which nobody puts off, and keeps its receipt", async () => {
  const id = await create({
    name: "brief",
    isolation: "ephemeral",
    max_duration_secs: 75,
  });
  const { page, assertClean, close } = await at(id);
  await banner(page)
    .getByText(/^Is destroyed with its node in (1 min( \d+ s)?|\d+ s)\.$/)
    .waitFor();
  assert.equal(await page.getByRole("button", { name: /^Keep/ }).count(), 0);
  await titled(page, /^\((2|1|under 1) min\) brief/);
  await page.getByText("Receipt").waitFor({ timeout: 150_000 });
  await page.getByText("the provider confirmed").waitFor();
  assert.equal(await banner(page).count(), 0);
  await titled(page, /^(Workspace|brief) · Ringfence$/);
  assertClean([...EXPECTED, /409 .*receipt\)/]);
  await close();
});
