//! What may be asked of a container, and what may not: each complaint names its parameter.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringfence::config::Settings;
use ringfence::domain::container::{self, Limits, MAX_SECRETS_JSON_BYTES, MAX_SPEC_BYTES, Refused};
use ringfence_protocol::MAX_MESSAGE_BYTES;
use ringfence_protocol::container::{RegistryLogin, Repository};
use ringfence_protocol::ids::Id;
use ringfence_protocol::link::{ControlMessage, WorkspaceSpec};
use ringfence_protocol::params::{CreateWorkspaceParams, SecretText};
use ringfence_protocol::state::NetworkMode;

fn limits() -> Limits {
    Settings::default().containers
}

fn params() -> CreateWorkspaceParams {
    CreateWorkspaceParams::default()
}

fn complaint(params: CreateWorkspaceParams) -> String {
    match container::ask(&params, &limits()) {
        Err(Refused::Invalid(why)) => why,
        Err(Refused::Ceiling(why)) => panic!("a ceiling: {why}"),
        Ok(asked) => panic!("accepted: {asked:?}"),
    }
}

fn repository(url: &str) -> CreateWorkspaceParams {
    CreateWorkspaceParams { repository: Some(Repository { url: url.into(), branch: None }), ..params() }
}

fn restricted(domains: &[&str]) -> CreateWorkspaceParams {
    CreateWorkspaceParams {
        network: Some(NetworkMode::Restricted),
        allowed_domains: Some(domains.iter().map(|domain| (*domain).to_owned()).collect()),
        ..params()
    }
}

fn map<T>(pairs: &[(&str, &str)], value: impl Fn(String) -> T) -> BTreeMap<String, T> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), value((*text).to_owned()))).collect()
}

#[test]
fn nothing_asked_gives_the_installations_defaults() {
    let asked = container::ask(&params(), &limits()).unwrap();
    let spec = asked.container.spec;
    assert_eq!(spec.image, "docker.io/library/buildpack-deps:bookworm-scm");
    assert_eq!((spec.cpu_limit_millis, spec.memory_limit_bytes), (1_000, 2 << 30));
    assert_eq!((spec.disk_quota_bytes, spec.pids_limit, spec.network), (5 << 30, 512, NetworkMode::Internet));
    assert!(spec.env.is_empty() && spec.repository.is_none() && asked.secrets.is_empty());
}

#[test]
fn what_is_asked_is_what_the_agent_is_told() {
    let asked = CreateWorkspaceParams {
        image: Some("ghcr.io/me/tools:2".into()),
        cpu_limit: Some(1.25),
        memory_limit_bytes: Some(64 << 20),
        disk_quota_bytes: Some(1 << 30),
        pids_limit: Some(64),
        repository: Some(Repository {
            url: "https://git.example.com/me/app.git".into(),
            branch: Some("feature/x".into()),
        }),
        env: Some(map(&[("EDITOR", "vi"), ("_x1", "line\nbreak")], |text| text)),
        secrets: Some(map(&[("deploy.key", "s3cret")], SecretText::new)),
        registry_login: Some(RegistryLogin { username: "me".into(), password: SecretText::new("p".into()) }),
        ..restricted(&["example.com", "deb.debian.org", "example.com"])
    };
    let asked = container::ask(&asked, &limits()).unwrap();
    let spec = &asked.container.spec;
    assert_eq!((spec.image.as_str(), spec.cpu_limit_millis), ("ghcr.io/me/tools:2", 1_250));
    assert_eq!(spec.allowed_domains, ["example.com", "deb.debian.org"]);
    assert_eq!(asked.container.secrets, ["deploy.key"]);
    assert_eq!(asked.secrets.files["deploy.key"].expose(), "s3cret");
    let json = serde_json::to_string(&asked.container).unwrap();
    assert!(!json.contains("s3cret") && !json.contains("\"p\""), "no secret is in what is stored in the clear");
    let need = asked.container.need();
    assert_eq!(need.cpus, 2, "a fraction of a processor needs a whole one");
    assert!(need.memory_bytes > spec.memory_limit_bytes && need.disk_bytes > spec.disk_quota_bytes);
}

#[test]
fn processors_count_in_hundredths() {
    let millis = |cpus| {
        container::ask(&CreateWorkspaceParams { cpu_limit: Some(cpus), ..params() }, &limits())
            .map(|asked| asked.container.spec.cpu_limit_millis)
            .ok()
    };
    for (cpus, expected) in [(0.1, 100), (0.29, 290), (0.57, 570), (1.0, 1_000), (1.13, 1_130), (16.0, 16_000)] {
        assert_eq!(millis(cpus), Some(expected), "{cpus}");
    }
    for refused in [0.0, -1.0, 0.09, 0.125, 1.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 16.01] {
        assert_eq!(millis(refused), None, "{refused}");
    }
}

#[test]
fn more_than_the_installation_allows_is_a_ceiling_and_too_little_is_not_valid() {
    let ask = |params| container::ask(&params, &limits()).map(|_| ());
    let ceiling = |why: &str| Err(Refused::Ceiling(why.into()));
    let invalid = |why: &str| Err(Refused::Invalid(why.into()));
    for (params, expected) in [
        (
            CreateWorkspaceParams { cpu_limit: Some(17.0), ..params() },
            ceiling("cpu_limit: at most 16 in this installation."),
        ),
        (
            CreateWorkspaceParams { memory_limit_bytes: Some((64 << 30) + 1), ..params() },
            ceiling("memory_limit_bytes: at most 68719476736 in this installation."),
        ),
        (
            CreateWorkspaceParams { disk_quota_bytes: Some(u64::MAX), ..params() },
            ceiling("disk_quota_bytes: at most 107374182400 in this installation."),
        ),
        (
            CreateWorkspaceParams { pids_limit: Some(5_000), ..params() },
            ceiling("pids_limit: at most 4096 in this installation."),
        ),
        (
            CreateWorkspaceParams { memory_limit_bytes: Some(1 << 20), ..params() },
            invalid("memory_limit_bytes: at least 67108864 (64 MiB)."),
        ),
        (
            CreateWorkspaceParams { disk_quota_bytes: Some(0), ..params() },
            invalid("disk_quota_bytes: at least 268435456 (256 MiB)."),
        ),
        (CreateWorkspaceParams { pids_limit: Some(1), ..params() }, invalid("pids_limit: at least 16.")),
    ] {
        assert_eq!(ask(params), expected);
    }
}

#[test]
fn domains_are_names_and_go_with_a_restricted_network_alone() {
    for domain in [
        "",
        ".",
        "example",
        "localhost",
        "Example.com",
        "*.example.com",
        "example.com.",
        ".example.com",
        "a..b",
        "-a.com",
        "a-.com",
        "127.0.0.1",
        "8.8.8.8",
        "127.1",
        "::1",
        "2001:db8::1",
        "https://example.com",
        "example.com/x",
        "example.com:443",
        "exa mple.com",
        "ex_ample.com",
        "é.com",
        "a.b\n",
        "1.2.3.0x4",
        "x.localhost",
    ] {
        assert!(complaint(restricted(&[domain])).starts_with("allowed_domains: "), "{domain}");
    }
    assert!(complaint(restricted(&[])).contains("at least one domain"));
    let many: Vec<String> = (0..65).map(|n| format!("d{n}.example.com")).collect();
    assert!(complaint(restricted(&many.iter().map(String::as_str).collect::<Vec<_>>())).contains("at most 64"));
    for network in [NetworkMode::None, NetworkMode::Internet] {
        let asked = CreateWorkspaceParams { network: Some(network), ..restricted(&["example.com"]) };
        assert!(complaint(asked).contains("only with network `restricted`"));
    }
    let fine = restricted(&["xn--bcher-kva.example", "a.b.c.d.example", "1password.com"]);
    assert!(container::ask(&fine, &limits()).is_ok());
}

#[test]
fn a_repository_is_an_https_address_without_credentials_that_the_network_reaches() {
    for url in [
        "",
        "http://github.com/a/b",
        "git@github.com:a/b",
        "ssh://git@github.com/a/b",
        "file:///etc",
        "https://github.com",
        "https://github.com/",
        "https:///a/b",
        "https://me:pw@github.com/a/b",
        "https://github.com@evil.example/a",
        "https://127.0.0.1/a",
        "https://169.254.169.254/latest",
        "https://[::1]/a",
        "https://[fd00:ec2::254]/a",
        "https://10.77.0.1/a",
        "https://2130706433/a",
        "https://localhost/a",
        "https://github.com/a b",
        "https://github.com/a?x",
        "https://github.com/a#x",
        "https://github.com/a\n--upload-pack=x",
        "https://github.com:99999/a",
        "https://github.com:x/a",
        "https://github.com/$(id)",
        "https://github.com/`id`",
        "https://[2001:db8::1/a",
    ] {
        assert!(complaint(repository(url)).starts_with("repository.url: "), "{url}");
    }
    for url in [
        "https://github.com/a/b",
        "https://GitHub.com:8443/a/b.git",
        "https://198.51.100.7/a",
        "https://[2001:db8::1]:1/a",
    ] {
        assert!(container::ask(&repository(url), &limits()).is_ok(), "{url}");
    }
    for branch in
        ["", "-x", "a..b", "a b", "a~1", "/a", "a/", "a//b", ".a", "a.lock", "a.", "@", "a:b", "x;y", &"a".repeat(256)]
    {
        let mut asked = repository("https://github.com/a/b");
        asked.repository.as_mut().unwrap().branch = Some(branch.into());
        assert!(complaint(asked).starts_with("repository.branch: "), "{branch}");
    }
    let offline = CreateWorkspaceParams { network: Some(NetworkMode::None), ..repository("https://github.com/a/b") };
    assert!(complaint(offline).contains("network `none`"));
    let elsewhere = CreateWorkspaceParams {
        repository: repository("https://github.com/a/b").repository,
        ..restricted(&["hub.com"])
    };
    assert!(complaint(elsewhere).contains("github.com is not among allowed_domains"));
    let within = CreateWorkspaceParams {
        repository: repository("https://git.hub.com/a/b").repository,
        ..restricted(&["hub.com"])
    };
    assert!(container::ask(&within, &limits()).is_ok());
}

#[test]
fn names_of_variables_and_secrets_are_plain_and_all_of_them_are_bounded() {
    let env = |pairs: &[(&str, &str)]| CreateWorkspaceParams { env: Some(map(pairs, |text| text)), ..params() };
    for name in ["", "1A", "A-B", "A=B", "A B", "É", &"A".repeat(129)] {
        assert!(complaint(env(&[(name, "x")])).starts_with("env: names are"), "{name}");
    }
    assert!(complaint(env(&[("A", "x\0y")])).contains("NUL"));
    assert!(complaint(env(&[("A", &"x".repeat(17_000))])).contains("16 KiB"));
    // Six bytes of JSON for one of the value: what counts is what crosses the link.
    assert!(complaint(env(&[("A", &"\u{1}".repeat(10_000))])).contains("28 KiB of JSON"));
    let secrets =
        |pairs: &[(&str, &str)]| CreateWorkspaceParams { secrets: Some(map(pairs, SecretText::new)), ..params() };
    for name in ["", ".", "..", ".hidden", "-x", "a/b", "a b", "../x", &"a".repeat(65)] {
        assert!(complaint(secrets(&[(name, "x")])).starts_with("secrets: names are"), "{name}");
    }
    assert!(complaint(secrets(&[("a", &"x".repeat(17_000))])).contains("16 KiB"));
    let login = |username: &str, password: &str| CreateWorkspaceParams {
        registry_login: Some(RegistryLogin { username: username.into(), password: SecretText::new(password.into()) }),
        ..params()
    };
    for (username, password) in
        [("", "x"), ("a:b", "x"), ("a b", "x"), ("a", ""), ("a", "hunter2\ny"), ("a", &"x".repeat(9_000))]
    {
        assert!(complaint(login(username, password)).starts_with("registry_login: "), "{username}");
    }
}

#[test]
fn a_complaint_never_holds_a_secret() {
    let login = RegistryLogin { username: "me".into(), password: SecretText::new("hunter2\n".into()) };
    assert!(!complaint(CreateWorkspaceParams { registry_login: Some(login), ..params() }).contains("hunter2"));
    let files = map(&[("a/b", "hunter2")], SecretText::new);
    assert!(!complaint(CreateWorkspaceParams { secrets: Some(files), ..params() }).contains("hunter2"));
}

#[test]
fn without_containers_nothing_of_one_can_be_asked() {
    assert_eq!(container::ask_nothing(&params()), Ok(()));
    let Err(Refused::Invalid(why)) =
        container::ask_nothing(&CreateWorkspaceParams { pids_limit: Some(64), ..params() })
    else {
        panic!("accepted")
    };
    assert!(why.starts_with("pids_limit: ") && why.contains("unconfined"));
    for one in [
        CreateWorkspaceParams { image: Some("debian".into()), ..params() },
        CreateWorkspaceParams { network: Some(NetworkMode::None), ..params() },
        CreateWorkspaceParams { env: Some(BTreeMap::new()), ..params() },
        CreateWorkspaceParams { secrets: Some(BTreeMap::new()), ..params() },
        repository("https://github.com/a/b"),
    ] {
        assert!(container::ask_nothing(&one).is_err());
    }
}

fn any_params() -> impl Strategy<Value = CreateWorkspaceParams> {
    let text = || "[a-zA-Z0-9._:/@-]{0,40}|\\PC{0,30}";
    let maps =
        || prop::option::of(prop::collection::btree_map("[A-Za-z_][A-Za-z0-9_.-]{0,20}", "(?s).{0,2000}", 0..20));
    let numbers = (
        prop::option::of(any::<f64>()),
        prop::option::of(any::<u64>()),
        prop::option::of(any::<u64>()),
        prop::option::of(any::<u32>()),
    );
    let network = prop::option::of(prop::sample::select(NetworkMode::ALL));
    let domains = prop::option::of(prop::collection::vec("[a-z0-9.-]{0,30}", 0..70));
    let repository = prop::option::of(("https://[a-z.]{1,12}/[a-z/.]{0,12}|\\PC{0,30}", prop::option::of(text())));
    (
        prop::option::of(text()),
        numbers,
        network,
        domains,
        repository,
        maps(),
        maps(),
        prop::option::of((text(), text())),
    )
        .prop_map(
            |(
                image,
                (cpu_limit, memory, disk, pids_limit),
                network,
                allowed_domains,
                repository,
                env,
                secrets,
                login,
            )| {
                CreateWorkspaceParams {
                    image,
                    cpu_limit: cpu_limit.map(|cpus| (cpus.abs() % 20.0 * 100.0).round() / 100.0),
                    memory_limit_bytes: memory.map(|bytes| bytes % (128 << 30)),
                    disk_quota_bytes: disk.map(|bytes| bytes % (128 << 30)),
                    pids_limit: pids_limit.map(|pids| pids % 5_000),
                    network,
                    allowed_domains,
                    repository: repository.map(|(url, branch)| Repository { url, branch }),
                    env,
                    secrets: secrets
                        .map(|files| files.into_iter().map(|(name, text)| (name, SecretText::new(text))).collect()),
                    registry_login: login
                        .map(|(username, password)| RegistryLogin { username, password: SecretText::new(password) }),
                    ..CreateWorkspaceParams::default()
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is asked: there is an answer, a complaint holds no secret, and what is accepted fits into one message and keeps to the
    /// ceilings.
    #[test]
    fn whatever_is_accepted_fits_into_one_message_and_within_the_ceilings(asked in any_params()) {
        let limits = limits();
        match container::ask(&asked, &limits) {
            Ok(accepted) => {
                let spec = accepted.container.spec;
                prop_assert!(serde_json::to_vec(&spec).unwrap().len() <= MAX_SPEC_BYTES);
                prop_assert!(serde_json::to_vec(&accepted.secrets).unwrap().len() <= MAX_SECRETS_JSON_BYTES);
                prop_assert!(spec.cpu_limit_millis >= 100 && spec.cpu_limit_millis <= limits.cpu_millis.max);
                prop_assert!(spec.memory_limit_bytes <= limits.memory_bytes.max && spec.disk_quota_bytes <= limits.disk_bytes.max);
                prop_assert_eq!(spec.allowed_domains.is_empty(), spec.network != NetworkMode::Restricted);
                let message = ControlMessage::EnsureWorkspace {
                    workspace_id: Id::from_entropy([7; 13]),
                    spec_generation: i64::MAX,
                    spec: WorkspaceSpec { name: "x".repeat(63), running: true, container: Some(spec), idle_timeout_secs: None, save_within_secs: None },
                    secrets: accepted.secrets,
                };
                prop_assert!(serde_json::to_vec(&message).unwrap().len() < MAX_MESSAGE_BYTES);
            }
            Err(Refused::Invalid(why) | Refused::Ceiling(why)) => prop_assert!(why.ends_with('.') && why.contains(": ")),
        }
    }
}
