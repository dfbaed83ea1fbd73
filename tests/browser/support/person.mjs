// What a person does with the pages, by what they read on them.
import assert from "node:assert/strict";

/** From the request to the prompt, on a busy machine. */
const BOOT_LIMIT_MS = 60_000;

export async function signIn(page, link) {
  await page.goto(link);
  assert.equal(
    new URL(page.url()).hash,
    "",
    "the token has left the address bar",
  );
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Workspaces" }).waitFor();
}

export async function connectCloud(page, token) {
  await page.goto("/clouds");
  await page.getByRole("button", { name: "Connect a cloud" }).click();
  await page.getByLabel("Key", { exact: true }).fill(token);
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  await page.getByText(/key accepted/).waitFor();
}

/** Creates a workspace with one click and waits for its terminal. */
export async function createWorkspace(page) {
  await page.goto("/workspaces");
  await page
    .getByRole("button", { name: /^Create( a workspace)?$/ })
    .last()
    .click();
  await page
    .locator("dialog")
    .getByRole("button", { name: "Create", exact: true })
    .click();
  await page.waitForURL(/\/workspaces\/wsp_/);
  await openTerminal(page, BOOT_LIMIT_MS);
  return new URL(page.url()).pathname.split("/").at(-1);
}

export async function openTerminal(page, timeout) {
  await page
    .locator("[data-terminal=main][data-status=open]")
    .waitFor({ timeout });
  await page.locator("[data-terminal=main] .host[data-drawn]").waitFor();
}

export async function typeLine(page, line) {
  await page.locator("[data-terminal=main] .xterm-helper-textarea").focus();
  await page.keyboard.type(line);
  await page.keyboard.press("Enter");
}

/** Everything in the terminal, scrolled away lines included, the way a person gets it: select all, copy. */
export async function terminalText(page) {
  await page.locator("[data-terminal=main] .xterm-helper-textarea").focus();
  await page.keyboard.press("Control+Shift+A");
  await page.keyboard.press("Control+Shift+C");
  await page.getByText(/^Copied /).waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
}

/** Waits until the terminal's text fulfils something, and gives the text. */
export async function until(page, fulfilled, what, limitMs = 30_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    const text = await terminalText(page);
    if (fulfilled(text)) return text;
    if (Date.now() > end)
      assert.fail(
        `${what} did not come; the terminal has:\n${text.slice(-2000)}`,
      );
    await page.waitForTimeout(100);
  }
}
