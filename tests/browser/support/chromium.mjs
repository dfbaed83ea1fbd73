// A browser as a person has it, watched: a console error, a violation of the content security policy, an uncaught
// exception or a request to anybody else fails the test that saw it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
export const PHONE = { width: 360, height: 740 };
export const DESKTOP = { width: 1280, height: 800 };

export function launch(...flags) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
    args: [...FLAGS, ...flags],
  });
}

/** A fresh profile at `origin`. `complaints` gathers what the page did wrong; `assertClean` fails when it did. */
export async function visitor(browser, origin, options = {}) {
  const context = await browser.newContext({
    baseURL: origin,
    viewport: DESKTOP,
    reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  const complaints = [];
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (
      !["data:", "blob:"].includes(url.protocol) &&
      url.host !== new URL(origin).host
    )
      complaints.push(`a request to ${url.origin}`);
  });
  context.on("console", (message) => {
    if (message.type() === "error")
      complaints.push(`console: ${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) =>
    complaints.push(
      `uncaught: ${error.error().stack ?? error.error().message}`,
    ),
  );
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(
        `CSP ${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`,
      ),
    );
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const assertClean = (allowed = []) => {
    const left = complaints.filter(
      (complaint) => !allowed.some((pattern) => pattern.test(complaint)),
    );
    assert.deepEqual(left, []);
  };
  return {
    context,
    page,
    complaints,
    assertClean,
    close: () => context.close(),
  };
}
