//! What an operator gives a container, and the most that can be asked of this installation.

use ringfence::domain::container::{self, Refused};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::NetworkMode;

use crate::support::keys::config;

fn params() -> CreateWorkspaceParams {
    CreateWorkspaceParams::default()
}

fn restricted(domains: &[&str]) -> CreateWorkspaceParams {
    CreateWorkspaceParams {
        network: Some(NetworkMode::Restricted),
        allowed_domains: Some(domains.iter().map(|domain| (*domain).to_owned()).collect()),
        ..params()
    }
}

#[test]
fn an_operator_forbids_networks_and_registries() {
    let limits = config(&[
        ("RINGFENCE_DEFAULT_IMAGE", "debian:13"),
        ("RINGFENCE_IMAGE_REGISTRIES", "docker.io/library, GHCR.io/me/, registry.example:5000"),
        ("RINGFENCE_NETWORK", "none"),
        ("RINGFENCE_NETWORK_MAX", "restricted"),
    ]);
    let limits = limits.map_err(|error| error.0).unwrap().settings.containers;
    assert_eq!(limits.image_registries, ["docker.io/library", "ghcr.io/me", "registry.example:5000"]);
    let ask = |params: CreateWorkspaceParams| container::ask(&params, &limits);
    let of = |image: &str| ask(CreateWorkspaceParams { image: Some(image.into()), ..params() });
    let nothing = ask(params()).unwrap().container.spec;
    assert_eq!((nothing.image.as_str(), nothing.network), ("docker.io/library/debian:13", NetworkMode::None));
    assert_eq!(
        nothing.image_registries, limits.image_registries,
        "the agent learns of it: repositories name images too"
    );
    for image in ["alpine", "docker.io/library/alpine:3", "GHCR.IO/me/app:1", "registry.example:5000/any/thing"] {
        assert!(of(image).is_ok(), "{image}");
    }
    // Beginnings of names are whole parts, and a registry is one with its port.
    for image in [
        "me/app",
        "docker.io/librarian/x",
        "ghcr.io/mean/app",
        "ghcr.io/me2",
        "ghcr.io.evil.example/me/app",
        "registry.example/any/thing",
        "registry.example:50001/any/thing",
        "localhost/x",
        "evil.example/docker.io/library/alpine",
    ] {
        let Err(Refused::Ceiling(why)) = of(image) else { panic!("{image}: not refused as beyond a ceiling") };
        assert!(why.starts_with("image: ") && why.contains("docker.io/library, ghcr.io/me"), "{why}");
    }
    assert!(ask(restricted(&["example.com"])).is_ok());
    let open = CreateWorkspaceParams { network: Some(NetworkMode::Internet), ..params() };
    assert_eq!(ask(open).unwrap_err(), Refused::Ceiling("network: `restricted` at most in this installation.".into()));
    let limits = config(&[("RINGFENCE_NETWORK", "none"), ("RINGFENCE_NETWORK_MAX", "none")]);
    let limits = limits.map_err(|error| error.0).unwrap().settings.containers;
    assert!(matches!(container::ask(&restricted(&["example.com"]), &limits), Err(Refused::Ceiling(_))));
}

#[test]
fn an_installations_defaults_and_ceilings_are_checked_when_it_starts() {
    let limits = config(&[
        ("RINGFENCE_DEFAULT_IMAGE", "debian:13"),
        ("RINGFENCE_CPU_LIMIT_MILLIS", "500"),
        ("RINGFENCE_CPU_LIMIT_MILLIS_MAX", "2000"),
        ("RINGFENCE_MEMORY_LIMIT_BYTES", "1073741824"),
        ("RINGFENCE_PIDS_LIMIT_MAX", "600"),
        ("RINGFENCE_NETWORK", "none"),
        ("RINGFENCE_IMAGE", "debian-13"),
    ])
    .map_err(|error| error.0)
    .unwrap()
    .settings;
    assert_eq!(limits.image, "debian-13");
    let limits = limits.containers;
    assert_eq!(limits.image, "docker.io/library/debian:13");
    assert_eq!((limits.cpu_millis.default, limits.cpu_millis.max), (500, 2_000));
    assert_eq!(
        (limits.memory_bytes.default, limits.pids.max, limits.network.default),
        (1 << 30, 600, NetworkMode::None)
    );
    for (name, value) in [
        ("RINGFENCE_DEFAULT_IMAGE", "127.0.0.1/x"),
        ("RINGFENCE_CPU_LIMIT_MILLIS", "20000"),
        ("RINGFENCE_CPU_LIMIT_MILLIS_MAX", "99999999999"),
        ("RINGFENCE_MEMORY_LIMIT_BYTES", "1"),
        ("RINGFENCE_DISK_QUOTA_BYTES_MAX", "18446744073709551615"),
        ("RINGFENCE_PIDS_LIMIT_MAX", "100"),
        ("RINGFENCE_NETWORK", "restricted"),
        ("RINGFENCE_NETWORK", "all"),
        ("RINGFENCE_NETWORK_MAX", "all"),
        // Each default is within its ceiling.
        ("RINGFENCE_NETWORK_MAX", "restricted"),
        ("RINGFENCE_NETWORK_MAX", "none"),
        ("RINGFENCE_IMAGE_REGISTRIES", "ghcr.io"),
        ("RINGFENCE_IMAGE_REGISTRIES", "docker.io,https://ghcr.io"),
        ("RINGFENCE_IMAGE_REGISTRIES", "docker.io,library"),
        ("RINGFENCE_IMAGE_REGISTRIES", "docker.io,index.docker.io"),
        ("RINGFENCE_IMAGE_REGISTRIES", "docker.io,,ghcr.io"),
        ("RINGFENCE_IMAGE_REGISTRIES", "docker.io,10.77.0.1:5000"),
        ("RINGFENCE_IMAGE_REGISTRIES", "docker.io/library/debian:13"),
        ("RINGFENCE_AGENT_SHA256", "abc"),
        ("RINGFENCE_AGENT_SHA256", "A00000000000000000000000000000000000000000000000000000000000000a"),
    ] {
        let refused = config(&[(name, value)]).err().map(|error| error.0).unwrap_or_default();
        assert!(refused.starts_with(name.trim_end_matches("_MAX")), "{name}={value}: {refused}");
    }
    let digest = "0f".repeat(32);
    let published = config(&[("RINGFENCE_AGENT_SHA256", &digest)]).map_err(|error| error.0).unwrap();
    assert_eq!(published.published_agent().unwrap(), digest);
    assert!(config(&[]).map_err(|error| error.0).unwrap().published_agent().is_err());
}
