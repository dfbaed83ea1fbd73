//! What machines see of the cloud, and what the cloud sees of machines.

use crate::cloud::{Cloud, image, traces};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_machine_reaches_what_the_cloud_serves_and_nothing_else() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &[]);
    let id = cloud.machine("looker", "debian-13", &json!({"locale": false})).await;
    for (url, expected) in [
        ("http://internet.test/", "the internet"),
        ("http://metadata.test/hetzner/v1/metadata", "public-ipv4: 192.0.2.10"),
        ("http://169.254.169.254/hetzner/v1/userdata", "#cloud-config\n{\"locale\":false}"),
        ("http://[fd00:ec2::254]/latest/meta-data/instance-id", &id.to_string()),
        ("http://private.test/", "a private neighbour"),
        ("http://registry.test:5000/v2/_catalog", "ringfence/workspace"),
    ] {
        let got = cloud.inside(id, &format!("curl -sSg --max-time 10 '{url}'")).await;
        assert!(got.stdout.contains(expected), "{url}: {got:?}");
    }
    let followed =
        cloud.inside(id, "curl -sSL --max-time 10 -w '%{url_effective}' http://internet.test/redirect").await;
    assert!(followed.stdout.ends_with("http://169.254.169.254/"), "{followed:?}");
    let unknown = cloud.inside(id, "curl -sS --max-time 10 http://elsewhere.test/").await;
    assert_eq!(unknown.exit, 6, "no other name resolves: {unknown:?}");
    let shown = cloud.get(&format!("/v1/servers/{id}")).await;
    assert_eq!(shown["server"]["public_net"]["ipv4"]["ip"], "192.0.2.10");
    assert_eq!(shown["server"]["public_net"]["ipv6"]["ip"], "2001:db8:52::10/128");
    cloud.end();
}

#[tokio::test]
async fn an_open_port_of_a_machine_is_seen_from_outside() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &[]);
    let id = cloud.machine("open", "debian-13", &json!({})).await;
    // A stock image has it on; that it can be seen is what makes not seeing it mean something.
    for address in ["192.0.2.10", "2001:db8:52::10"] {
        let knock = |port: u16| format!("bash -c 'exec 3<>/dev/tcp/{address}/{port}; head -c 4 <&3'");
        let ssh = cloud.outside(&knock(22)).await;
        assert_eq!(ssh.stdout, "SSH-", "{ssh:?}");
        assert_ne!(cloud.outside(&knock(23)).await.exit, 0);
    }
    cloud
        .inside(id, "iptables -I INPUT -p tcp --dport 22 -j DROP && ip6tables -I INPUT -p tcp --dport 22 -j DROP")
        .await;
    let ssh = cloud.outside("timeout 2 bash -c 'exec 3<>/dev/tcp/192.0.2.10/22'").await;
    assert_eq!(ssh.exit, 124, "a machine's own firewall holds: {ssh:?}");
    cloud.end();
}

#[tokio::test]
async fn the_control_plane_learns_which_machine_asks_and_cannot_be_told_otherwise() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let control_plane = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = control_plane.local_addr().unwrap().port();
    let heads = std::thread::spawn(move || {
        let answer = |_| {
            let (mut stream, head) = accept(&control_plane);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            head
        };
        [0, 1].map(answer)
    });
    let cloud = Cloud::start(&image, state.path(), &["--forward", &port.to_string()]);
    let id = cloud.machine("asker", "debian-13", &json!({})).await;
    // Two requests, which curl sends over one connection.
    let asked =
        format!("curl -sS -H 'CF-Connecting-IP: 203.0.113.9' http://192.0.2.1:{port}/one http://192.0.2.1:{port}/two");
    let ran = cloud.inside(id, &asked).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    for head in heads.join().unwrap() {
        assert_eq!(head.matches("cf-connecting-ip").count(), 1, "{head}");
        assert!(head.contains("cf-connecting-ip: 192.0.2.10\r\n"), "{head}");
    }
    cloud.end();
}

#[tokio::test]
async fn a_connection_that_becomes_a_websocket_carries_bytes_both_ways() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let control_plane = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = control_plane.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, head) = accept(&control_plane);
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst")
            .unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(&said).unwrap();
    });
    let cloud = Cloud::start(&image, state.path(), &["--forward", &port.to_string()]);
    let id = cloud.machine("linked", "debian-13", &json!({})).await;
    let talk = format!(
        "bash -c 'exec 3<>/dev/tcp/192.0.2.1/{port}; \
         printf \"GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n\" >&3; \
         while read -r line <&3 && [ \"$line\" != $'\\''\\r'\\'' ]; do :; done; head -c 5 <&3; printf ping >&3; head -c 4 <&3'"
    );
    let ran = cloud.inside(id, &talk).await;
    assert_eq!(ran.stdout, "firstping", "{ran:?}");
    server.join().unwrap();
    cloud.end();
}

/// The next connection, with the head of its request in lower case.
fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap().to_ascii_lowercase())
}

#[tokio::test]
async fn two_clouds_have_the_same_addresses_and_do_not_meet() {
    let Some(image) = image() else { return };
    let states = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let clouds = [0, 1].map(|number: usize| Cloud::start(&image, states[number].path(), &[]));
    let first = clouds[0].machine("first", "debian-13", &json!({})).await;
    let second = clouds[1].machine("second", "debian-13", &json!({})).await;
    for (cloud, id, name) in [(&clouds[0], first, "first"), (&clouds[1], second, "second")] {
        assert_eq!(cloud.report(id).await["ipv4"], "192.0.2.10");
        let own = cloud.inside(id, "curl -sS http://169.254.169.254/latest/meta-data/hostname").await;
        assert_eq!(own.stdout, name);
    }
    let [one, other] = clouds;
    one.end();
    assert_eq!(traces(states[0].path()), Vec::<String>::new());
    assert_eq!(other.inside(second, "curl -sS http://internet.test/").await.stdout, "the internet\n");
    other.end();
}

#[tokio::test]
async fn programs_are_run_for_who_has_a_token_only() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &["--read-only-token", "looks"]);
    let body = json!({"argv": ["true"]});
    assert_eq!(cloud.send(Method::POST, "/_cloud/exec", Some(body.clone())).await.0, StatusCode::OK);
    for token in [None, Some("looks"), Some("wrong")] {
        let status = cloud.send_as(token, "/_cloud/exec", &body).await;
        assert!(status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN, "{token:?}: {status}");
    }
    cloud.end();
}
