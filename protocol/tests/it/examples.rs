//! Values that the golden tests pin, and how they are pinned.

use std::fmt::Write;

use ringfence_protocol::container::{ContainerSpec, RegistryLogin, Repository, WorkspaceSecrets};
use ringfence_protocol::ids::{ID_ENTROPY_BYTES, Id, Kind};
use ringfence_protocol::link::Facts;
use ringfence_protocol::money::Money;
use ringfence_protocol::params::SecretText;
use ringfence_protocol::posture::{Posture, PostureCheck};
use ringfence_protocol::state::{NetworkMode, PostureOutcome};
use ringfence_protocol::time::UnixMillis;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An identifier whose random bytes are all `seed`.
pub(crate) fn id<K: Kind>(seed: u8) -> Id<K> {
    Id::from_entropy([seed; ID_ENTROPY_BYTES])
}

/// An instant: that many seconds after 2026-11-22T08:00:00.250Z.
pub(crate) fn at(secs: i64) -> UnixMillis {
    UnixMillis::new(1_795_334_400_250 + secs * 1000)
}

pub(crate) fn euros(micros: i64) -> Money {
    Money::from_micros(micros, "EUR")
}

pub(crate) fn facts() -> Facts {
    Facts {
        cpu_percent: 12.5,
        memory_percent: 40.25,
        memory_total_bytes: 4_294_967_296,
        disk_percent: 7.0,
        disk_total_bytes: 42_949_672_960,
        measured_at: at(30),
    }
}

pub(crate) fn container() -> ContainerSpec {
    ContainerSpec {
        image: "docker.io/library/debian:13".into(),
        image_registries: vec!["docker.io/library".into()],
        cpu_limit_millis: 1500,
        memory_limit_bytes: 2_147_483_648,
        disk_quota_bytes: 5_368_709_120,
        pids_limit: 512,
        network: NetworkMode::Restricted,
        allowed_domains: vec!["example.com".into()],
        repository: Some(repository()),
        env: [("LANG".to_owned(), "C.UTF-8".to_owned())].into(),
    }
}

pub(crate) fn repository() -> Repository {
    Repository { url: "https://git.example.com/demo.git".into(), branch: Some("main".into()) }
}

pub(crate) fn registry_login() -> RegistryLogin {
    RegistryLogin { username: "robot".into(), password: SecretText::new("rp".into()) }
}

pub(crate) fn secrets() -> WorkspaceSecrets {
    WorkspaceSecrets {
        registry_login: Some(registry_login()),
        files: [("api_key".to_owned(), SecretText::new("s3".into()))].into(),
    }
}

pub(crate) fn posture_check(outcome: PostureOutcome) -> PostureCheck {
    PostureCheck {
        id: "capabilities".into(),
        title: "The container has no capabilities.".into(),
        rule: "all capabilities dropped".into(),
        measured: "CapEff 0000000000000000".into(),
        outcome,
        must_pass: true,
    }
}

pub(crate) fn posture() -> Posture {
    Posture { measured_at: at(40), checks: vec![posture_check(PostureOutcome::Pass)] }
}

/// The text of a snapshot: each value as JSON under a heading.
#[derive(Default)]
pub(crate) struct Pinned(String);

impl Pinned {
    /// Adds a value, after making sure that reading what was written gives the same again.
    pub(crate) fn json<T: Serialize + DeserializeOwned>(&mut self, name: &str, value: &T) {
        let text = serde_json::to_string_pretty(value).unwrap();
        let again: T = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string_pretty(&again).unwrap(), text, "{name} does not survive a round trip");
        self.line(name, &text);
    }

    /// Adds a text.
    pub(crate) fn line(&mut self, name: &str, text: &str) {
        writeln!(self.0, "{name}: {text}").unwrap();
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}
