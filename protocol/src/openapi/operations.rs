//! What each route takes and gives. A route without a line here fails the test that makes the document.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{inline_schema_of, schema_of};
use crate::claims::Jwks;
use crate::gateway::{GatewayNodeView, GatewayTokenView};
use crate::lifecycle::LifecycleView;
use crate::limits::{
    BudgetAlertView, CreateTenantParams, LimitView, LimitsParams, LimitsView, MembershipParams, QuotaView,
    SetLimitsParams, SuspendedNodeView, TenantNodeView, TenantView, TenantWorkspaceView,
};
use crate::link::{Attach, BootFailedReport, BootstrapParams, CallbackGrant};
use crate::params::{
    CreateApiTokenParams, CreateCredentialParams, CreateUserParams, CreateWorkspaceParams, CreateWorkspaceTokenParams,
    EventsParams, ForgetNodeParams, KeepAliveParams, ListParams, OwnListParams, PauseProvisioningParams,
    RedeemLinkParams, ReplaceCredentialParams,
};
use crate::problem::ErrorCode;
use crate::receipt::ReceiptView;
use crate::routes::{self, Endpoint};
use crate::sweeps::{SweepParams, SweepView};
use crate::views::{
    ApiTokenView, AuditView, CatalogView, CreatedApiTokenView, CredentialView, EventsView, MeView, NodeView, Page,
    PostureView, ProviderView, ProvisioningView, ReadyView, SessionView, SignInLinkView, UserView, WorkspaceTokenView,
    WorkspaceView,
};
use crate::warm::{SetWarmPoolParams, WarmPoolView};

type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes and gives.
pub(super) struct Exchange {
    /// The query's type.
    pub(super) query: Option<MakeSchema>,
    /// The body's type, as a reference and written out.
    pub(super) body: Option<(MakeSchema, MakeSchema)>,
    /// Whether it takes an `Idempotency-Key`.
    pub(super) idempotent: bool,
    pub(super) success: Success,
    /// Errors beyond those that follow from the principal, the path, the query and the body.
    pub(super) errors: &'static [ErrorCode],
    pub(super) notes: Option<&'static str>,
}

/// The answer when all went well.
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Option<MakeSchema>,
    pub(super) sets_session: bool,
}

const JSON: &str = "application/json";

const fn answers(status: u16, description: &'static str, body: Option<MakeSchema>) -> Exchange {
    Exchange {
        query: None,
        body: None,
        idempotent: false,
        success: Success { status, description, content_type: JSON, body, sets_session: false },
        errors: &[],
        notes: None,
    }
}

/// 200 with a body.
fn ok<T: JsonSchema>() -> Exchange {
    answers(200, "Done.", Some(schema_of::<T>))
}

/// 201 with a body.
fn created<T: JsonSchema>() -> Exchange {
    answers(201, "Created.", Some(schema_of::<T>))
}

/// 202 with the view of what is under way.
fn accepted<T: JsonSchema>() -> Exchange {
    answers(202, "Under way: the view's `state` and `row_version` tell the rest.", Some(schema_of::<T>))
}

/// 204.
const fn no_content() -> Exchange {
    answers(204, "Done, now or before.", None)
}

/// 101.
const fn switches() -> Exchange {
    answers(101, "A WebSocket.", None)
}

/// A page of a list.
fn page<T: JsonSchema>() -> Exchange {
    ok::<Page<T>>().query::<ListParams>()
}

impl Exchange {
    fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(inline_schema_of::<T>), ..self }
    }
    fn takes<T: JsonSchema>(self) -> Self {
        Self { body: Some((schema_of::<T>, inline_schema_of::<T>)), ..self }
    }
    fn idempotent(self) -> Self {
        Self { idempotent: true, ..self }
    }
    fn or(self, errors: &'static [ErrorCode]) -> Self {
        Self { errors, ..self }
    }
    fn notes(self, notes: &'static str) -> Self {
        Self { notes: Some(notes), ..self }
    }
    fn sets_session(self) -> Self {
        Self { success: Success { sets_session: true, ..self.success }, ..self }
    }
}

const READABLE: &str = "What is gone can be read for thirty days.";
const NOT_MEASURED: &str = "404 as long as nothing was measured.";

/// What the provider may answer when a key is tried.
const TRYING_A_KEY: &[ErrorCode] = &[ErrorCode::CredentialRejected, ErrorCode::ProviderUnavailable];

/// What the route takes and gives; `None` for one that is not described here yet.
pub(super) fn of(endpoint: &Endpoint) -> Option<Exchange> {
    let exchange = match *endpoint {
        routes::HEALTHZ => Exchange {
            success: Success { content_type: "text/plain", ..answers(200, "It answers.", Some(schema_of::<String>)).success },
            ..no_content()
        },
        routes::READYZ => ok::<ReadyView>().notes("503 with the same body when a check fails."),
        routes::JWKS => ok::<Jwks>(),
        routes::OPENAPI => answers(200, "This document.", Some(any_object)),
        routes::AUTH_LINK => ok::<MeView>().takes::<RedeemLinkParams>().sets_session().or(&[ErrorCode::LinkInvalid]),
        routes::SIGN_OUT => no_content(),

        routes::ME => ok::<MeView>(),
        routes::SESSIONS_LIST => ok::<Page<SessionView>>(),
        routes::SESSION_REVOKE => no_content(),
        routes::TOKENS_LIST => ok::<Page<ApiTokenView>>(),
        routes::TOKEN_CREATE => {
            created::<CreatedApiTokenView>().takes::<CreateApiTokenParams>().idempotent().or(&[ErrorCode::LimitReached])
        }
        routes::TOKEN_REVOKE => no_content(),

        routes::PROVIDERS_LIST => ok::<Page<ProviderView>>(),
        routes::CREDENTIALS_LIST => ok::<Page<CredentialView>>(),
        routes::CREDENTIAL_CREATE => {
            created::<CredentialView>().takes::<CreateCredentialParams>().idempotent().or(TRYING_A_KEY)
        }
        routes::CREDENTIAL_GET => ok::<CredentialView>(),
        routes::CREDENTIAL_DELETE => no_content().or(&[ErrorCode::CredentialInUse]),
        routes::CREDENTIAL_VALIDATE => ok::<CredentialView>().or(TRYING_A_KEY),
        routes::CREDENTIAL_REPLACE => ok::<CredentialView>().takes::<ReplaceCredentialParams>().or(TRYING_A_KEY),
        routes::CREDENTIAL_CATALOG => ok::<CatalogView>().or(TRYING_A_KEY),

        routes::WORKSPACES_LIST => ok::<Page<WorkspaceView>>().query::<OwnListParams>(),
        routes::WORKSPACE_CREATE => accepted::<WorkspaceView>().takes::<CreateWorkspaceParams>().idempotent().or(&[
            ErrorCode::NoCredential,
            ErrorCode::NotOffered,
            ErrorCode::CeilingExceeded,
            ErrorCode::LimitReached,
            ErrorCode::BudgetReached,
            ErrorCode::Conflict,
            ErrorCode::ProviderUnavailable,
            ErrorCode::ProvisioningPaused,
        ]),
        routes::WORKSPACE_GET => ok::<WorkspaceView>(),
        routes::WORKSPACE_DELETE => accepted::<WorkspaceView>(),
        routes::WORKSPACE_STOP => accepted::<WorkspaceView>().or(&[ErrorCode::Conflict]),
        routes::WORKSPACE_START => accepted::<WorkspaceView>().or(&[ErrorCode::Conflict]),
        routes::WORKSPACE_KEEP_ALIVE => ok::<WorkspaceView>()
            .takes::<KeepAliveParams>()
            .or(&[ErrorCode::Conflict, ErrorCode::CeilingExceeded]),
        routes::WORKSPACE_POSTURE => ok::<PostureView>().notes(NOT_MEASURED),
        routes::WORKSPACE_RECEIPT => ok::<ReceiptView>()
            .or(&[ErrorCode::Conflict])
            .notes("409 as long as it is not over, and for workspaces that are not ephemeral."),
        routes::WORKSPACE_LIFECYCLE => ok::<LifecycleView>().notes(READABLE),
        routes::WORKSPACE_TOKEN => {
            created::<WorkspaceTokenView>().takes::<CreateWorkspaceTokenParams>().or(&[ErrorCode::Conflict])
        }
        routes::WORKSPACE_TERMINAL => {
            switches().query::<Attach>().notes("Binary messages are terminal frames: docs/protocol.md.")
        }
        routes::WORKSPACE_SOCKET => switches().notes(
            "Text messages are `SocketMessage`: a snapshot and every event so far, then what happens. The client sends only `ping` and \
             gets `pong`.",
        ),

        routes::NODES_LIST => ok::<Page<NodeView>>().query::<OwnListParams>(),
        routes::NODE_GET => ok::<NodeView>(),
        routes::NODE_POSTURE => ok::<PostureView>().notes(NOT_MEASURED),
        routes::NODE_LIFECYCLE => ok::<LifecycleView>().notes(READABLE),
        routes::NODE_DELETE => accepted::<NodeView>(),
        routes::NODE_CORDON => ok::<NodeView>(),
        routes::NODE_UNCORDON => ok::<NodeView>(),
        routes::NODE_DRAIN => accepted::<NodeView>(),
        routes::NODE_FORGET => ok::<NodeView>().takes::<ForgetNodeParams>().or(&[ErrorCode::Conflict]).notes(
            "Only while its deletion is late or the provider refuses the key. The machine may go on costing money; if it is ever found in \
             the account, it is deleted.",
        ),
        routes::NODE_GATEWAY_TOKEN => {
            created::<GatewayTokenView>().idempotent().or(&[ErrorCode::Conflict])
        }
        routes::WARM_POOL_GET => ok::<WarmPoolView>(),
        routes::WARM_POOL_SET => ok::<WarmPoolView>()
            .takes::<SetWarmPoolParams>()
            .or(&[
                ErrorCode::Conflict,
                ErrorCode::NoCredential,
                ErrorCode::NotFound,
                ErrorCode::NotOffered,
                ErrorCode::ProviderUnavailable,
            ])
            .notes("Each costs its price for as long as it is there. Missing ones are made by a sweep, one a minute, within every limit."),
        routes::GATEWAY_NODE => ok::<GatewayNodeView>(),
        routes::EVENTS => ok::<EventsView>().query::<EventsParams>(),

        routes::USAGE => ok::<Page<LimitView>>(),

        routes::TENANT_USERS => page::<UserView>(),
        routes::TENANT_NODES => page::<TenantNodeView>(),
        routes::TENANT_WORKSPACES => page::<TenantWorkspaceView>(),
        routes::TENANT_USAGE => ok::<Page<LimitView>>(),
        routes::TENANT_BUDGET_ALERTS => ok::<Page<BudgetAlertView>>(),

        routes::ADMIN_TENANTS_LIST => page::<TenantView>(),
        routes::ADMIN_TENANT_CREATE => created::<TenantView>().takes::<CreateTenantParams>().idempotent(),
        routes::ADMIN_USER_MEMBERSHIP => ok::<UserView>().takes::<MembershipParams>().or(&[ErrorCode::Conflict]),
        routes::ADMIN_BUDGET_ALERTS => ok::<Page<BudgetAlertView>>(),
        routes::ADMIN_QUOTA => ok::<QuotaView>(),
        routes::ADMIN_LIMITS_GET => ok::<LimitsView>().query::<LimitsParams>().or(&[ErrorCode::NotFound]),
        routes::ADMIN_LIMITS_SET => ok::<LimitsView>().takes::<SetLimitsParams>().or(&[ErrorCode::NotFound]),

        routes::ADMIN_USERS_LIST => page::<UserView>(),
        routes::ADMIN_USER_CREATE => {
            created::<UserView>().takes::<CreateUserParams>().idempotent().or(&[ErrorCode::Conflict])
        }
        routes::ADMIN_USER_GET => ok::<UserView>(),
        routes::ADMIN_USER_SUSPEND => ok::<UserView>().or(&[ErrorCode::Conflict]),
        routes::ADMIN_USER_RESUME => ok::<UserView>(),
        routes::ADMIN_USER_LINK => created::<SignInLinkView>().idempotent().or(&[ErrorCode::Conflict]),
        routes::ADMIN_PROVISIONING => ok::<ProvisioningView>(),
        routes::ADMIN_PROVISIONING_PAUSE => ok::<ProvisioningView>().takes::<PauseProvisioningParams>(),
        routes::ADMIN_PROVISIONING_RESUME => ok::<ProvisioningView>(),
        routes::ADMIN_SWEEP => ok::<SweepView>().query::<SweepParams>().notes(
            "One run does a bounded amount; the next goes on from there. The same runs every minute by itself.",
        ),
        routes::ADMIN_NODES_STUCK => page::<SuspendedNodeView>(),
        routes::ADMIN_NODES_SUSPENDED => page::<SuspendedNodeView>(),
        routes::ADMIN_NODE_DELETE => no_content()
            .or(&[ErrorCode::Conflict])
            .notes("As by its owner; who is not suspended deletes their nodes themselves."),
        routes::ADMIN_NODE_FORGET => no_content().takes::<ForgetNodeParams>().or(&[ErrorCode::Conflict]).notes(
            "Only while its deletion is late or the provider refuses the key, as for its owner; who is not suspended forgets their nodes themselves.",
        ),
        routes::ADMIN_AUDIT => page::<AuditView>(),

        routes::AGENT_BOOTSTRAP => ok::<CallbackGrant>()
            .takes::<BootstrapParams>()
            .or(&[ErrorCode::BootstrapExpired, ErrorCode::BootstrapKeyConflict])
            .notes("The same token with the same key, within its life, gets the same answer again."),
        routes::AGENT_TOKEN => ok::<CallbackGrant>(),
        routes::AGENT_BOOT_FAILURE => no_content().takes::<BootFailedReport>().or(&[ErrorCode::BootstrapExpired]).notes(
            "Only while the token has not been traded: once an agent runs, it alone speaks for the machine.",
        ),
        routes::AGENT_LINK => switches().notes(
            "The agent offers the subprotocol `ringfence.v1`. Text messages are JSON, binary messages channel frames: docs/protocol.md.",
        ),
        _ => return None,
    };
    Some(exchange)
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}
