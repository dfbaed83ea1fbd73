// The terminal of a real workspace: workerd, a node object, the link, an agent, a PTY.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { layCable } from "./support/cable.mjs";
import { launch, visitor } from "./support/chromium.mjs";
import {
  connectCloud,
  createWorkspace,
  openTerminal,
  signIn,
  terminalText,
  typeLine,
  until,
} from "./support/person.mjs";
import { startStack } from "./support/stack.mjs";

let stack;
let browser;
let cable;
let ada;
before(async () => {
  stack = await startStack();
  browser = await launch();
  cable = await layCable();
  ada = await visitor(browser, stack.origin, { proxy: cable.proxy });
  await signIn(ada.page, stack.signInLink);
  await connectCloud(ada.page, stack.cloudToken);
  await createWorkspace(ada.page);
});
after(async () => {
  await browser?.close();
  cable?.close();
  await stack?.stop();
});

/** A line for each number, slowly enough to be met in the middle. */
const count = (word, to) =>
  `for i in $(seq 1 ${to}); do echo ${word}-$i; sleep 0.001; done; echo ${word}-end`;
const linesOf = (text, word) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => new RegExp(`^${word}-\\d+$`).test(line));
const every = (word, to) =>
  Array.from({ length: to }, (_, index) => `${word}-${index + 1}`);
const ended = (word) => (text) =>
  new RegExp(`^${word}-end\\s*$`, "m").test(text);

test("what is typed reaches the shell and its answer is drawn", async () => {
  await typeLine(ada.page, "echo $((6 * 7)) is the answer");
  await until(
    ada.page,
    (text) => text.includes("42 is the answer"),
    "the answer",
  );
});

test("bytes of every language arrive as they were", async () => {
  await typeLine(
    ada.page,
    `printf 'gr\\303\\274n \\346\\227\\245 \\360\\237\\246\\200 %s\\n' done`,
  );
  await until(ada.page, (text) => text.includes("grün 日 🦀 done"), "the text");
});

test("the shell knows the size of the screen, also after it changed", async () => {
  await typeLine(ada.page, "clear; echo first-$(stty size)");
  const [, first] = /first-(\d+ \d+)/.exec(
    await until(ada.page, (text) => /first-\d+ \d+/.test(text), "the size"),
  );
  await ada.page.setViewportSize({ width: 900, height: 600 });
  await typeLine(
    ada.page,
    `while [ "$(stty size)" = "${first}" ]; do sleep 0.05; done; echo second-$(stty size)`,
  );
  const [, second] = /second-(\d+ \d+)/.exec(
    await until(
      ada.page,
      (text) => /second-\d+ \d+/.test(text),
      "the new size",
    ),
  );
  const [rows, columns] = [first, second]
    .map((size) => size.split(" ").map(Number))
    .reduce((was, is) => [was[0] - is[0], was[1] - is[1]]);
  assert.ok(rows > 5 && columns > 20, `${first} became ${second}`);
  await ada.page.setViewportSize({ width: 1280, height: 800 });
});

test("a reload in the middle of output finds every byte once", async () => {
  await typeLine(ada.page, count("reload", 2000));
  await until(ada.page, (text) => text.includes("reload-200"), "some output");
  await ada.page.reload();
  await openTerminal(ada.page);
  await until(ada.page, (text) => text.includes("reload-800"), "more output");
  await ada.page.reload();
  await openTerminal(ada.page);
  const text = await until(ada.page, ended("reload"), "the end of the output");
  assert.deepEqual(linesOf(text, "reload"), every("reload", 2000));
});

test("a connection that is cut comes back by itself, with every byte once and the input that was typed meanwhile", async () => {
  await typeLine(ada.page, count("cut", 2000));
  await until(ada.page, (text) => text.includes("cut-200"), "some output");
  cable.pull();
  await ada.page.locator("[data-status=reconnecting]").waitFor();
  await ada.page.getByText("Reconnecting…").waitFor();
  await typeLine(ada.page, "echo typed-$((1 + 1))-meanwhile");
  cable.plug();
  await openTerminal(ada.page);
  const text = await until(
    ada.page,
    (now) => ended("cut")(now) && now.includes("typed-2-meanwhile"),
    "the end of the output",
  );
  assert.deepEqual(linesOf(text, "cut"), every("cut", 2000));
  assert.equal(
    text.split("typed-2-meanwhile").length,
    2,
    "the input was taken once",
  );
});

test("a question that output replays is not answered a second time", async () => {
  await typeLine(
    ada.page,
    `clear; IFS= read -rs -d R -p $'\\033[6n' where; echo asked-$((2 + 2))-\${#where}`,
  );
  await until(
    ada.page,
    (text) => /asked-4-[1-9]/.test(text),
    "the answer to the shell",
  );
  await ada.page.reload();
  await openTerminal(ada.page);
  await typeLine(ada.page, "echo clean-$((3 + 3))");
  const text = await until(
    ada.page,
    (now) => now.includes("clean-6"),
    "the next line",
  );
  assert.match(
    text,
    /[#$] echo clean-\$\(\(3 \+ 3\)\)/,
    "nothing was typed before it",
  );
});

test("a connection that is lost is shown for the whole page, and heals", async () => {
  cable.pull();
  await ada.page.getByText("Ringfence has not answered").waitFor();
  await ada.page.getByRole("link", { name: "Nodes" }).click();
  await ada.page.getByText("Ringfence has not answered").waitFor();
  cable.plug();
  await ada.page
    .getByText("Ringfence has not answered")
    .waitFor({ state: "detached" });
  await ada.page.goBack();
  await openTerminal(ada.page);
});

test("a flood does not freeze the page", async () => {
  await typeLine(ada.page, "clear; seq 1 200000; echo flood-end");
  const longest = await ada.page.evaluate(async () => {
    let longest = 0;
    let last = performance.now();
    const end = last + 3000;
    while (last < end) {
      await new Promise((frame) => setTimeout(frame, 10));
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }
    return longest;
  });
  await until(ada.page, ended("flood"), "the end of the flood", 60_000);
  assert.ok(
    longest < 1000,
    `the page stood still for ${Math.round(longest)} ms`,
  );
});

test("a second browser sees the same terminal", async () => {
  const state = await ada.context.storageState();
  const second = await visitor(browser, stack.origin, { storageState: state });
  await second.page.goto(ada.page.url());
  await openTerminal(second.page);
  await typeLine(second.page, "clear; echo both-$((2 + 3))-see");
  await until(
    ada.page,
    (text) => text.includes("both-5-see"),
    "the line on the first",
  );
  await until(
    second.page,
    (text) => text.includes("both-5-see"),
    "the line on the second",
  );
  second.assertClean();
  await second.close();
});

test("when the shell ends the page says so, and Enter starts another", async () => {
  await typeLine(ada.page, "exit 3");
  await ada.page.getByText("The shell ended with exit code 3.").waitFor();
  await ada.page.locator("[data-terminal=main] .xterm-helper-textarea").focus();
  await ada.page.keyboard.press("Enter");
  await openTerminal(ada.page);
  await typeLine(ada.page, "echo again-$((1 + 2))");
  await until(ada.page, (text) => text.includes("again-3"), "the new shell");
});

test("when the agent is killed the terminal comes back with another shell, and says so", async () => {
  await typeLine(ada.page, "old=mark; kill -9 $PPID");
  await ada.page.locator("[data-status=reconnecting]").waitFor();
  await ada.page
    .getByText("The shell was restarted.")
    .waitFor({ timeout: 60_000 });
  await openTerminal(ada.page);
  await typeLine(ada.page, 'echo "after-$((4 + 4))-$old"');
  await until(ada.page, (text) => /^after-8-\s*$/m.test(text), "the new shell");
});

test("what is pasted is typed, and not run before Enter", async () => {
  await ada.page.evaluate(() =>
    navigator.clipboard.writeText(
      "echo pasted-$((1 + 1))\necho and-$((2 + 2))\n",
    ),
  );
  await typeLine(ada.page, "clear");
  await ada.page.keyboard.press("Control+Shift+V");
  const text = await until(
    ada.page,
    (now) => now.includes("and-$"),
    "the pasted text",
  );
  assert.ok(!text.includes("pasted-2"), "bracketed: the shell waits");
  await ada.page.keyboard.press("Enter");
  await until(
    ada.page,
    (now) => now.includes("pasted-2") && now.includes("and-4"),
    "what it says",
  );
});

test("a second terminal is a shell of its own", async () => {
  await ada.page.getByRole("button", { name: "Another terminal" }).click();
  await ada.page.locator('[data-terminal="2"][data-status=open]').waitFor();
  await ada.page.locator('[data-terminal="2"] .xterm-helper-textarea').focus();
  await ada.page.keyboard.type("exit 7");
  await ada.page.keyboard.press("Enter");
  await ada.page.getByText("The shell ended with exit code 7.").waitFor();
  await ada.page.getByRole("button", { name: /^Close the tab 2/ }).click();
  await typeLine(ada.page, "clear; echo still-$((5 + 5))");
  await until(ada.page, (text) => text.includes("still-10"), "the first shell");
});

test("a browser that is signed out from another loses its terminal at once", async () => {
  await ada.page.goto("/users");
  await ada.page
    .locator("li", { hasText: "you" })
    .getByRole("button", { name: "Sign-in link" })
    .click();
  const other = await visitor(browser, stack.origin);
  await signIn(other.page, await ada.page.locator("[data-secret]").innerText());
  await ada.page.getByRole("button", { name: "Done" }).click();
  await other.page.locator("main li a").first().click();
  await openTerminal(other.page);

  await ada.page.goto("/settings");
  await ada.page.getByRole("button", { name: "Sign it out" }).click();
  await other.page
    .getByRole("heading", { name: "You are not signed in" })
    .waitFor({ timeout: 5000 });
  other.assertClean([/401 /]);
  await other.close();
  await ada.page.goto("/workspaces");
  await ada.page.locator("main li a").first().click();
  await openTerminal(ada.page);
});

test("a program that asks for the clipboard is asked about", async () => {
  await ada.page.evaluate(() => navigator.clipboard.writeText("mine"));
  await typeLine(
    ada.page,
    `clear; printf '\\033]52;c;?\\a\\033]52;c;%s\\a' $(printf theirs | base64); echo sent`,
  );
  await ada.page
    .getByText("A program wants to put this on your clipboard")
    .waitFor();
  assert.equal(
    await ada.page.evaluate(() => navigator.clipboard.readText()),
    "mine",
  );
  await ada.page.getByRole("button", { name: "Allow" }).click();
  await ada.page.getByText("Copied.").waitFor();
  assert.equal(
    await ada.page.evaluate(() => navigator.clipboard.readText()),
    "theirs",
  );
  assert.ok(
    !(await terminalText(ada.page)).includes("bWluZQ=="),
    "a read is not answered",
  );
});

test("a link is shown before it is opened, and only the web’s kinds are links", async () => {
  await typeLine(
    ada.page,
    "clear; echo https://example.org/a/place; echo file:///etc/passwd",
  );
  await until(ada.page, (text) => /^file:/m.test(text), "the links");
  const screen = await ada.page
    .locator("[data-terminal=main] .xterm-screen")
    .boundingBox();
  const row = 20;
  for (const { line, link } of [
    { line: 0, link: true },
    { line: 1, link: false },
  ]) {
    await ada.page.mouse.move(screen.x + 300, screen.y + 300);
    await ada.page.mouse.move(screen.x + 40, screen.y + row * line + row / 2, {
      steps: 4,
    });
    await ada.page.waitForTimeout(200); // xterm.js looks for links when the pointer rests.
    await ada.page.mouse.click(screen.x + 40, screen.y + row * line + row / 2);
    if (link) {
      await ada.page
        .getByRole("alertdialog", { name: "Open a link" })
        .getByText("https://example.org/a/place")
        .waitFor();
      await ada.page.getByRole("button", { name: "Don’t" }).click();
    }
  }
  assert.equal(await ada.page.getByRole("alertdialog").count(), 0);
  assert.equal(ada.context.pages().length, 1);
});

test("Ctrl+K is the shell’s, Ctrl+Shift+K opens the palette, Escape gives the terminal back", async () => {
  await ada.page.locator("[data-terminal=main] .xterm-helper-textarea").focus();
  await ada.page.keyboard.press("Control+k");
  assert.equal(await ada.page.locator("dialog").count(), 0);
  await ada.page.keyboard.press("Control+Shift+K");
  await ada.page.locator("dialog").waitFor();
  await ada.page.keyboard.press("Escape");
  await ada.page.locator("dialog").waitFor({ state: "detached" });
  assert.ok(
    await ada.page.evaluate(
      () => document.activeElement?.closest("[data-terminal]") !== null,
    ),
  );
});

test("the page did nothing wrong meanwhile", () => {
  // The console tells that one of the tests pulled the cable, and that nobody was signed in at first.
  ada.assertClean([/net::ERR_/, /401 .*\/api\/me\)/]);
});
