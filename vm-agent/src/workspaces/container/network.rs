//! The network of a workspace with access to the internet: one of its own, without the engine's DNS.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use bollard::errors::Error;
use bollard::models::NetworkCreateRequest;
use hyper::Method;
use ringfence_protocol::state::EngineKind;
use serde_json::json;

use super::api::Api;
use super::{addresses, failure, raw};
use crate::workspaces::EngineError;

/// Asked where the machine itself only knows servers that a workspace cannot reach.
const PUBLIC_NAMESERVERS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9))];
const MAX_NAMESERVERS: usize = 3;

/// Makes the network if it is not there.
pub(super) async fn ensure(api: &Api, name: &str) -> Result<(), EngineError> {
    match api.docker.inspect_network(name, None).await {
        Ok(_) => return Ok(()),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(failure::of(&error)),
    }
    match api.kind {
        EngineKind::Podman => {
            // The compatible API always has the engine's DNS, which would answer on the machine for all workspaces.
            let request = json!({
                "name": name, "driver": "bridge", "dns_enabled": false, "internal": false,
                // The firewall forwards none of it: who had an address would only wait for answers.
                "ipv6_enabled": false, "options": { "isolate": "true" },
            });
            let made = raw::call(&api.socket, Method::POST, "/v4.0.0/libpod/networks/create", Some(&request)).await;
            made.map(drop).map_err(|error| failure::of_raw(&error))
        }
        EngineKind::Docker | EngineKind::Unconfined => {
            let options = [("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())];
            let request = NetworkCreateRequest {
                name: name.to_owned(),
                driver: Some("bridge".into()),
                options: Some(options.into()),
                ..NetworkCreateRequest::default()
            };
            api.docker.create_network(request).await.map(drop).map_err(|error| failure::of(&error))
        }
    }
}

/// Leaves nothing of it.
pub(super) async fn remove(api: &Api, name: &str) -> Result<(), EngineError> {
    match api.docker.remove_network(name).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(error) => Err(failure::of(&error)),
    }
}

/// Name servers that a workspace can reach.
pub(super) fn nameservers() -> Vec<IpAddr> {
    let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let found = files.iter().filter_map(|file| fs::read_to_string(file).ok()).map(|text| reachable(&text));
    found.into_iter().find(|found| !found.is_empty()).unwrap_or_else(|| PUBLIC_NAMESERVERS.to_vec())
}

fn reachable(resolv_conf: &str) -> Vec<IpAddr> {
    let servers = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        words.next().filter(|_| is_server)?.parse::<IpAddr>().ok()
    });
    servers.filter(|server| !addresses::is_internal(*server)).take(MAX_NAMESERVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_servers_of_the_internet_are_given_to_a_workspace() {
        let text = "# comment\nsearch x\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver 198.51.100.53\nnameserver fe80::1%eth0\noptions x\n";
        assert_eq!(reachable(text), ["198.51.100.53".parse::<IpAddr>().unwrap()]);
        assert_eq!(reachable("nameserver 169.254.169.253\n"), Vec::<IpAddr>::new());
    }
}
