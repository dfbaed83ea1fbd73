// How this browser shows terminals. Kept here only: the account has nothing to do with it.

const KEY = 'ringfence.terminal';
export const TEXT_SIZES = [11, 12, 13, 14, 15, 16, 18, 20];

class TerminalPreferences {
  /** In pixels. */
  textSize = $state(matchMedia('(max-width: 720px)').matches ? 12 : 13);
  /** Whether the screen is also written as text for a screen reader, which costs speed. */
  readAloud = $state(false);

  constructor() {
    try {
      const { textSize, readAloud } = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<TerminalPreferences>;
      if (textSize && TEXT_SIZES.includes(textSize)) this.textSize = textSize;
      this.readAloud = readAloud === true;
    } catch {
      // The defaults do.
    }
  }

  keep(): void {
    try {
      localStorage.setItem(KEY, JSON.stringify({ textSize: this.textSize, readAloud: this.readAloud }));
    } catch {
      // The choice then lasts as long as the page.
    }
  }
}

export const preferences = new TerminalPreferences();
