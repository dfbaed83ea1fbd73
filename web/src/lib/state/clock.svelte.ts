// The page's idea of now, once a second while somebody looks. Everything that says "9 s" reads it. While nobody looks it goes on
// in steps: the page's title counts down, and who looks elsewhere is told in time.

const HIDDEN_STEP_MS = 10_000;

class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => {
      const now = Date.now();
      if (!document.hidden || now - this.now >= HIDDEN_STEP_MS) this.now = now;
    }, 1000);
    document.addEventListener('visibilitychange', () => {
      this.now = Date.now();
    });
  }
}

export const clock = new Clock();
