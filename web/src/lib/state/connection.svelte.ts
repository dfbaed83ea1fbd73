// Whether the control plane answers. A lost connection is shown once, for the whole page, and heals by itself.

class Connection {
  /** Since when nothing has answered; null while all is well. */
  lostSince = $state<number | null>(null);

  answered(): void {
    if (this.lostSince !== null) this.lostSince = null;
  }

  failed(): void {
    this.lostSince ??= Date.now();
  }
}

export const connection = new Connection();
