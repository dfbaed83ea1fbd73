// Somebody who looks elsewhere, what their browser lets a page tell them meanwhile, and what it was asked to tell.

/** Before the first page: records each notice that is made, really makes it, and lets the browser's clock be put to a time. */
export function watched(context) {
  return context.addInitScript(() => {
    const notices = (window.notices = []);
    window.Notification = class extends Notification {
      constructor(title, options) {
        super(title, options);
        this.record = { title, ...options, closed: false };
        notices.push(this.record);
      }
      close() {
        this.record.closed = true;
        super.close();
      }
    };
    const now = Date.now;
    let ahead = 0;
    Date.now = () => now() + ahead;
    window.putClock = (millis) => (ahead = millis - now());
  });
}

/** Whether notices are allowed: "granted", "denied", or "prompt", which is not yet asked. It holds for as long as the browser does. */
export async function mayNotify({ context, page }, setting) {
  const session = await context.newCDPSession(page);
  const { targetInfo } = await session.send("Target.getTargetInfo");
  await session.detach();
  // What a session has set ends with it.
  const whole = await context.browser().newBrowserCDPSession();
  await whole.send("Browser.setPermission", {
    permission: { name: "notifications" },
    setting,
    origin: new URL(page.url()).origin,
    browserContextId: targetInfo.browserContextId,
  });
}

/**
 * Another tab is looked at; ends with the function that it gives. The focus goes for real. A browser without a screen calls
 * every tab visible, so that a tab is hidden has to be pretended.
 */
export async function lookAway({ context, page }) {
  const session = await context.newCDPSession(page);
  await session.send("Emulation.setFocusEmulationEnabled", { enabled: false });
  const other = await context.newPage();
  await other.bringToFront();
  await hide(page, true);
  return async () => {
    await other.close();
    await session.send("Emulation.setFocusEmulationEnabled", { enabled: true });
    await session.detach();
    await page.bringToFront();
    await hide(page, false);
  };
}

const hide = (page, hidden) =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", {
      configurable: true,
      get: () => hidden,
    });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
