//! Tokens, proofs and sealed credentials: what opens what, and above all what does not (I6, I12).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::SigningKey;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt, Claims, Header};
use ringfence::domain::keyring::Keyring;
use ringfence::domain::proof::{self, ProofContext, Unproven, token_hash};
use ringfence::domain::seal::SealedRow;
use ringfence::domain::token::{self, Lifetime, Refused};
use ringfence::domain::{mac, seal};
use ringfence_protocol::claims::{
    BootstrapClaims, CallbackClaims, Confirmation, Jwk, ProofClaims, SessionClaims, TokenKind, WorkspaceClaims,
};
use ringfence_protocol::ids::{ApiTokenId, CredentialId, GrantId, Id, Kind, UserId, kind};
use ringfence_protocol::params::SecretText;
use ringfence_protocol::state::Permission;
use ringfence_protocol::time::UnixMillis;

const ISSUER: &str = "https://ringfence.example.workers.dev";
const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);

fn key(byte: u8) -> String {
    B64.encode([byte; 32])
}

fn keyring(kids: &[(&str, u8)]) -> Keyring {
    let keys: Vec<String> =
        kids.iter().map(|(kid, byte)| format!(r#"{{"kid":"{kid}","seed":"{}"}}"#, key(*byte))).collect();
    let json = format!(
        r#"{{"keys":[{}],"seal":[{{"version":2,"key":"{}"}},{{"version":1,"key":"{}"}}],"mac":"{}"}}"#,
        keys.join(","),
        key(100),
        key(101),
        key(102)
    );
    Keyring::parse(&json).map_err(|error| error.0).unwrap()
}

fn id<K: Kind>(byte: u8) -> Id<K> {
    Id::from_entropy([byte; 13])
}

fn session() -> SessionClaims {
    SessionClaims { sid: id(1), user: id(2), tenant: id(3) }
}
fn workspace() -> WorkspaceClaims {
    WorkspaceClaims {
        jti: id(1),
        user: id(2),
        workspace: id(3),
        node: id(4),
        permissions: vec![Permission::TerminalRead],
        sid: GrantId::Session(id(5)),
    }
}
fn bootstrap() -> BootstrapClaims {
    BootstrapClaims { jti: id(1), node: id(2) }
}
fn callback() -> CallbackClaims {
    CallbackClaims { node: id(1), agent_epoch: 7, cnf: Confirmation { jkt: "thumb".into() } }
}

fn sign<T: Lifetime>(claims: T) -> String {
    token::sign(&keyring(&[("a", 1)]), ISSUER, claims, NOW).unwrap().0
}

fn refused_as<T: Lifetime + std::fmt::Debug + PartialEq>(token: &str) -> bool {
    token::verify::<T>(&keyring(&[("a", 1)]), ISSUER, token, NOW) == Err(Refused::Invalid)
}

#[test]
fn each_kind_opens_what_it_is_for_and_nothing_else() {
    let tokens = [sign(session()), sign(workspace()), sign(bootstrap()), sign(callback())];
    for (kind, token) in tokens.iter().enumerate() {
        let refused = [
            refused_as::<SessionClaims>(token),
            refused_as::<WorkspaceClaims>(token),
            refused_as::<BootstrapClaims>(token),
            refused_as::<CallbackClaims>(token),
        ];
        let expected: Vec<bool> = (0..4).map(|other| other != kind).collect();
        assert_eq!(refused.to_vec(), expected, "token {kind}");
    }
}

#[test]
fn the_type_header_alone_or_the_audience_alone_is_not_enough() {
    let keyring = keyring(&[("a", 1)]);
    let signing = SigningKey::from_bytes(&[1; 32]);
    let forge = |typ: &str, aud: &str| {
        let header = Header::empty().with_key_id("a").with_token_type(typ);
        let body = serde_json::json!({"iss": ISSUER, "aud": aud, "sid": session().sid, "user": session().user, "tenant": session().tenant});
        let mut claims = Claims::new(body);
        claims.issued_at = chrono::DateTime::from_timestamp(NOW.as_secs(), 0);
        claims.expiration = chrono::DateTime::from_timestamp(NOW.as_secs() + 60, 0);
        Ed25519.token(&header, &claims, &signing).unwrap()
    };
    let verify = |token: &str| token::verify::<SessionClaims>(&keyring, ISSUER, token, NOW).is_ok();
    assert!(verify(&forge(SessionClaims::TYPE, SessionClaims::AUDIENCE)));
    assert!(!verify(&forge(SessionClaims::TYPE, WorkspaceClaims::AUDIENCE)));
    assert!(!verify(&forge(WorkspaceClaims::TYPE, SessionClaims::AUDIENCE)));
    assert!(!verify(&forge("JWT", SessionClaims::AUDIENCE)));
}

#[test]
fn a_token_ends_with_its_lifetime_to_the_second() {
    let token = sign(bootstrap());
    let verify = |secs: u64| {
        let at = NOW + std::time::Duration::from_secs(secs);
        token::verify::<BootstrapClaims>(&keyring(&[("a", 1)]), ISSUER, &token, at).map(|_| ())
    };
    let life = BootstrapClaims::LIFETIME.as_secs();
    assert_eq!(verify(life - 1), Ok(()));
    assert_eq!(verify(life), Err(Refused::Expired));
}

#[test]
fn another_issuer_key_or_signature_is_refused() {
    let token = sign(session());
    let verify = |keyring: &Keyring, issuer: &str, token: &str| {
        token::verify::<SessionClaims>(keyring, issuer, token, NOW).is_ok()
    };
    assert!(verify(&keyring(&[("a", 1)]), ISSUER, &token));
    assert!(!verify(&keyring(&[("a", 1)]), "https://other.example", &token));
    assert!(!verify(&keyring(&[("a", 9)]), ISSUER, &token), "same name, another key");
    assert!(!verify(&keyring(&[("b", 1)]), ISSUER, &token), "same key, another name");
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last character of base64url carries unused bits; decoders here refuse those that are not zero.
        assert!(!verify(&keyring(&[("a", 1)]), ISSUER, &changed), "character {place}");
    }
    for garbage in ["", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        assert!(!verify(&keyring(&[("a", 1)]), ISSUER, garbage), "{garbage}");
    }
}

#[test]
fn rotation_breaks_nobody() {
    let old = sign(session());
    let rotated = keyring(&[("b", 2), ("a", 1)]);
    assert!(token::verify::<SessionClaims>(&rotated, ISSUER, &old, NOW).is_ok());
    let (new, _) = token::sign(&rotated, ISSUER, session(), NOW).unwrap();
    assert!(token::verify::<SessionClaims>(&rotated, ISSUER, &new, NOW).is_ok());
    assert!(
        token::verify::<SessionClaims>(&keyring(&[("a", 1)]), ISSUER, &new, NOW).is_err(),
        "signed with the newest"
    );
    let kids: Vec<_> = rotated.jwks().keys.into_iter().map(|key| key.kid.unwrap()).collect();
    assert_eq!(kids, ["b", "a"]);
}

struct Proof {
    signing: SigningKey,
    typ: &'static str,
    claims: ProofClaims,
}

fn proof_for(nonce: &str) -> Proof {
    let claims = ProofClaims {
        jti: "1".into(),
        htm: "POST".into(),
        htu: format!("{ISSUER}/agent/token"),
        nonce: Some(nonce.into()),
        ath: token_hash("the-token"),
    };
    Proof { signing: SigningKey::from_bytes(&[42; 32]), typ: "dpop+jwt", claims }
}

impl Proof {
    fn encode(&self) -> String {
        #[derive(serde::Serialize)]
        struct Fields {
            jwk: Jwk,
        }
        let jwk = Jwk::ed25519(B64.encode(self.signing.verifying_key().as_bytes()), None);
        let header = Header::new(Fields { jwk }).with_token_type(self.typ);
        Ed25519.token(&header, &Claims::new(&self.claims), &self.signing).unwrap()
    }

    fn check(&self) -> Result<(), Unproven> {
        let origins = [ISSUER.to_owned()];
        let context = ProofContext { method: "POST", origins: &origins, path: "/agent/token", token: "the-token" };
        proof::verify(&keyring(&[("a", 1)]), &self.encode(), &context, NOW).map(|_| ())
    }
}

#[test]
fn a_proof_is_for_one_method_url_token_and_nonce() {
    let keys = keyring(&[("a", 1)]);
    let nonce = mac::nonce(&keys, NOW);
    assert_eq!(proof_for(&nonce).check(), Ok(()));

    let refused = |change: fn(&mut Proof)| {
        let mut proof = proof_for(&nonce);
        change(&mut proof);
        proof.check()
    };
    assert_eq!(refused(|p| p.claims.htm = "GET".into()), Err(Unproven::Invalid));
    assert_eq!(refused(|p| p.claims.htu = format!("{ISSUER}/agent/link")), Err(Unproven::Invalid));
    assert_eq!(refused(|p| p.claims.htu = "https://evil.example/agent/token".into()), Err(Unproven::Invalid));
    assert_eq!(refused(|p| p.claims.ath = token_hash("another-token")), Err(Unproven::Invalid));
    assert_eq!(refused(|p| p.typ = "jwt"), Err(Unproven::Invalid));
    assert_eq!(refused(|p| p.claims.nonce = None), Err(Unproven::NonceNeeded));
    assert_eq!(refused(|p| p.claims.nonce = Some("made-up".into())), Err(Unproven::NonceNeeded));
}

#[test]
fn a_nonce_of_ours_is_fresh_for_its_lifetime_only() {
    let keys = keyring(&[("a", 1)]);
    let nonce = mac::nonce(&keys, NOW);
    assert!(mac::nonce_is_fresh(&keys, &nonce, NOW + mac::NONCE_LIFETIME));
    assert!(!mac::nonce_is_fresh(&keys, &nonce, NOW + mac::NONCE_LIFETIME + std::time::Duration::from_secs(1)));
    assert!(!mac::nonce_is_fresh(&keys, &nonce, NOW - std::time::Duration::from_secs(60)), "from the future");
    let mut forged = B64.decode(&nonce).unwrap();
    forged[7] ^= 1;
    assert!(!mac::nonce_is_fresh(&keys, &B64.encode(forged), NOW));
}

fn checked<K: mac::OpaqueKind>(keys: &Keyring, text: &str) -> Option<(Id<K>, [u8; 32])> {
    mac::check::<K>(keys, text).map(|opaque| (opaque.id, opaque.secret_sha256))
}

#[test]
fn opaque_tokens_of_one_kind_are_none_of_another() {
    let keys = keyring(&[("a", 1)]);
    let api: ApiTokenId = id(9);
    let (text, opaque) = mac::issue::<kind::ApiToken>(&keys, api, [7; 32]);
    assert!(text.expose().starts_with("rf_"));
    assert_eq!(checked::<kind::ApiToken>(&keys, text.expose()), Some((opaque.id, opaque.secret_sha256)));
    assert_eq!(checked::<kind::SignInLink>(&keys, text.expose()), None);
    let (link, _) = mac::issue::<kind::SignInLink>(&keys, id(9), [7; 32]);
    assert_eq!(checked::<kind::ApiToken>(&keys, link.expose()), None);
    for place in 0..text.expose().len() {
        let mut changed = text.expose().to_owned().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        assert_eq!(checked::<kind::ApiToken>(&keys, &String::from_utf8(changed).unwrap()), None, "character {place}");
    }
}

#[test]
fn a_sealed_credential_opens_in_its_own_row_only() {
    let keys = keyring(&[("a", 1)]);
    let (user, credential): (UserId, CredentialId) = (id(1), id(2));
    let secret = SecretText::new("hcloud-key".into());
    let sealed = seal::seal(&keys, user, SealedRow::Credential(credential), &secret, [3; 12]).unwrap();
    assert_eq!(sealed.version, 2, "the newest seal key");
    assert!(!sealed.text.contains("hcloud"));
    let opens = |user, credential, sealed: &seal::Sealed| {
        seal::open(&keys, user, SealedRow::Credential(credential), sealed).is_ok()
    };
    assert!(opens(user, credential, &sealed));
    assert!(!opens(id(8), credential, &sealed), "another user");
    assert!(!opens(user, id(8), &sealed), "another row");
    assert!(!opens(user, credential, &seal::Sealed { version: 1, ..sealed.clone() }), "another key version");
    assert!(!opens(user, credential, &seal::Sealed { version: 9, ..sealed.clone() }), "no such key version");
    let cut = seal::Sealed { text: sealed.text[..8].into(), ..sealed };
    assert!(!opens(user, credential, &cut));
}

#[test]
fn what_is_sealed_for_one_kind_of_row_opens_as_no_other() {
    let keys = keyring(&[("a", 1)]);
    let user: UserId = id(1);
    let secret = SecretText::new("hcloud-key".into());
    // Ids of the same bytes: only their kinds differ.
    let rows = [SealedRow::Credential(id(2)), SealedRow::Workspace(id(2))];
    for sealed_for in rows {
        let sealed = seal::seal(&keys, user, sealed_for, &secret, [3; 12]).unwrap();
        for row in rows {
            let opened = seal::open(&keys, user, row, &sealed);
            assert_eq!(opened.is_ok(), row == sealed_for, "{sealed_for:?} as {row:?}");
        }
        assert!(seal::open(&keys, id(8), sealed_for, &sealed).is_err(), "another user");
        assert!(seal::open(&keys, user, SealedRow::Workspace(id(8)), &sealed).is_err(), "another row");
    }
}
