// Tells of something through the browser itself, to who has allowed it and looks elsewhere.

export const permission = (): NotificationPermission => ('Notification' in globalThis ? Notification.permission : 'denied');

/** It may be given or taken in another tab, or in the browser's own settings. Gives what ends the watching. */
export function whenPermissionChanges(changed: () => void): () => void {
  const watched = navigator.permissions?.query({ name: 'notifications' }).catch(() => null);
  void watched?.then((status) => status?.addEventListener('change', changed));
  return () => void watched?.then((status) => status?.removeEventListener('change', changed));
}

/** Whether somebody sees the page. */
const seen = (): boolean => !document.hidden && document.hasFocus();

/** Everything that was due to be told, whether or not anybody had to be: pages come and go, and nothing is told twice. */
const due = new Set<string>();

export class Notices {
  #shown: Notification | null = null;

  /** Once for each `mark`; several tabs with the same one show one notice. */
  tell(mark: string, title: string, body: string): void {
    if (due.has(mark)) return;
    due.add(mark);
    if (permission() !== 'granted' || seen()) return;
    this.takeBack();
    try {
      this.#shown = new Notification(title, { body, tag: mark });
      this.#shown.onclick = () => {
        window.focus();
        this.takeBack();
      };
    } catch {
      // Browsers on phones have the constructor and refuse its use. The page and its title say it.
    }
  }

  takeBack(): void {
    this.#shown?.close();
    this.#shown = null;
  }
}
