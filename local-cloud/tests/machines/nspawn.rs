//! A machine from boot to deletion, by its driver.

use crate::cloud::{Cloud, eventually, image, traces};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::{Duration, Instant};

/// What a person would call at once.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_machine_boots_with_its_user_data_reboots_with_its_disk_and_powers_itself_off() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &[]);
    let user_data = json!({"locale": false, "bootcmd": ["echo \"$(date +%s) b'oo\\t\" >/root/first"], "runcmd": ["echo ran >/root/last"]});
    let id = cloud.machine("first", "debian-13", &user_data).await;
    let looked =
        cloud.inside(id, "cat /root/last && hostname && stat -c %a /var/lib/cloud/seed/nocloud/user-data").await;
    assert_eq!((looked.exit, looked.stdout.as_str()), (0, "ran\nfirst\n600\n"), "{looked:?}");
    let seeded = cloud.inside(id, "cat /var/lib/cloud/seed/nocloud/user-data").await.stdout;
    assert_eq!(seeded, format!("#cloud-config\n{user_data}"), "user-data arrives as it was ordered");
    let report = cloud.report(id).await;
    assert_eq!((&report["driver"], &report["isolation"]), (&json!("nspawn"), &json!("namespaces")));
    assert!(report["leader"].as_i64().unwrap() > 1 && report["namespace"] != report["cloud_namespace"], "{report}");

    cloud.inside(id, "echo kept >/root/kept; systemctl reboot").await;
    eventually("it has booted again", async || cloud.report(id).await["restarts"] == 1).await;
    cloud.booted(id).await;
    let kept = cloud.inside(id, "cat /root/kept").await;
    assert_eq!(kept.stdout, "kept\n", "{kept:?}");
    let console = async || cloud.get(&format!("/_machines/{id}/console")).await;
    eventually("a login prompt", async || console().await.as_str().unwrap().contains("login:")).await;

    cloud.inside(id, "systemctl poweroff").await;
    eventually("off", async || cloud.status(id).await == "off").await;
    assert_eq!(cloud.report(id).await["leader"], json!(null));
    cloud.send(Method::POST, &format!("/v1/servers/{id}/actions/poweron"), None).await;
    cloud.booted(id).await;
    assert_eq!(cloud.inside(id, "cat /root/kept").await.stdout, "kept\n");
    cloud.end();
    assert_eq!(traces(state.path()), Vec::<String>::new());
}

#[tokio::test]
async fn deleting_a_machine_is_quick_and_leaves_nothing() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &[]);
    let before = traces(state.path());
    let id = cloud.machine("busy", "debian-13", &json!({})).await;
    let busy = "set -e; test -b /dev/loop63; cd /var/lib/ringfence; truncate -s 20M v.img; mkfs.ext4 -q v.img; loop=$(losetup --show -f v.img); \
                mkdir /mnt/v; mount $loop /mnt/v; sync; podman run -d --network none --name c localhost/ringfence/workspace:latest sleep 1000; \
                stat -c '%d %i' v.img; trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000' >/dev/null 2>&1 &";
    let ran = cloud.inside(id, busy).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let attached =
        || std::process::Command::new("losetup").args(["-l", "-n", "-O", "BACK-INO"]).output().unwrap().stdout;
    let inode = ran.stdout.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(String::from_utf8_lossy(&attached()).contains(&inode));
    let asked = Instant::now();
    let (status, _) = cloud.send(Method::DELETE, &format!("/v1/servers/{id}"), None).await;
    assert_eq!(status, StatusCode::OK);
    eventually("gone", async || cloud.status(id).await == "gone").await;
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(traces(state.path()), before);
    assert!(!String::from_utf8_lossy(&attached()).contains(&inode), "its loop device is free");
    assert_eq!(std::fs::read_dir(state.path().join("machines")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(state.path().join("metadata")).unwrap().count(), 0);
    cloud.end();
}

#[tokio::test]
async fn after_a_crash_nothing_is_left_running_and_the_machine_boots_on_its_disk() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &[]);
    let id = cloud.machine("survivor", "debian-13", &json!({})).await;
    cloud.inside(id, "echo kept >/root/kept; sync").await;
    let leader = cloud.report(id).await["leader"].as_i64().unwrap();
    cloud.crash();
    // A zombie runs no more: nobody may have collected it yet.
    let runs = || std::fs::read_to_string(format!("/proc/{leader}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    eventually("the machine ends with its cloud", async || !runs()).await;
    let cloud = Cloud::start(&image, state.path(), &[]);
    cloud.booted(id).await;
    assert_eq!(cloud.inside(id, "cat /root/kept").await.stdout, "kept\n");
    assert_eq!(cloud.report(id).await["ipv4"], "192.0.2.10");
    cloud.end();
    assert_eq!(traces(state.path()), Vec::<String>::new());
}

#[tokio::test]
async fn the_agents_process_is_found_and_killed_alone() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &[]);
    let id = cloud.machine("agent", "debian-13", &json!({})).await;
    let kill = format!("/_machines/{id}/kill");
    assert_eq!(cloud.send(Method::POST, &kill, Some(json!({}))).await.0, StatusCode::NOT_FOUND);
    let start = "cp /usr/bin/sleep /usr/local/bin/vm-agent && systemd-run --quiet --unit=vm-agent -p Restart=always -p RestartSec=0 \
                 /usr/local/bin/vm-agent 1000 && systemctl show -P MainPID vm-agent";
    let first = cloud.inside(id, start).await;
    assert_eq!(first.exit, 0, "{first:?}");
    assert_eq!(cloud.send(Method::POST, &kill, Some(json!({"signal": "KILL"}))).await.0, StatusCode::NO_CONTENT);
    eventually("systemd has started another", async || {
        let now = cloud.inside(id, "systemctl show -P MainPID vm-agent").await.stdout;
        now != first.stdout && now.trim() != "0"
    })
    .await;
    assert_eq!(cloud.status(id).await, "running");
    cloud.end();
}

#[tokio::test]
async fn the_ordered_image_decides_which_engine_there_is() {
    let Some(image) = image() else { return };
    let state = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&image, state.path(), &[]);
    let none = cloud.machine("none", "debian-12", &json!({})).await;
    assert_ne!(cloud.inside(none, "command -v podman docker crun runc").await.exit, 0);
    let installed = cloud.inside(none, "apt-get update && apt-get install -y --no-install-recommends podman && podman --version && podman images -q").await;
    assert_eq!(installed.exit, 0, "without any network but the cloud's: {installed:?}");

    let podman = cloud.machine("podman", "debian-13", &json!({})).await;
    let run = "podman run --rm localhost/ringfence/workspace:latest id -un && podman pull -q registry.test:5000/ringfence/tiny:latest && podman info";
    let ran = cloud.inside(podman, run).await;
    assert!(ran.exit == 0 && ran.stdout.starts_with("dev\n") && ran.stdout.contains("runc version 1.3"), "{ran:?}");
    assert_ne!(cloud.inside(podman, "command -v docker crun").await.exit, 0);

    let docker = cloud.machine("docker", "docker-ce", &json!({})).await;
    let ran = cloud
        .inside(
            docker,
            "systemctl start local-cloud-docker-images && docker run --rm localhost/ringfence/workspace:latest id -un",
        )
        .await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "dev\n"), "{ran:?}");
    assert_ne!(cloud.inside(docker, "command -v podman crun").await.exit, 0);
    cloud.end();
}
