//! Bodies of requests and query strings.

use ringfence_protocol::ids::kind;
use ringfence_protocol::params::{
    AlternativeParams, CreateApiTokenParams, CreateCredentialParams, CreateUserParams, CreateWorkspaceParams,
    CreateWorkspaceTokenParams, EventsParams, ForgetNodeParams, KeepAliveParams, ListParams, OwnListParams,
    PauseProvisioningParams, RedeemLinkParams, ReplaceCredentialParams, SecretText,
};
use ringfence_protocol::state::{Isolation, NetworkMode, Permission, ProviderKind, Role};
use ringfence_protocol::sweeps::SweepParams;

use crate::examples::{Pinned, at, container, id, registry_login, repository, secrets};

#[test]
fn params_keep_their_form() {
    let secret = || SecretText::new("s3cret".into());
    let mut pinned = Pinned::default();
    pinned.json("RedeemLinkParams", &RedeemLinkParams { token: secret() });
    pinned.json("CreateApiTokenParams", &CreateApiTokenParams { name: "ci".into(), expires_in_secs: Some(86_400) });
    pinned.json(
        "CreateCredentialParams",
        &CreateCredentialParams { provider: ProviderKind::Hetzner, name: Some("my project".into()), secret: secret() },
    );
    pinned.json("ReplaceCredentialParams", &ReplaceCredentialParams { secret: secret() });
    pinned.json(
        "CreateWorkspaceParams",
        &CreateWorkspaceParams {
            name: Some("quiet-otter".into()),
            credential_id: Some(id(5)),
            provider: Some(ProviderKind::Hetzner),
            region: Some("fsn1".into()),
            size: Some("cx23".into()),
            alternatives: Some(vec![AlternativeParams { region: Some("hel1".into()), size: None }]),
            isolation: Some(Isolation::Ephemeral),
            max_duration_secs: Some(1800),
            image: Some("docker.io/library/debian:13".into()),
            cpu_limit: Some(1.5),
            memory_limit_bytes: Some(2_147_483_648),
            disk_quota_bytes: Some(5_368_709_120),
            pids_limit: Some(512),
            network: Some(NetworkMode::Restricted),
            allowed_domains: Some(vec!["example.com".into()]),
            repository: Some(repository()),
            env: Some(container().env),
            secrets: Some(secrets().files),
            registry_login: Some(registry_login()),
            idle_timeout_secs: Some(1_800),
            stop_keep_secs: Some(86_400),
        },
    );
    pinned.json("KeepAliveParams", &KeepAliveParams { until_at: Some(at(600)), secs: None });
    pinned.json("KeepAliveParams, by its length", &KeepAliveParams { until_at: None, secs: Some(600) });
    pinned.json("CreateWorkspaceParams, empty", &CreateWorkspaceParams::default());
    pinned.json(
        "CreateWorkspaceTokenParams",
        &CreateWorkspaceTokenParams { permissions: Some(vec![Permission::TerminalRead]) },
    );
    pinned.json(
        "CreateUserParams",
        &CreateUserParams { name: "Ada".into(), role: Some(Role::Admin), tenant_id: Some(id(2)) },
    );
    pinned.json("ForgetNodeParams", &ForgetNodeParams { confirm: id::<kind::Node>(3).to_string() });
    pinned.json("PauseProvisioningParams", &PauseProvisioningParams { reason: "the bill".into() });
    pinned.json("ListParams", &ListParams { limit: Some(50), cursor: Some("b2Zmc2V0".into()) });
    pinned.json("OwnListParams", &OwnListParams { limit: Some(50), cursor: None, gone: true });
    pinned.json("SweepParams", &SweepParams { dry_run: Some(true) });
    pinned
        .json("EventsParams", &EventsParams { after: Some(41), before: None, node_id: Some(id(3)), limit: Some(200) });
    pinned.json("EventsParams, back", &EventsParams { before: Some(41), ..EventsParams::default() });
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn a_secret_is_not_in_the_debug_form_of_what_holds_it() {
    let params = CreateCredentialParams {
        provider: ProviderKind::Hetzner,
        name: None,
        secret: SecretText::new("s3cret".into()),
    };
    assert!(!format!("{params:?}").contains("s3cret"));
    assert_eq!(params.secret.expose(), "s3cret");
}
