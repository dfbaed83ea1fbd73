//! Every route of the control plane: the routers are built from this table, callers make their URLs from it, the OpenAPI
//! document and the authorisation tests enumerate it.

/// An HTTP method that Ringfence uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or acts.
    Post,
    /// Puts something in place of what was there.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// The method's name, upper case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may call a route: each has a router and an extractor of its own (I11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// Anybody.
    Public,
    /// A signed-in user: session cookie or API token.
    User,
    /// A signed-in user with a session cookie; API tokens are refused.
    Session,
    /// A signed-in user with the admin or the tenant admin role, in matters of their own tenant.
    TenantAdmin,
    /// A signed-in user with the admin role.
    Admin,
    /// The holder of a workspace token, opening a WebSocket.
    Viewer,
    /// The holder of a dedicated node's gateway token, who may look at that node and nothing else.
    Gateway,
    /// A node's agent before redemption: bootstrap token and proof of possession.
    NewAgent,
    /// A node's agent: callback token and proof of possession.
    Agent,
    /// A machine whose agent does not run: bootstrap token alone. It may say that its boot has failed and nothing else.
    Machine,
}

/// One route.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// HTTP method.
    pub method: Method,
    /// Path with `{placeholders}`.
    pub path: &'static str,
    /// Who may call it.
    pub principal: Principal,
    /// Whether it is opened as a WebSocket.
    pub websocket: bool,
    /// Name in the OpenAPI document: unique, snake_case.
    pub operation: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
}

impl Endpoint {
    /// The path with its placeholders filled, in order. Values must be safe in a path segment, as identifiers are.
    pub fn fill(&self, values: &[&dyn std::fmt::Display]) -> String {
        let mut filled = String::with_capacity(self.path.len() + 24 * values.len());
        let mut values = values.iter();
        for (place, segment) in self.path.split('/').enumerate() {
            if place > 0 {
                filled.push('/');
            }
            match (segment.starts_with('{'), values.as_slice().first()) {
                (true, Some(value)) => {
                    filled.push_str(&value.to_string());
                    values.next();
                }
                (true, None) | (false, _) => filled.push_str(segment),
            }
        }
        filled
    }
}

macro_rules! endpoints {
    ($($name:ident = $method:ident $path:literal $principal:ident $($socket:ident)?, $operation:literal, $summary:literal;)*) => {
        $(#[doc = $summary]
        pub const $name: Endpoint = Endpoint {
            method: Method::$method,
            path: $path,
            principal: Principal::$principal,
            websocket: endpoints!(@socket $($socket)?),
            operation: $operation,
            summary: $summary,
        };)*
        /// Every route.
        pub const ALL: &[&Endpoint] = &[$(&$name),*];
    };
    (@socket) => { false };
    (@socket websocket) => { true };
}

endpoints! {
    HEALTHZ = Get "/healthz" Public, "healthz", "Whether the Worker answers.";
    READYZ = Get "/readyz" Public, "readyz", "Whether database, keys and migrations are in order; cached for 10 s.";
    JWKS = Get "/.well-known/jwks.json" Public, "jwks", "The public keys that verify Ringfence's tokens.";
    OPENAPI = Get "/api/openapi.json" Public, "openapi", "This API's description.";
    AUTH_LINK = Post "/api/auth/link" Public, "redeem_sign_in_link", "Trades a sign-in link for a session.";
    SIGN_OUT = Post "/api/auth/sign-out" Session, "sign_out", "Ends this session.";

    ME = Get "/api/me" User, "get_me", "Who is signed in.";
    SESSIONS_LIST = Get "/api/sessions" Session, "list_sessions", "Your signed-in browsers.";
    SESSION_REVOKE = Delete "/api/sessions/{id}" Session, "revoke_session", "Signs one of your browsers out.";
    TOKENS_LIST = Get "/api/tokens" Session, "list_api_tokens", "Your API tokens, without their secrets.";
    TOKEN_CREATE = Post "/api/tokens" Session, "create_api_token", "Makes an API token; its secret is shown once.";
    TOKEN_REVOKE = Delete "/api/tokens/{id}" Session, "revoke_api_token", "Revokes an API token.";

    PROVIDERS_LIST = Get "/api/providers" User, "list_providers", "The clouds Ringfence can use.";
    CREDENTIALS_LIST = Get "/api/credentials" User, "list_credentials", "Your clouds, without their keys.";
    CREDENTIAL_CREATE = Post "/api/credentials" User, "create_credential", "Stores a key for a cloud, after trying it.";
    CREDENTIAL_GET = Get "/api/credentials/{id}" User, "get_credential", "One of your clouds, without its key.";
    CREDENTIAL_DELETE = Delete "/api/credentials/{id}" User, "delete_credential", "Forgets a cloud's key; refused while nodes need it.";
    CREDENTIAL_VALIDATE = Post "/api/credentials/{id}/validate" User, "validate_credential", "Tries the key at the cloud.";
    CREDENTIAL_REPLACE = Post "/api/credentials/{id}/replace" User, "replace_credential", "Stores a new key in place of the old one, after trying it.";
    CREDENTIAL_CATALOG = Get "/api/credentials/{id}/catalog" User, "get_catalog", "Regions, sizes and prices of the cloud.";

    WORKSPACES_LIST = Get "/api/workspaces" User, "list_workspaces", "Your workspaces, newest first.";
    WORKSPACE_CREATE = Post "/api/workspaces" User, "create_workspace", "Creates a workspace, and a node for it when none of yours has room.";
    WORKSPACE_GET = Get "/api/workspaces/{id}" User, "get_workspace", "One of your workspaces.";
    WORKSPACE_DELETE = Delete "/api/workspaces/{id}" User, "delete_workspace", "Deletes a workspace in whatever state it is.";
    WORKSPACE_STOP = Post "/api/workspaces/{id}/stop" User, "stop_workspace", "Stops a running workspace; its files are kept.";
    WORKSPACE_START = Post "/api/workspaces/{id}/start" User, "start_workspace", "Starts a stopped workspace.";
    WORKSPACE_KEEP_ALIVE = Post "/api/workspaces/{id}/keep-alive" User, "keep_workspace_alive", "Keeps a workspace from ending for want of use, until a given time.";
    WORKSPACE_POSTURE = Get "/api/workspaces/{id}/posture" User, "get_workspace_posture", "What was measured inside the workspace's container.";
    WORKSPACE_RECEIPT = Get "/api/workspaces/{id}/receipt" User, "get_workspace_receipt", "What is left of an ephemeral workspace that is over: what it saved, and that its machine is gone.";
    WORKSPACE_LIFECYCLE = Get "/api/workspaces/{id}/lifecycle" User, "get_workspace_lifecycle", "Why the workspace is still there, what follows, what it has cost, all that happened; also when it is gone.";
    WORKSPACE_TOKEN = Post "/api/workspaces/{id}/token" User, "create_workspace_token", "Makes a short-lived token that opens WebSockets to the workspace.";
    WORKSPACE_TERMINAL = Get "/api/workspaces/{id}/terminal" Viewer websocket, "open_terminal", "A terminal of the workspace.";
    WORKSPACE_SOCKET = Get "/api/workspaces/{id}/socket" Viewer websocket, "open_events", "The workspace's boot log and events, as they happen.";

    NODES_LIST = Get "/api/nodes" User, "list_nodes", "Your nodes, newest first.";
    NODE_GET = Get "/api/nodes/{id}" User, "get_node", "One of your nodes.";
    NODE_POSTURE = Get "/api/nodes/{id}/posture" User, "get_node_posture", "What was measured of the machine: firewall, listening sockets, versions.";
    NODE_LIFECYCLE = Get "/api/nodes/{id}/lifecycle" User, "get_node_lifecycle", "Why the node is still there, what follows, what it has cost, all that happened; also when it is gone.";
    NODE_DELETE = Delete "/api/nodes/{id}" User, "delete_node", "Destroys a node and what runs on it, in whatever state it is.";
    NODE_CORDON = Post "/api/nodes/{id}/cordon" User, "cordon_node", "No new workspaces on this node.";
    NODE_UNCORDON = Post "/api/nodes/{id}/uncordon" User, "uncordon_node", "New workspaces on this node again.";
    NODE_DRAIN = Post "/api/nodes/{id}/drain" User, "drain_node", "No new workspaces on this node, and destroy it when the last one is gone.";
    NODE_FORGET = Post "/api/nodes/{id}/forget" User, "forget_node", "Gives up a node whose machine cannot be destroyed from here.";
    NODE_GATEWAY_TOKEN = Post "/api/nodes/{id}/gateway-token" Session, "create_gateway_token", "Makes a token that opens one view of your dedicated node; its secret is shown once.";
    WARM_POOL_GET = Get "/api/warm-pool" User, "get_warm_pool", "How many empty machines are kept for your next workspace.";
    WARM_POOL_SET = Put "/api/warm-pool" User, "set_warm_pool", "Has so many empty machines kept for your next workspace.";
    GATEWAY_NODE = Get "/api/gateway/node" Gateway, "get_gateway_node", "How the dedicated node is that the token names.";
    EVENTS = Get "/api/events" User, "list_events", "What happened to your nodes and workspaces after a given event.";

    USAGE = Get "/api/usage" User, "get_usage", "What you use of your limits, and have spent this month.";

    TENANT_USERS = Get "/api/tenant/users" TenantAdmin, "list_tenant_users", "The users of your tenant.";
    TENANT_NODES = Get "/api/tenant/nodes" TenantAdmin, "list_tenant_nodes", "The nodes of your tenant's users, but for ephemeral ones.";
    TENANT_WORKSPACES = Get "/api/tenant/workspaces" TenantAdmin, "list_tenant_workspaces", "The workspaces of your tenant's users, but for ephemeral ones.";
    TENANT_USAGE = Get "/api/tenant/usage" TenantAdmin, "get_tenant_usage", "What your tenant uses of its limits.";
    TENANT_BUDGET_ALERTS = Get "/api/tenant/budget-alerts" TenantAdmin, "list_tenant_budget_alerts", "Budgets of your tenant and its users of which much is spent this month.";

    ADMIN_TENANTS_LIST = Get "/api/admin/tenants" Admin, "list_tenants", "Every tenant.";
    ADMIN_TENANT_CREATE = Post "/api/admin/tenants" Admin, "create_tenant", "Creates a tenant.";
    ADMIN_USER_MEMBERSHIP = Put "/api/admin/users/{id}/membership" Admin, "set_user_membership", "Puts a user into a tenant and a role.";
    ADMIN_QUOTA = Get "/api/admin/quota" Admin, "get_quota", "What of the platform's free plan this day has used, estimated.";
    ADMIN_LIMITS_GET = Get "/api/admin/limits" Admin, "get_limits", "Limits of a user, a tenant or the installation, and what is used of them.";
    ADMIN_BUDGET_ALERTS = Get "/api/admin/budget-alerts" Admin, "list_budget_alerts", "Budgets of which much is spent this month.";
    ADMIN_LIMITS_SET = Put "/api/admin/limits" Admin, "set_limits", "Sets the limits of a user, a tenant or the installation.";

    ADMIN_USERS_LIST = Get "/api/admin/users" Admin, "list_users", "Every user.";
    ADMIN_USER_CREATE = Post "/api/admin/users" Admin, "create_user", "Creates a user.";
    ADMIN_USER_GET = Get "/api/admin/users/{id}" Admin, "get_user", "One user.";
    ADMIN_USER_SUSPEND = Post "/api/admin/users/{id}/suspend" Admin, "suspend_user", "Ends the user's sessions and lets them open nothing.";
    ADMIN_USER_RESUME = Post "/api/admin/users/{id}/resume" Admin, "resume_user", "Lets a suspended user sign in again.";
    ADMIN_USER_LINK = Post "/api/admin/users/{id}/sign-in-link" Admin, "create_sign_in_link", "Makes a one-time sign-in link for the user.";
    ADMIN_PROVISIONING = Get "/api/admin/provisioning" Admin, "get_provisioning", "Whether machines are made.";
    ADMIN_PROVISIONING_PAUSE = Post "/api/admin/provisioning/pause" Admin, "pause_provisioning", "Makes no more machines for anybody; everything else goes on.";
    ADMIN_PROVISIONING_RESUME = Post "/api/admin/provisioning/resume" Admin, "resume_provisioning", "Makes machines again.";
    ADMIN_SWEEP = Post "/api/admin/sweep" Admin, "sweep", "Looks for machines, nodes and rows that were left behind and ends them; with dry_run it only tells.";
    ADMIN_NODES_STUCK = Get "/api/admin/nodes/stuck" Admin, "list_stuck_nodes", "Nodes of suspended users whose machines cannot be destroyed from here, newest first.";
    ADMIN_NODES_SUSPENDED = Get "/api/admin/nodes/suspended" Admin, "list_suspended_nodes", "Every node of suspended users that is not gone, newest first.";
    ADMIN_NODE_DELETE = Delete "/api/admin/nodes/{id}" Admin, "delete_node_as_admin", "Destroys a suspended user's node and what runs on it, in whatever state it is.";
    ADMIN_NODE_FORGET = Post "/api/admin/nodes/{id}/forget" Admin, "forget_node_as_admin", "Gives up a suspended user's node whose machine cannot be destroyed from here.";
    ADMIN_AUDIT = Get "/api/admin/audit" Admin, "list_audit", "Security-relevant acts, newest first.";

    AGENT_BOOTSTRAP = Post "/agent/bootstrap" NewAgent, "agent_bootstrap", "Trades a bootstrap token for a callback token.";
    AGENT_TOKEN = Post "/agent/token" Agent, "agent_token", "Renews a callback token.";
    AGENT_BOOT_FAILURE = Post "/agent/boot-failure" Machine, "agent_boot_failure", "Tells that the machine's boot has failed before its agent ran.";
    AGENT_LINK = Get "/agent/link" Agent websocket, "agent_link", "The agent's link.";
}
