// The choice of a machine: cloud, region and size, each with a good default, from what the cloud offers at its prices.
import * as api from '../api/client';
import type { CatalogView, CredentialView, Money, SizeView } from '../api/schema';
import { cheapestRegion, cheapestSize, priceIn } from '../catalog';
import { fleet } from './fleet.svelte';

interface Chosen {
  credential_id?: string | null;
  region?: string | null;
  size?: string | null;
}

export class Offer {
  /** What was chosen by hand; null is the default. */
  credentialId = $state<string | null>(null);
  region = $state<string | null>(null);
  size = $state<string | null>(null);
  catalog = $state.raw<CatalogView | null>(null);
  problem = $state<api.ApiError | null>(null);

  readonly credentials: CredentialView[] = $derived(fleet.credentials ?? []);
  readonly credential = $derived(this.credentials.find((one) => one.id === this.credentialId) ?? this.credentials[0]);
  /** Machines with room for what is asked. */
  readonly roomy: SizeView[] = $derived.by(() => this.catalog?.sizes.filter((one) => this.fits(one)) ?? []);
  readonly place = $derived(this.region ?? cheapestRegion(this.roomy, null));
  readonly offered: SizeView[] = $derived(this.roomy.filter((one) => priceIn(one, this.place)));
  readonly machine: SizeView | undefined = $derived(this.offered.find((one) => one.id === this.size) ?? cheapestSize(this.offered, this.place));
  readonly price: Money | undefined = $derived(this.machine && priceIn(this.machine, this.place));

  /** `fits` says whether a machine has room; `chosen` is what was chosen before. To be made where effects live as long as it. */
  constructor(
    private readonly fits: (size: SizeView) => boolean,
    chosen: Chosen | null = null,
  ) {
    this.credentialId = chosen?.credential_id ?? null;
    this.region = chosen?.region ?? null;
    this.size = chosen?.size ?? null;
    $effect(() => {
      const id = this.credential?.id;
      if (id) void this.load(id);
    });
  }

  /** Another cloud has other regions, and another region other sizes. */
  chooseCloud(id: string): void {
    this.credentialId = id;
    this.region = this.size = null;
  }

  chooseRegion(id: string): void {
    this.region = id;
    this.size = null;
  }

  async load(id = this.credential?.id): Promise<void> {
    if (!id) return;
    this.catalog = null;
    this.problem = null;
    try {
      const loaded = await api.catalog(id);
      if (this.credential?.id === id) this.catalog = loaded;
    } catch (error) {
      this.problem = error as api.ApiError;
    }
  }
}
