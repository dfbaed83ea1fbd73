// What the tests put into a page's `window`.
import type { AxeResults, RunOptions } from "axe-core";

declare global {
  interface Window {
    /** Every notice that was made (absence.mjs). */
    notices: (NotificationOptions & { title: string; closed: boolean })[];
    /** Puts the page's clock to a time, in milliseconds since 1970 (absence.mjs). */
    putClock: (millis: number) => void;
    /** How often a warning was drawn (ending.test.mjs). */
    warned: number;
    axe: {
      run(context: Node, options: RunOptions): Promise<AxeResults>;
    };
  }
}
