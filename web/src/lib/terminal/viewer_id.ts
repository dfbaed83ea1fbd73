// Names this tab to the terminals it looks at, so that after a reload its input goes on where it was.

const KEY = 'ringfence.viewer';
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const PATTERN = /^vwr_[0-9a-hjkmnp-tv-z]{20}$/;

let claimed: Promise<string> | undefined;

export function viewerId(): Promise<string> {
  claimed ??= claim();
  return claimed;
}

/** A duplicated tab begins with a copy of the session storage. The lock tells the copy from the tab it was made of. */
async function claim(): Promise<string> {
  const kept = sessionStorage.getItem(KEY);
  if (kept && PATTERN.test(kept) && (await hold(kept))) return kept;
  const made = `vwr_${Array.from(crypto.getRandomValues(new Uint8Array(20)), (byte) => ALPHABET[byte & 31]).join('')}`;
  sessionStorage.setItem(KEY, made);
  await hold(made);
  return made;
}

/** Takes the name for as long as the page lives. A page being left may hold it for a moment longer. */
async function hold(id: string): Promise<boolean> {
  if (!navigator.locks) return true;
  for (let left = 5; left > 0; left -= 1) {
    const got = await new Promise<boolean>((answer) => {
      void navigator.locks.request(`ringfence.${id}`, { ifAvailable: true }, (lock) => {
        answer(lock !== null);
        return lock ? new Promise(() => {}) : undefined;
      });
    });
    if (got) return true;
    await new Promise((go) => setTimeout(go, 100));
  }
  return false;
}
