// The API's types under the names the rest of the page uses.

export type WorkspaceState = 'requested' | 'placing' | 'creating' | 'running' | 'stopped' | 'deleting' | 'gone' | 'failed';
export type NodeState = 'requested' | 'provisioning' | 'booting' | 'ready' | 'destroying' | 'gone' | 'failed' | 'quarantined';
export type Isolation = 'user' | 'ephemeral' | 'dedicated';
export type NodePolicy = 'schedulable' | 'cordoned' | 'draining';
export type NodeHealth = 'unknown' | 'connected' | 'disconnected';
export type ProviderKind = 'hetzner';
export type EngineKind = 'unconfined';
export type Permission = 'terminal:read' | 'terminal:write';
export type Role = 'member' | 'admin';
export type UserState = 'active' | 'suspended';

export interface Page<T> { items: T[]; next_cursor?: string | null }
export interface Money { amount: string; currency: string }
export interface Problem { code: string; status: number; title: string; detail: string; request_id: string }
export interface UserView { id: string; name: string; tenant_id: string; role: Role; state: UserState; created_at: string }
export interface MeView { user: UserView; session_id?: string | null; expires_at: string; engine?: EngineKind | null }
export interface SessionView { id: string; current: boolean; created_at: string; expires_at: string; user_agent: string; source_address: string }
export interface SignInLinkView { url: string; expires_at: string }
export interface ApiTokenView { id: string; name: string; created_at: string; expires_at: string }
export interface CreatedApiTokenView extends ApiTokenView { secret: string }
export interface ProviderView { kind: ProviderKind; name: string; secret_hint: string; secret_url: string; poweroff_ends_billing: boolean }
export interface CredentialView { id: string; provider: ProviderKind; name: string; created_at: string; validated_at?: string | null; row_version: number }
export interface RegionView { id: string; name: string }
export interface PriceView { region: string; per_hour: Money }
export interface SizeView { id: string; cpus: number; memory_bytes: number; disk_bytes: number; architecture: string; prices: PriceView[] }
export interface CatalogView { provider: ProviderKind; regions: RegionView[]; sizes: SizeView[]; fetched_at: string }
export interface NodeSummary { id: string; state: NodeState; provider: ProviderKind; region: string; size: string; engine?: EngineKind | null; price_per_hour: Money }
export interface WorkspaceView {
  id: string; name: string; state: WorkspaceState; state_since_at: string; deadline_at?: string | null; failure?: string | null; reason: string;
  isolation: Isolation; node: NodeSummary; placement_explanation: string; spec_generation: number; row_version: number; created_at: string;
}
export interface Facts { cpu_percent: number; memory_percent: number; memory_total_bytes: number; disk_percent: number; disk_total_bytes: number; measured_at: string }
export interface NodeView {
  id: string; state: NodeState; state_since_at: string; deadline_at?: string | null; failure?: string | null; reason: string; policy: NodePolicy; health: NodeHealth;
  isolation: Isolation; provider: ProviderKind; credential_id: string; region: string; size: string; provider_instance_id?: string | null; engine?: EngineKind | null;
  agent_version?: string | null; facts?: Facts | null; slots: number; workspaces: string[]; warm_since_at?: string | null; hard_deadline_at: string;
  price_per_hour: Money; cost_so_far: Money; row_version: number; created_at: string;
}
export interface WorkspaceTokenView { token: string; permissions: Permission[]; expires_at: string }
export type EventKind =
  | { kind: 'node_state'; state: NodeState; detail: string }
  | { kind: 'workspace_state'; state: WorkspaceState; detail: string }
  | { kind: 'boot_step'; step: string; duration_ms: number; error?: string | null }
  | { kind: 'notice'; detail: string };
export type EventView = { id: number; at: string; node_id: string; workspace_id?: string | null } & EventKind;
export interface EventsView { items: EventView[]; last_id: number }
export type SocketMessage = { type: 'snapshot'; workspace: WorkspaceView; node: NodeView } | { type: 'events'; items: EventView[] };
export interface AuditView { id: number; at: string; actor: string; action: string; subject: string; source_address: string; detail: string }
export interface CreateWorkspaceParams { name?: string; credential_id?: string; provider?: ProviderKind; region?: string; size?: string; isolation?: Isolation }
