//! The files that VMs boot with, judged by the programs that will read them. Where one is not installed, its test says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use xtask::skip::skipped;

/// A folder of `cloud-init/`'s files.
fn files_ending_in(ending: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud-init");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    assert!(!files.is_empty(), "nothing ends in {ending}");
    files
}

/// Runs a judge; `None`, and a word about it, where it is not installed.
fn judged(command: &mut Command) -> Option<Output> {
    let output = command.stdin(Stdio::null()).output();
    if output.is_err() {
        skipped(&format!("{} is not installed", command.get_program().to_string_lossy()));
    }
    output.ok()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts() {
    let mut shellcheck = Command::new("shellcheck");
    if let Some(output) = judged(shellcheck.arg("--external-sources").args(files_ending_in(".sh"))) {
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn iptables_takes_the_rules_of_both_stages() {
    for (program, ending) in [("iptables-restore", ".v4"), ("ip6tables-restore", ".v6")] {
        for path in files_ending_in(ending) {
            let rules = std::fs::read_to_string(&path).unwrap();
            // A user that every machine has: the proxies' own is made by the boot.
            let rules = rules.replace("--uid-owner ringfence-proxy", "--uid-owner root");
            for rules in [rules.clone(), rules.replace("#lockdown ", "")] {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), rules).unwrap();
                let Some(output) = judged(Command::new(program).arg("--test").arg(file.path())) else { return };
                if said(&output).contains("Permission denied") {
                    skipped(&format!("{program} --test needs root"));
                    return;
                }
                assert!(output.status.success(), "{}", said(&output));
            }
        }
    }
}

#[test]
fn systemd_understands_the_units_and_rates_the_agents_exposure_as_low() {
    for unit in files_ending_in(".service") {
        if let Some(output) = judged(Command::new("systemd-analyze").arg("verify").arg(&unit)) {
            // The programs are on the machine, not here.
            let complaints: Vec<_> =
                said(&output).lines().filter(|line| !line.contains("is not executable")).map(str::to_owned).collect();
            let name = unit.file_name().unwrap().to_string_lossy().into_owned();
            let ours: Vec<_> = complaints.iter().filter(|line| line.contains(&name)).collect();
            assert!(ours.is_empty(), "{ours:?}");
        }
    }
    let unit = files_ending_in("vm-agent.service").remove(0);
    let mut rate = Command::new("systemd-analyze");
    // Exposure in tenths: a unit above it makes the program fail. With mounts, namespaces and the firewall to do, 4.0 is left.
    rate.args(["security", "--offline=true", "--threshold=40", "--no-pager"]).arg(unit);
    if let Some(output) = judged(&mut rate) {
        let said = said(&output);
        println!("{}", said.lines().rev().find(|line| line.contains("exposure level")).unwrap_or("no figure"));
        assert!(output.status.success() || said.contains("Unknown"), "{said}");
    }
}

#[test]
fn user_datas_scripts_are_still_scripts_without_their_comments() {
    // What the shell reads must not depend on indentation: no here-documents, no strings over several lines that begin with '#'.
    for path in files_ending_in(".sh") {
        let script = std::fs::read_to_string(&path).unwrap();
        assert!(!script.contains("<<"), "{} has a here-document", path.display());
    }
}

#[test]
fn the_agents_unit_switches_the_machine_off_on_the_agents_code_and_on_no_other() {
    let unit = include_str!("../../cloud-init/vm-agent.service");
    let code = ringfence_protocol::agent_config::SWITCH_OFF_EXIT_CODE;
    assert!(unit.contains(&format!("\nRestartPreventExitStatus={code}\n")), "{unit}");
    assert!(unit.contains(&format!("[ \"$$EXIT_STATUS\" != {code} ] || systemctl --no-block poweroff")), "{unit}");
}

#[test]
fn the_agent_may_have_more_descriptors_open_than_its_workspaces_can_use_up() {
    let unit = include_str!("../../cloud-init/vm-agent.service");
    assert!(unit.contains("\nLimitNOFILE=65536\n"), "{unit}");
}
