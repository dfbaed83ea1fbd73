// Pictures of every page, on a phone and a desktop, dark and light, empty, full and failing: into target/screenshots,
// to be looked at. The pages are the built ones under their real content security policy; the data are scenes.
import axe from "axe-core";
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { stage } from "./scenes/api.mjs";
import { full, ID } from "./scenes/data.mjs";
import { PICTURES, shown, terminal } from "./scenes/pictures.mjs";
import { DESKTOP, launch, PHONE, visitor } from "./support/chromium.mjs";
import { serveDist } from "./support/dist.mjs";

const OUT = path.resolve(import.meta.dirname, "../../target/screenshots");
/** Answers that a scene refuses on purpose show as failed loads in the console. */
const REFUSED = [
  /Failed to load resource: the server responded with a status of (401|404|409|422|503)/,
];

let browser;
let site;
before(async () => {
  await mkdir(OUT, { recursive: true });
  [browser, site] = await Promise.all([launch(), serveDist()]);
});
after(async () => {
  await browser?.close();
  site?.close();
});

const only = process.env.RINGFENCE_PICTURES
  ? new RegExp(process.env.RINGFENCE_PICTURES)
  : /./;
const DEVICES = {
  desktop: { viewport: DESKTOP },
  phone: { viewport: PHONE, hasTouch: true, isMobile: true },
};
describe("pages look right", { concurrency: 2 }, () => {
  for (const [device, options] of Object.entries(DEVICES)) {
    test(`on a ${device}, light and dark`, async () => {
      for (const picture of PICTURES) {
        const file = `${picture.name}-${device}`;
        if (!only.test(file)) continue;
        await take(file, picture, options).catch((cause) => {
          throw new Error(`${file}: ${cause.message}`, { cause });
        });
      }
    });
  }
});

test("a terminal is drawn without a graphics card too, under the same policy", async () => {
  const plain = await launch("--disable-3d-apis");
  const { page, assertClean } = await visitor(plain, site.origin);
  await stage(page, full, { terminal });
  await page.goto(`/workspaces/${ID.running}`);
  await shown(page);
  await page.locator(".host[data-renderer=dom]").waitFor();
  const rows = page.locator(".xterm-rows > div");
  assert.match(await rows.nth(1).innerText(), /Cargo\.toml/);
  const colour = await rows
    .nth(0)
    .locator("span")
    .first()
    .evaluate((span) => getComputedStyle(span).color);
  assert.notEqual(
    colour,
    await rows.nth(0).evaluate((row) => getComputedStyle(row).color),
    "the prompt has its colour",
  );
  await page.screenshot({
    path: path.join(OUT, "workspace-terminal-without-webgl.png"),
  });
  assertClean([/WebGL/i]);
  await plain.close();
});

async function take(file, picture, options) {
  const { page, assertClean, close } = await visitor(browser, site.origin, {
    ...options,
    colorScheme: "light",
  });
  await stage(page, picture.scene, picture);
  await page.goto(picture.at);
  await page.locator("h1, h2, [role=alert], .timeline").first().waitFor();
  await picture.act?.(page);
  await picture.until?.(page);
  // The first of none: nothing is loading any more.
  await page.locator("[aria-busy=true]").first().waitFor({ state: "detached" });
  await page.evaluate(() => document.fonts.ready);
  await assertFits(page);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await drawn(page);
    await assertAccessible(page);
    await page.screenshot({
      path: path.join(OUT, `${file}-${colorScheme}.png`),
    });
  }
  assertClean(REFUSED);
  await close();
}

/** Two frames: what changed has been drawn, on a canvas too. */
const drawn = (page) =>
  page.evaluate(
    () =>
      new Promise((done) =>
        requestAnimationFrame(() => requestAnimationFrame(() => done())),
      ),
  );

/** What a program can check of WCAG 2.2 AA: names, roles, contrast, structure. */
async function assertAccessible(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    });
    return violations.map(
      (violation) =>
        `${violation.id}: ${violation.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join("; ")}`,
    );
  });
  assert.deepEqual(found, []);
}

/** Nothing is wider than the screen. */
async function assertFits(page) {
  const [wanted, there] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  if (wanted > there)
    throw new Error(`${wanted - there} px wider than the screen`);
}
