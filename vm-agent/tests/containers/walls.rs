//! What a workspace's user tries, from inside, and what becomes of it.

use ringfence_protocol::state::PostureOutcome;

use crate::support::machine::{Machine, container};
use crate::support::viewer::Viewer;

/// Each prints its exit code; all must fail.
const ATTEMPTS: &[&str] = &[
    "unshare -U true",
    "unshare -r -m true",
    "perl -e 'exit(syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0 ? 0 : 1)'", // clone(CLONE_NEWUSER)
    "perl -e 'exit(syscall(165, \"x\", \"/tmp\", \"tmpfs\", 0, 0) == 0 ? 0 : 1)'", // mount
    "perl -e 'exit(syscall(250, 0, -3, 0) >= 0 ? 0 : 1)'",                   // keyctl
    "perl -e 'exit(syscall(425, 1, 0) >= 0 ? 0 : 1)'",                       // io_uring_setup
    "perl -e 'exit(syscall(41, 40, 1, 0) >= 0 ? 0 : 1)'",                    // AF_VSOCK
    "perl -e 'exit(syscall(41, 38, 5, 0) >= 0 ? 0 : 1)'",                    // AF_ALG
    "perl -e 'exit(syscall(41, 2, 3, 1) >= 0 ? 0 : 1)'",                     // raw
    "touch /etc/x",
    "touch /usr/x",
    "touch /sys/fs/cgroup/x",
    "sh -c 'echo 1 > /proc/sys/kernel/core_pattern'",
    "sh -c 'echo b > /proc/sysrq-trigger'",
    "perl -e 'exit(syscall(133, \"/tmp/null\", 8630, 259) == 0 ? 0 : 1)'", // mknod of /dev/null
    "cat /run/ringfence/seccomp.json",
    "ls /run/podman",
    "kill -9 1",
];

#[tokio::test]
async fn nothing_that_a_user_tries_leads_out_and_the_posture_says_so() {
    let Some(mut machine) = Machine::start("walls").await else { return };
    let workspace = machine.start_workspace(&container()).await;
    let posture = machine.hears_posture().await;
    for check in &posture.checks {
        println!("{:9} {:18} {}", check.outcome.as_str(), check.id, check.measured);
    }
    let failed = posture.checks.iter().filter(|check| check.outcome != PostureOutcome::Pass);
    assert!(failed.into_iter().all(|check| check.id == "cgroup_namespace"));
    assert!(posture.holds());

    let mut viewer = Viewer::open(&mut machine, workspace).await;
    // What works, so that the failures below are not those of the tools.
    for works in
        ["perl -e 'exit(syscall(41, 2, 1, 0) >= 0 ? 0 : 1)'", "perl -e 'exit(syscall(41, 16, 3, 0) >= 0 ? 0 : 1)'"]
    {
        let said = viewer.runs(&format!("({works}) >/dev/null 2>&1 && echo GOT\"\"IN")).await;
        assert!(said.contains("GOTIN"), "{works}: {said}");
    }
    for attempt in ATTEMPTS {
        let said = viewer.runs(&format!("({attempt}) >/dev/null 2>&1 && echo GOT\"\"IN")).await;
        // A signal to the first process may be sent; it is not heard.
        assert!(!said.contains("GOTIN") || *attempt == "kill -9 1", "{attempt}: {said}");
    }
    assert!(viewer.runs("kill -9 1; echo alive").await.contains("\nalive"));
    // Clone without namespaces goes on as ever.
    assert!(viewer.runs("(echo a | cat) && perl -e 'exit(fork() < 0)' && echo works").await.contains("\nworks"));
    assert!(viewer.runs("for i in $(seq 100); do sleep 5 & done 2>&1 | tail -1; echo forked").await.contains("forked"));
    machine.engine.remove(workspace).await.unwrap();
}

#[tokio::test]
async fn memory_and_disk_end_at_their_limits_and_the_owner_is_told() {
    let Some(mut machine) = Machine::start("limits").await else { return };
    let workspace = machine.start_workspace(&container()).await;
    let mut viewer = Viewer::open(&mut machine, workspace).await;
    viewer.runs("perl -e '$x = \"a\" x (400 << 20); print length $x'").await;
    let notice = machine.hears_notice("memory limit").await;
    assert!(notice.contains("128 MiB"), "{notice}");
    let said = viewer.runs("dd if=/dev/zero of=/workspace/big bs=1M count=200").await;
    assert!(said.contains("No space left"), "{said}");
    machine.hears_notice("disk quota of 64 MiB").await;
    let size = std::fs::metadata(machine.volume_root(workspace).with_extension("img")).unwrap().len();
    assert_eq!(size, 64 << 20);
    viewer.runs("rm /workspace/big; echo still here").await;
    machine.engine.remove(workspace).await.unwrap();
}
