//! Who may act: links, sessions, API tokens, suspension, and revocations that are carried to every node or tried again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ringfence::app::caller::{Caller, Source};
use ringfence::app::idempotency::Repeatable;
use ringfence::app::{api_tokens, revoke, sessions, sign_in, users};
use ringfence::config::Config;
use ringfence::error::Error;
use ringfence::ports::{Db, Entropy};
use ringfence::store::identity;
use ringfence_protocol::ids::{GrantId, NodeId, UserId};
use ringfence_protocol::params::{CreateApiTokenParams, CreateUserParams, SecretText};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Role, UserState};

use crate::support::platform::{START, TestPlatform};
use crate::support::world::run;

const ORIGIN: &str = "https://ringfence.example.workers.dev";

fn config() -> Config {
    let key = |byte: u8| B64.encode([byte; 32]);
    let keyring = format!(
        r#"{{"keys":[{{"kid":"a","seed":"{}"}}],"seal":[{{"version":1,"key":"{}"}}],"mac":"{}"}}"#,
        key(1),
        key(2),
        key(3)
    );
    let lookup = |name: &str| match name {
        "RINGFENCE_ORIGIN" => Some(ORIGIN.to_owned()),
        "RINGFENCE_KEYRING" => Some(keyring.clone()),
        "RINGFENCE_INSTALLATION_ID" => Some("test".to_owned()),
        _ => None,
    };
    Config::read(lookup).unwrap()
}

struct Installation {
    p: TestPlatform,
    config: Config,
}

impl Installation {
    fn new() -> Self {
        Self { p: TestPlatform::new(7), config: config() }
    }

    async fn user(&self, name: &str, role: Role) -> UserId {
        let (user, tenant) = (self.p.id(), self.p.id());
        self.p.batch(identity::insert_user(user, tenant, name, role, START).to_vec()).await.unwrap();
        user
    }

    async fn link(&self, user: UserId) -> SecretText {
        let link = sign_in::new_link(&self.config.keyring, ORIGIN, self.p.id(), self.p.bytes(), user, self.p.now.get());
        self.p.batch(vec![link.statement]).await.unwrap();
        SecretText::new(link.url.expose().split_once("#token=").unwrap().1.to_owned())
    }

    async fn redeem(&self, link: &SecretText) -> Result<sign_in::SignedIn, Error> {
        sign_in::redeem_link(&self.p, &self.config, link, Source::default()).await
    }

    async fn sign_in(&self, user: UserId) -> (String, Caller) {
        let signed_in = self.redeem(&self.link(user).await).await.unwrap_or_else(|error| panic!("{error:?}"));
        (signed_in.cookie, signed_in.caller)
    }

    async fn authenticate(&self, cookie: &str) -> Result<Caller, Error> {
        Caller::from_session(&self.p, &self.config, cookie, Source::default()).await
    }

    /// A node of the user, as far as fanning out needs one.
    fn node(&self, user: UserId) -> NodeId {
        let id: NodeId = self.p.id();
        let credential: ringfence_protocol::ids::CredentialId = self.p.id();
        self.p
            .db
            .execute(&format!(
                "INSERT INTO provider_credentials (id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, row_version)
                 VALUES ('{credential}', '{user}', 'hetzner', 'x', '', 1, 0, 1);
                 INSERT INTO nodes (id, user_id, tenant_id, row_version, created_at_ms, installation, provider, credential_id,
                   isolation, region, size, cpus, memory_bytes, image, price_micros_per_hour, currency, slots,
                   hard_deadline_at_ms, policy, state, state_since_ms, agent_epoch)
                 SELECT '{id}', id, tenant_id, 1, 0, 'test', 'hetzner', '{credential}', 'user', 'fsn1', 'cx23', 2, 1, 'debian-12',
                   1, 'EUR', 3, 0, 'schedulable', 'ready', 0, 1 FROM users WHERE id = '{user}'"
            ))
            .unwrap();
        id
    }

    fn count(&self, sql: &str) -> i64 {
        self.p.db.count(sql)
    }
}

fn code<T>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.err().map(|error| error.code)
}

fn unrepeatable(caller: &Caller) -> Repeatable {
    Repeatable::new(caller, &routes::TOKEN_CREATE, None, String::new())
}

#[test]
fn a_link_is_traded_once_and_only_in_its_time() {
    run(async {
        let it = Installation::new();
        let user = it.user("ada", Role::Member).await;
        let link = it.link(user).await;
        assert!(it.redeem(&link).await.is_ok());
        assert_eq!(code(it.redeem(&link).await), Some(ErrorCode::LinkInvalid), "used");
        let late = it.link(user).await;
        it.p.now.set(START + sign_in::LINK_LIFETIME);
        assert_eq!(code(it.redeem(&late).await), Some(ErrorCode::LinkInvalid), "too old");
        assert_eq!(it.count("SELECT COUNT(*) FROM sessions"), 1);
        assert_eq!(it.count("SELECT COUNT(*) FROM audit WHERE action = 'session.create'"), 1, "refusals leave no act");
    });
}

#[test]
fn a_made_up_link_does_not_reach_the_database() {
    run(async {
        let it = Installation::new();
        let before = it.p.db.batches.get();
        let made_up = SecretText::new("rfl_00000000000000000000_AAAA.AAAAAAAAAAAAAAAAAAAAAA".into());
        assert_eq!(code(it.redeem(&made_up).await), Some(ErrorCode::LinkInvalid));
        assert_eq!(
            code(Caller::from_api_token(&it.p, &it.config, "rf_x_y.z", Source::default()).await),
            Some(ErrorCode::Unauthenticated)
        );
        assert_eq!(code(it.authenticate("garbage").await), Some(ErrorCode::Unauthenticated));
        assert_eq!(it.p.db.batches.get(), before);
    });
}

#[test]
fn a_suspended_user_cannot_use_a_link_a_session_or_a_token_until_resumed() {
    run(async {
        let it = Installation::new();
        let admin = it.sign_in(it.user("root", Role::Admin).await).await.1;
        let user = it.user("ada", Role::Member).await;
        let (cookie, caller) = it.sign_in(user).await;
        let params = CreateApiTokenParams { name: "ci".into(), expires_in_secs: None };
        let token =
            api_tokens::create(&it.p, &it.config, &caller, params, &unrepeatable(&caller)).await.unwrap().secret;
        let by_token = async || Caller::from_api_token(&it.p, &it.config, token.expose(), Source::default()).await;
        let link = it.link(user).await;

        let suspended = users::suspend(&it.p, &admin, user).await.unwrap();
        assert_eq!(suspended.state, UserState::Suspended);
        assert_eq!(code(it.authenticate(&cookie).await), Some(ErrorCode::Unauthenticated));
        assert_eq!(code(by_token().await), Some(ErrorCode::Unauthenticated));
        assert_eq!(code(it.redeem(&link).await), Some(ErrorCode::LinkInvalid));

        users::resume(&it.p, &admin, user).await.unwrap();
        assert!(by_token().await.is_ok(), "tokens work again");
        assert_eq!(code(it.authenticate(&cookie).await), Some(ErrorCode::Unauthenticated), "sessions stay ended");
        assert!(it.redeem(&link).await.is_ok());
    });
}

#[test]
fn a_revocation_that_could_not_be_carried_is_carried_by_the_cron() {
    run(async {
        let it = Installation::new();
        let user = it.user("ada", Role::Member).await;
        let node = it.node(user);
        let (cookie, caller) = it.sign_in(user).await;
        it.p.objects_answer.set(false);
        sessions::revoke(&it.p, &caller, caller.session().unwrap()).await.unwrap();
        assert_eq!(code(it.authenticate(&cookie).await), Some(ErrorCode::Unauthenticated), "written first");
        assert_eq!(it.count("SELECT COUNT(*) FROM revocations WHERE fanned_out_at_ms IS NULL"), 1);

        it.p.objects_answer.set(true);
        revoke::repeat_open(&it.p).await.unwrap();
        assert_eq!(*it.p.revoked.borrow(), [(node, caller.grant)]);
        assert_eq!(it.count("SELECT COUNT(*) FROM revocations WHERE fanned_out_at_ms IS NULL"), 0);
        revoke::repeat_open(&it.p).await.unwrap();
        assert_eq!(it.p.revoked.borrow().len(), 1, "marked done");
    });
}

#[test]
fn a_revocation_reaches_every_node_of_a_user_who_has_many() {
    run(async {
        let it = Installation::new();
        let user = it.user("ada", Role::Member).await;
        let mut nodes: Vec<NodeId> = (0..35).map(|_| it.node(user)).collect();
        let (_, caller) = it.sign_in(user).await;
        sessions::revoke(&it.p, &caller, caller.session().unwrap()).await.unwrap();
        assert_eq!(it.count("SELECT COUNT(*) FROM revocations WHERE fanned_out_at_ms IS NULL"), 1, "some are left");
        revoke::repeat_open(&it.p).await.unwrap();
        assert_eq!(it.count("SELECT COUNT(*) FROM revocations WHERE fanned_out_at_ms IS NULL"), 0);
        let mut reached: Vec<NodeId> = it.p.revoked.borrow().iter().map(|(node, _)| *node).collect();
        reached.sort_unstable();
        nodes.sort_unstable();
        assert_eq!(reached, nodes, "each once");
    });
}

#[test]
fn a_user_whose_nodes_do_not_answer_keeps_nobody_waiting() {
    run(async {
        let it = Installation::new();
        let (ada, bob) = (it.user("ada", Role::Member).await, it.user("bob", Role::Member).await);
        it.node(ada);
        let node = it.node(bob);
        it.p.objects_answer.set(false);
        for user in [ada, bob] {
            let (_, caller) = it.sign_in(user).await;
            sessions::revoke(&it.p, &caller, caller.session().unwrap()).await.unwrap();
            it.p.now.set(it.p.now.get() + Duration::from_secs(1));
        }
        // Ada's are tried again, in vain, and then it is Bob's turn.
        revoke::repeat_open(&it.p).await.unwrap();
        it.p.now.set(it.p.now.get() + Duration::from_secs(60));
        it.p.objects_answer.set(true);
        revoke::repeat_open(&it.p).await.unwrap();
        assert_eq!(it.p.revoked.borrow().iter().map(|(reached, _)| *reached).collect::<Vec<_>>(), [node]);
    });
}

#[test]
fn a_second_suspension_reaches_every_node_as_the_first_did() {
    run(async {
        let it = Installation::new();
        let admin = it.sign_in(it.user("root", Role::Admin).await).await.1;
        let user = it.user("ada", Role::Member).await;
        let mut nodes: Vec<NodeId> = (0..40).map(|_| it.node(user)).collect();
        nodes.sort();
        let (_, caller) = it.sign_in(user).await;
        let params = CreateApiTokenParams { name: "ci".into(), expires_in_secs: None };
        let token = api_tokens::create(&it.p, &it.config, &caller, params, &unrepeatable(&caller)).await.unwrap();
        let token = GrantId::ApiToken(token.token.id);
        // The first one gets only part of the way before the user is back.
        users::suspend(&it.p, &admin, user).await.unwrap();
        users::resume(&it.p, &admin, user).await.unwrap();
        it.p.revoked.borrow_mut().clear();

        users::suspend(&it.p, &admin, user).await.unwrap();
        revoke::repeat_open(&it.p).await.unwrap();
        let carried = it.p.revoked.borrow().clone();
        let mut reached: Vec<NodeId> =
            carried.into_iter().filter(|(_, grant)| *grant == token).map(|(node, _)| node).collect();
        reached.sort();
        assert_eq!(reached, nodes);
    });
}

#[test]
fn nobody_revokes_what_is_anothers() {
    run(async {
        let it = Installation::new();
        let (_, ada) = it.sign_in(it.user("ada", Role::Member).await).await;
        let (cookie, bob) = it.sign_in(it.user("bob", Role::Member).await).await;
        let result = sessions::revoke(&it.p, &ada, bob.session().unwrap()).await;
        assert_eq!(code(result), Some(ErrorCode::NotFound));
        assert!(it.authenticate(&cookie).await.is_ok());
        assert_eq!(it.count("SELECT COUNT(*) FROM revocations"), 0);
        assert_eq!(it.count("SELECT COUNT(*) FROM audit WHERE action = 'session.revoke'"), 0);
    });
}

#[test]
fn an_api_token_manages_neither_tokens_nor_sessions() {
    run(async {
        let it = Installation::new();
        let (_, caller) = it.sign_in(it.user("ada", Role::Member).await).await;
        let params = || CreateApiTokenParams { name: "ci".into(), expires_in_secs: Some(3600) };
        let made = api_tokens::create(&it.p, &it.config, &caller, params(), &unrepeatable(&caller)).await.unwrap();
        let by_token =
            Caller::from_api_token(&it.p, &it.config, made.secret.expose(), Source::default()).await.unwrap();
        let created = api_tokens::create(&it.p, &it.config, &by_token, params(), &unrepeatable(&by_token)).await;
        assert_eq!(code(created), Some(ErrorCode::Forbidden));
        assert_eq!(code(sessions::list(&it.p, &by_token).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(api_tokens::revoke(&it.p, &by_token, made.token.id).await), Some(ErrorCode::Forbidden));
        it.p.now.set(START + Duration::from_secs(3600));
        let late = Caller::from_api_token(&it.p, &it.config, made.secret.expose(), Source::default()).await;
        assert_eq!(code(late), Some(ErrorCode::Unauthenticated), "its time is over");
    });
}

#[test]
fn a_session_ends_after_seven_days_whatever_it_did() {
    run(async {
        let it = Installation::new();
        let (cookie, _) = it.sign_in(it.user("ada", Role::Member).await).await;
        let week = Duration::from_secs(7 * 24 * 3600);
        it.p.now.set(START + week - Duration::from_secs(1));
        assert!(it.authenticate(&cookie).await.is_ok());
        it.p.now.set(START + week);
        assert_eq!(code(it.authenticate(&cookie).await), Some(ErrorCode::Unauthenticated));
    });
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_another_body_is_refused() {
    run(async {
        let it = Installation::new();
        let (_, admin) = it.sign_in(it.user("root", Role::Admin).await).await;
        let repeatable =
            |body: &str| Repeatable::new(&admin, &routes::ADMIN_USER_CREATE, Some("key-1".into()), body.into());
        let create = async |name: &str, body: &str| {
            users::create(
                &it.p,
                &admin,
                CreateUserParams { name: name.into(), role: None, tenant_id: None },
                &repeatable(body),
            )
            .await
        };
        let first = create("ada", "body-a").await.unwrap();
        assert_eq!(create("ada", "body-a").await.unwrap().id, first.id);
        assert_eq!(code(create("bob", "body-b").await), Some(ErrorCode::IdempotencyMismatch));
        assert_eq!(it.count("SELECT COUNT(*) FROM users"), 2);
        it.p.now.set(START + Duration::from_secs(24 * 3600));
        assert!(create("bob", "body-b").await.is_ok(), "a key is remembered for a day");
    });
}

#[test]
fn the_last_admin_cannot_suspend_themselves() {
    run(async {
        let it = Installation::new();
        let (_, admin) = it.sign_in(it.user("root", Role::Admin).await).await;
        assert_eq!(code(users::suspend(&it.p, &admin, admin.user.id).await), Some(ErrorCode::Conflict));
        let (_, member) = it.sign_in(it.user("ada", Role::Member).await).await;
        assert_eq!(code(users::suspend(&it.p, &member, admin.user.id).await), Some(ErrorCode::Forbidden));
        assert!(matches!(admin.grant, GrantId::Session(_)));
    });
}

#[test]
fn workspaces_without_isolation_are_never_put_on_machines_that_cost_money() {
    let key = |byte: u8| B64.encode([byte; 32]);
    let keyring =
        format!(r#"{{"keys":[{{"kid":"a","seed":"{0}"}}],"seal":[{{"version":1,"key":"{0}"}}],"mac":"{0}"}}"#, key(1));
    let accepted = |url: Option<&str>| {
        let lookup = |name: &str| match name {
            "RINGFENCE_ORIGIN" => Some(ORIGIN.to_owned()),
            "RINGFENCE_KEYRING" => Some(keyring.clone()),
            "RINGFENCE_INSTALLATION_ID" => Some("test".to_owned()),
            "RINGFENCE_ENGINE" => Some("unconfined".to_owned()),
            "RINGFENCE_HETZNER_URL" => url.map(str::to_owned),
            _ => None,
        };
        Config::read(lookup).is_ok()
    };
    assert!(accepted(Some("http://127.0.0.1:4000")));
    assert!(!accepted(Some("https://api.hetzner.cloud")));
    assert!(!accepted(None), "the default is the real one");
}
