//! The seccomp profile of workspaces on Podman: Podman's own, without what lets an unprivileged process make namespaces or mounts.
//!
//! Podman's default leaves `unshare`, `mount` and the like to the kernel's own checks, which a user namespace passes: each was a
//! way to kernel code that is otherwise root's alone. Docker's default refuses them to a process without capabilities. What is
//! left here is about Docker's. Docker's own profile is used as it is.

use serde_json::{Value, json};

/// What no workspace may call.
const REFUSED: &[&str] = &[
    // Namespaces.
    "setns",
    "unshare",
    // Mounts.
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "listmount",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "pivot_root",
    "quotactl_fd",
    "statmount",
    "umount",
    "umount2",
    // Keys are not kept apart by namespaces.
    "add_key",
    "keyctl",
    "request_key",
    // Large parts of the kernel that a workspace does not need.
    "bpf",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "perf_event_open",
    "userfaultfd",
    // Opens files past every path.
    "name_to_handle_at",
    "open_by_handle_at",
    // 32-bit programs' way to every socket call: its arguments cannot be looked at.
    "socketcall",
];
/// Its flags are behind a pointer, where seccomp cannot look. Told that there is none, C libraries use `clone`.
const CLONE3: &str = "clone3";
/// CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET.
const CLONE_NEW_ANYTHING: u64 = 0x7E02_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const AF_NETLINK: u64 = 16;
/// The kernel's ciphers.
const AF_ALG: u64 = 38;
/// To the machine's hypervisor.
const AF_VSOCK: u64 = 40;
const NETLINK_AUDIT: u64 = 9;

/// The profile could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Not JSON.
    #[error("the engine's seccomp profile is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a list of what is allowed.
    #[error("the engine's seccomp profile is not one that refuses what it does not name")]
    NotDenying,
}

/// Takes the engine's profile; what must not be allowed is not.
pub fn hardened(profile: &str) -> Result<String, SeccompError> {
    let mut profile: Value = serde_json::from_str(profile)?;
    let default = profile.get("defaultAction").and_then(Value::as_str).unwrap_or_default();
    if !matches!(default, "SCMP_ACT_ERRNO" | "SCMP_ACT_KILL" | "SCMP_ACT_KILL_PROCESS" | "SCMP_ACT_KILL_THREAD") {
        return Err(SeccompError::NotDenying);
    }
    let rules = profile.get_mut("syscalls").and_then(Value::as_array_mut).ok_or(SeccompError::NotDenying)?;
    for rule in rules.iter_mut() {
        if let Some(names) = rule.get_mut("names").and_then(Value::as_array_mut) {
            names.retain(|name| name.as_str().is_some_and(|name| !is_ours(name)));
        }
        // The older way to name one.
        if rule.get("name").and_then(Value::as_str).is_some_and(is_ours) {
            *rule = Value::Null;
        }
    }
    rules.retain(|rule| {
        let names = rule.get("names").and_then(Value::as_array);
        names.is_some_and(|names| !names.is_empty()) || rule.get("name").is_some()
    });
    rules.push(refuse(REFUSED, EPERM));
    rules.push(refuse(&[CLONE3], ENOSYS));
    rules.push(allow("clone", &[argument(0, CLONE_NEW_ANYTHING, 0, "SCMP_CMP_MASKED_EQ")]));
    rules.extend(sockets());
    Ok(profile.to_string())
}

/// Whether the rules for it are ours alone.
fn is_ours(name: &str) -> bool {
    REFUSED.contains(&name) || matches!(name, CLONE3 | "clone" | "socket")
}

/// Every family but two; of netlink, not the audit log. One comparison an argument: libseccomp takes no more.
fn sockets() -> Vec<Value> {
    let mut rules = vec![
        allow("socket", &[argument(0, AF_NETLINK, 0, "SCMP_CMP_LT")]),
        allow("socket", &[argument(0, AF_NETLINK, 0, "SCMP_CMP_EQ"), argument(2, NETLINK_AUDIT, 0, "SCMP_CMP_NE")]),
        allow("socket", &[argument(0, AF_VSOCK, 0, "SCMP_CMP_GT")]),
    ];
    let between = (AF_NETLINK + 1..AF_VSOCK).filter(|family| *family != AF_ALG);
    rules.extend(between.map(|family| allow("socket", &[argument(0, family, 0, "SCMP_CMP_EQ")])));
    rules
}

fn refuse(names: &[&str], errno: u32) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ERRNO", "args": [], "includes": {}, "excludes": {}, "errnoRet": errno })
}

fn allow(name: &str, arguments: &[Value]) -> Value {
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments, "includes": {}, "excludes": {} })
}

fn argument(index: u32, value: u64, value_two: u64, op: &str) -> Value {
    json!({ "index": index, "value": value, "valueTwo": value_two, "op": op })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names_allowed(profile: &str) -> Vec<String> {
        let profile: Value = serde_json::from_str(profile).unwrap();
        let rules = profile["syscalls"].as_array().unwrap().iter();
        let allowing = rules.filter(|rule| rule["action"] != "SCMP_ACT_ERRNO");
        allowing
            .flat_map(|rule| rule["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()))
            .collect()
    }

    fn profile(names: &[String]) -> String {
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                { "names": names, "action": "SCMP_ACT_ALLOW" },
                { "names": ["bpf", "setns"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
                { "names": ["mount"], "action": "SCMP_ACT_TRACE" },
            ],
        })
        .to_string()
    }

    proptest! {
        #[test]
        fn whatever_the_engine_allows_nothing_refused_is_left_and_nothing_else_is_lost(
            mine in proptest::sample::subsequence(REFUSED, 0..REFUSED.len()),
            others in proptest::collection::vec("[a-z]{3,8}_other", 0..5),
        ) {
            let mut names: Vec<String> = mine.iter().map(|name| (*name).to_owned()).collect();
            names.extend(others.clone());
            names.extend(["clone", "clone3", "socket", "read"].map(str::to_owned));
            let allowed = names_allowed(&hardened(&profile(&names)).unwrap());
            prop_assert!(REFUSED.iter().all(|name| !allowed.contains(&(*name).to_owned())));
            prop_assert!(others.iter().all(|name| allowed.contains(name)));
            prop_assert!(allowed.contains(&"read".to_owned()) && !allowed.contains(&"clone3".to_owned()));
        }
    }

    #[test]
    fn clone_is_allowed_without_namespaces_only_and_clone3_does_not_exist() {
        let hardened: Value =
            serde_json::from_str(&hardened(&profile(&["clone".into(), "clone3".into()])).unwrap()).unwrap();
        let of = |name: &str| -> Vec<&Value> {
            let rules = hardened["syscalls"].as_array().unwrap().iter();
            rules.filter(|rule| rule["names"].as_array().unwrap().contains(&json!(name))).collect()
        };
        assert_eq!(of("clone").len(), 1);
        assert_eq!(of("clone")[0]["args"][0]["value"], 2_114_060_288_u64);
        assert_eq!(of("clone3").len(), 1);
        assert_eq!(
            (of("clone3")[0]["action"].as_str(), of("clone3")[0]["errnoRet"].as_u64()),
            (Some("SCMP_ACT_ERRNO"), Some(38))
        );
        let families: Vec<_> = of("socket").iter().map(|rule| rule["args"][0]["value"].as_u64().unwrap()).collect();
        assert!(!families.contains(&AF_ALG));
    }

    #[test]
    fn a_profile_that_allows_by_default_is_no_profile() {
        assert!(matches!(
            hardened(r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#),
            Err(SeccompError::NotDenying)
        ));
        assert!(matches!(hardened(r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[]}"#), Err(SeccompError::NotDenying)));
        assert!(hardened("nonsense").is_err());
    }
}
