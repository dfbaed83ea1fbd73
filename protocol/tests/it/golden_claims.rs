//! Claims of every token, public keys and the agent's configuration.

use std::collections::HashSet;

use ringfence_protocol::agent_config::{AGENT_CONFIG_PATH, AgentConfig, AgentLimits, EngineConfig};
use ringfence_protocol::claims::{
    BootstrapClaims, CallbackClaims, Confirmation, Issued, Jwk, Jwks, PROOF_TYPE, ProofClaims, SessionClaims,
    TokenKind, WorkspaceClaims,
};
use ringfence_protocol::ids::GrantId;
use ringfence_protocol::state::Permission;

use crate::examples::{Pinned, at, id};

/// The public key of RFC 8037 appendix A.2.
const RFC_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn jwks() -> Jwks {
    Jwks { keys: vec![Jwk::ed25519(RFC_KEY.into(), Some("2026-11".into()))] }
}

#[test]
fn claims_keep_their_form() {
    let mut pinned = Pinned::default();
    pinned.json("SessionClaims", &SessionClaims { sid: id(6), user: id(1), tenant: id(2) });
    pinned.json(
        "WorkspaceClaims",
        &WorkspaceClaims {
            jti: id(8),
            user: id(1),
            workspace: id(4),
            node: id(3),
            permissions: vec![Permission::TerminalRead, Permission::TerminalWrite],
            sid: GrantId::Session(id(6)),
        },
    );
    pinned.json("BootstrapClaims", &BootstrapClaims { jti: id(8), node: id(3) });
    pinned.json(
        "CallbackClaims",
        &CallbackClaims {
            node: id(3),
            agent_epoch: 2,
            cnf: Confirmation { jkt: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k".into() },
        },
    );
    pinned.json(
        "ProofClaims",
        &ProofClaims {
            jti: "k1Zq".into(),
            htm: "POST".into(),
            htu: "https://ringfence.example.workers.dev/agent/bootstrap".into(),
            nonce: Some("n0nce".into()),
            ath: "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo".into(),
        },
    );
    pinned.json(
        "ProofClaims without a nonce",
        &ProofClaims {
            jti: "k1Zq".into(),
            htm: "GET".into(),
            htu: "https://ringfence.example.workers.dev/agent/link".into(),
            nonce: None,
            ath: "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo".into(),
        },
    );
    pinned.json(
        "Issued",
        &Issued {
            iss: "https://ringfence.example.workers.dev".into(),
            aud: BootstrapClaims::AUDIENCE.into(),
            claims: BootstrapClaims { jti: id(8), node: id(3) },
        },
    );
    pinned.json("Jwks", &jwks());
    pinned.line("PROOF_TYPE", PROOF_TYPE);
    for (name, typ, aud) in kinds() {
        pinned.line(name, &format!("typ {typ}, aud {aud}"));
    }
    insta::assert_snapshot!(pinned.into_text());
}

fn kinds() -> [(&'static str, &'static str, &'static str); 4] {
    fn kind<T: TokenKind>(name: &'static str) -> (&'static str, &'static str, &'static str) {
        (name, T::TYPE, T::AUDIENCE)
    }
    [
        kind::<SessionClaims>("session"),
        kind::<WorkspaceClaims>("workspace"),
        kind::<BootstrapClaims>("bootstrap"),
        kind::<CallbackClaims>("callback"),
    ]
}

#[test]
fn no_two_kinds_of_token_share_a_type_or_an_audience() {
    let types: HashSet<&str> = kinds().iter().map(|kind| kind.1).collect();
    let audiences: HashSet<&str> = kinds().iter().map(|kind| kind.2).collect();
    assert_eq!((types.len(), audiences.len()), (4, 4));
}

#[test]
fn a_thumbprint_is_taken_of_the_text_the_rfc_gives() {
    // RFC 8037 appendix A.3.
    assert_eq!(
        Jwk::ed25519(RFC_KEY.into(), Some("ignored".into())).thumbprint_input(),
        format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{RFC_KEY}"}}"#)
    );
}

#[test]
fn the_agents_configuration_keeps_its_form() {
    let mut pinned = Pinned::default();
    let config = AgentConfig {
        node_id: id(3),
        origin: "https://ringfence.example.workers.dev".into(),
        keys: jwks(),
        bootstrap_token: Some("eyJ".into()),
        engine: EngineConfig::Unconfined,
        dead_man_after_secs: Some(3_600),
        hard_deadline_at: Some(at(604_800)),
        limits: AgentLimits::default(),
    };
    pinned.line("path", AGENT_CONFIG_PATH);
    pinned.json("AgentConfig", &config);
    pinned.json("AgentConfig after redemption", &AgentConfig { bootstrap_token: None, ..config });
    insta::assert_snapshot!(pinned.into_text());
}
