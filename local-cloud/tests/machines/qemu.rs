//! A virtual machine from boot to deletion. Minutes where there is no KVM.

use crate::cloud::{Cloud, eventually, image_for, traces};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_virtual_machine_has_its_own_kernel_and_ends_with_its_cloud() {
    let Some(image) = image_for("qemu") else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::with_driver("qemu", &image, state.path(), &[]);
    let id = cloud.machine("virtual", "debian-13", &json!({"locale": false, "runcmd": ["echo ran >/root/last"]})).await;
    let looked = cloud.inside(id, "cat /root/last; hostname; uname -r; stat -f -c %T /sys/fs/cgroup; exit 3").await;
    assert!(looked.exit == 3 && looked.stdout.starts_with("ran\nvirtual\n"), "{looked:?}");
    assert!(looked.stdout.ends_with("-cloud-amd64\ncgroup2fs\n"), "a kernel of its own: {looked:?}");
    assert_eq!(cloud.inside(id, "curl -sS http://169.254.169.254/latest/meta-data/hostname").await.stdout, "virtual");
    let ssh = cloud.outside("bash -c 'exec 3<>/dev/tcp/2001:db8:52::10/22; head -c 4 <&3'").await;
    assert_eq!(ssh.stdout, "SSH-", "{ssh:?}");
    let ran = cloud.inside(id, "podman run --rm localhost/ringfence/workspace:latest id -un").await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "dev\n"), "{ran:?}");

    let agent =
        "cp /usr/bin/sleep /usr/local/bin/vm-agent && systemd-run --quiet --unit=vm-agent /usr/local/bin/vm-agent 1000";
    assert_eq!(cloud.inside(id, agent).await.exit, 0);
    let kill = format!("/_machines/{id}/kill");
    assert_eq!(cloud.send(Method::POST, &kill, Some(json!({"signal": "TERM"}))).await.0, StatusCode::NO_CONTENT);
    eventually("the agent is gone", async || cloud.inside(id, "pgrep -x vm-agent").await.exit == 1).await;

    cloud.inside(id, "echo kept >/root/kept; sync").await;
    let pid = cloud.report(id).await["pid"].as_i64().unwrap();
    cloud.crash();
    // A zombie runs no more: nobody may have collected it yet.
    let runs = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    eventually("the machine ends with its cloud", async || !runs()).await;
    let cloud = Cloud::with_driver("qemu", &image, state.path(), &[]);
    cloud.booted(id).await;
    assert_eq!(cloud.inside(id, "cat /root/kept").await.stdout, "kept\n");
    cloud.send(Method::POST, &format!("/v1/servers/{id}/actions/shutdown"), None).await;
    eventually("off, by its power button", async || cloud.status(id).await == "off").await;
    cloud.send(Method::DELETE, &format!("/v1/servers/{id}"), None).await;
    eventually("gone", async || cloud.status(id).await == "gone").await;
    cloud.end();
    assert_eq!(traces(state.path()), Vec::<String>::new());
}
