// Whether the control plane answers. A lost connection is shown once, for the whole page, and heals by itself.

class Connection {
  /** Since when nothing has answered; null while all is well. */
  lostSince = $state<number | null>(null);
  #whenLost: () => void = () => {};

  /** Called once for every loss: whoever heals it begins then. */
  whenLost(callback: () => void): void {
    this.#whenLost = callback;
  }

  answered(): void {
    if (this.lostSince !== null) this.lostSince = null;
  }

  failed(): void {
    if (this.lostSince !== null) return;
    this.lostSince = Date.now();
    this.#whenLost();
  }
}

export const connection = new Connection();
