// Who is signed in.
import * as api from '../api/client';
import type { MeView } from '../api/schema';

type Status = 'asking' | 'in' | 'out' | 'unknown';

class Session {
  status = $state<Status>('asking');
  me = $state<MeView | null>(null);
  problem = $state<api.ApiError | null>(null);

  get admin(): boolean {
    return this.me?.user.role === 'admin';
  }

  get tenantAdmin(): boolean {
    return this.admin || this.me?.user.role === 'tenant_admin';
  }

  async ask(): Promise<void> {
    try {
      this.enter(await api.me());
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      // Not knowing is not being signed out: the page says so and tries again.
      if (error.problem.status === 401) this.leave();
      else {
        this.status = 'unknown';
        this.problem = error;
      }
    }
  }

  enter(me: MeView): void {
    this.me = me;
    this.problem = null;
    this.status = 'in';
  }

  leave(): void {
    this.me = null;
    this.status = 'out';
  }
}

export const session = new Session();
api.whenSignedOut(() => session.leave());
