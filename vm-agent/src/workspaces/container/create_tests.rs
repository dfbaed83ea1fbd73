//! What a container is made with, held against the rules of what a workspace may have.

use proptest::prelude::*;
use ringfence_protocol::state::NetworkMode;

use super::*;

fn spec() -> ContainerSpec {
    ContainerSpec {
        image: "localhost/ws:latest".into(),
        image_registries: Vec::new(),
        cpu_limit_millis: 1500,
        memory_limit_bytes: 2 << 30,
        disk_quota_bytes: 1 << 30,
        pids_limit: 256,
        network: NetworkMode::None,
        allowed_domains: Vec::new(),
        repository: None,
        env: BTreeMap::new(),
    }
}

fn with<T>(spec: &ContainerSpec, connection: &Connection, use_plan: impl FnOnce(&Plan<'_>) -> T) -> T {
    use_plan(&Plan {
        workspace_id: WorkspaceId::from_entropy([7; 13]),
        spec_generation: 3,
        name: "My Workspace!",
        spec,
        image: &spec.image,
        user: &User::default(),
        extra_env: &BTreeMap::from([("FROM".into(), "devcontainer".into())]),
        connection,
        volumes: [("w".into(), "/workspace"), ("s".into(), "/sessions")],
        secrets_dir: "/run/ringfence/x/secrets".into(),
        socket_dir: "/run/ringfence/x/socket".into(),
        image_volumes: &["/var/lib/data".into(), "/workspace".into()],
        seccomp: Some("/run/ringfence/seccomp.json".into()),
        has_engine_init: true,
        runtime: None,
        hard_limits: (1024, 4096),
    })
}

#[test]
fn the_container_has_every_wall() {
    let body = with(&spec(), &Connection::None, body);
    assert_eq!(body.user.as_deref(), Some("1000:1000"));
    assert_eq!(body.hostname.as_deref(), Some("my-workspace"));
    let host = body.host_config.unwrap();
    assert_eq!((host.privileged, host.readonly_rootfs), (Some(false), Some(true)));
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.cap_add, None);
    assert_eq!(
        host.security_opt,
        Some(vec!["no-new-privileges".to_owned(), "seccomp=/run/ringfence/seccomp.json".to_owned()])
    );
    assert_eq!((host.memory, host.memory_swap), (Some(2 << 30), Some(2 << 30)));
    assert_eq!((host.nano_cpus, host.pids_limit), (Some(1_500_000_000), Some(256)));
    assert_eq!(host.network_mode.as_deref(), Some("none"));
    assert_eq!(
        (host.devices, host.binds, host.pid_mode, host.uts_mode, host.userns_mode),
        (None, None, None, None, None)
    );
    let tmpfs = host.tmpfs.unwrap();
    assert_eq!(tmpfs["/tmp"], "rw,nosuid,nodev,mode=1777,size=512m");
    assert!(tmpfs.values().all(|options| options.contains("size=") && options.contains("nosuid,nodev")));
    assert!(tmpfs.contains_key("/var/lib/data") && !tmpfs.contains_key("/workspace"));
    let mounts = host.mounts.unwrap();
    let places: Vec<_> = mounts.iter().map(|mount| mount.target.clone().unwrap()).collect();
    assert_eq!(places, ["/workspace", "/sessions", "/run/secrets", "/run/ringfence"]);
    assert!(mounts[2..].iter().all(|mount| mount.read_only == Some(true)));
    let limits = host.ulimits.unwrap();
    assert!(limits.iter().all(|limit| limit.hard <= Some(4096)));
}

#[test]
fn the_fingerprint_changes_with_what_is_asked_and_not_with_the_generation() {
    let of = |spec: &ContainerSpec| {
        with(spec, &Connection::None, |plan| body(plan).labels.unwrap()[LABEL_FINGERPRINT].clone())
    };
    let mut other = spec();
    assert_eq!(of(&spec()), of(&other));
    other.pids_limit += 1;
    assert_ne!(of(&spec()), of(&other));
}

#[test]
fn a_restricted_network_is_no_network_and_a_proxy_in_the_environment() {
    let connection = Connection::Proxy;
    let environment = with(&spec(), &connection, environment);
    assert_eq!(environment["https_proxy"], "http://127.0.0.1:3128");
    assert_eq!(environment["FROM"], "devcontainer");
    assert_eq!(with(&spec(), &connection, body).host_config.unwrap().network_mode.as_deref(), Some("none"));
}

proptest! {
    #[test]
    fn nobodys_variables_replace_ours(name in "(HOME|RINGFENCE_[A-Z]{1,9}|http_proxy|A=B|[A-Z_]{1,12})", value in ".{0,20}") {
        let mut spec = spec();
        spec.env.insert(name, value);
        let environment = with(&spec, &Connection::Proxy, environment);
        prop_assert_eq!(environment["HOME"].as_str(), "/sessions/home");
        prop_assert_eq!(environment["http_proxy"].as_str(), "http://127.0.0.1:3128");
        prop_assert_eq!(environment.keys().filter(|name| name.starts_with("RINGFENCE_")).count(), 3);
        prop_assert!(environment.keys().all(|name| !name.contains('=')));
    }

    #[test]
    fn every_name_gives_a_host_name(name in ".{0,100}") {
        let hostname = hostname(&name);
        prop_assert!((1..=63).contains(&hostname.len()));
        prop_assert!(hostname.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
    }
}
