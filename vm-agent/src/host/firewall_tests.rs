//! What iptables prints of our rules, in both of its kinds, and what it prints when somebody has changed them.

use proptest::prelude::*;

use super::*;

/// What iptables 1.8.11 (nf_tables) and 1.8.9 (legacy) print after loading our rules.
const NFT_V4: &str = include_str!("saved/nft.v4");
const NFT_V6: &str = include_str!("saved/nft.v6");
const LEGACY_V4: &str = include_str!("saved/legacy.v4");
const LEGACY_V6: &str = include_str!("saved/legacy.v6");

fn differences(family: Family, stage: Stage, saved: &str, uid: u32) -> Vec<String> {
    compare(family, stage, saved, Some(uid)).differences
}

#[test]
fn what_either_program_prints_of_our_rules_is_recognised() {
    for (family, stage, saved, uid) in [
        (Family::V4, Stage::Boot, NFT_V4, 990),
        (Family::V6, Stage::Boot, NFT_V6, 990),
        (Family::V4, Stage::Lockdown, LEGACY_V4, 65534),
        (Family::V6, Stage::Lockdown, LEGACY_V6, 65534),
    ] {
        let seen = compare(family, stage, saved, Some(uid));
        assert_eq!(seen.differences, Vec::<String>::new(), "{family:?} {stage:?}");
        assert!(seen.rules > 15, "{seen:?}");
    }
}

#[test]
fn the_second_stage_is_missed_where_only_the_first_is_loaded() {
    let seen = differences(Family::V4, Stage::Lockdown, NFT_V4, 990);
    assert!(seen[0].contains("169.254.169.253"), "{seen:?}");
    assert!(!differences(Family::V6, Stage::Lockdown, NFT_V6, 990).is_empty());
}

#[test]
fn rules_for_another_user_are_not_ours() {
    assert!(!differences(Family::V4, Stage::Boot, NFT_V4, 991).is_empty());
    assert!(!compare(Family::V4, Stage::Boot, NFT_V4, None).differences.is_empty());
}

#[test]
fn an_empty_table_lacks_everything() {
    for family in Family::ALL {
        for saved in ["", "*mangle\nCOMMIT\n", "*filter\n-A INPUT -j RINGFENCE-INPUT\nCOMMIT\n"] {
            assert!(differences(family, Stage::Boot, saved, 990).len() >= 5);
        }
    }
}

#[test]
fn a_rule_before_ours_is_seen_and_one_behind_it_does_no_harm() {
    let before = NFT_V4.replacen("-A INPUT -j", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -j", 1);
    assert!(!differences(Family::V4, Stage::Boot, &before, 990).is_empty());
    let behind = NFT_V4.replacen("-A FORWARD", "-A INPUT -p tcp -j ACCEPT\n-A FORWARD", 1);
    assert!(differences(Family::V4, Stage::Boot, &behind, 990).is_empty());
}

#[test]
fn dropped_packets_are_counted() {
    let saved = NFT_V4.replace("-A RINGFENCE-INPUT -j DROP", "[42:2520] -A RINGFENCE-INPUT -j DROP");
    let seen = compare(Family::V4, Stage::Boot, &saved, Some(990));
    assert_eq!(seen.dropped.get("input V4"), Some(&42));
    assert!(seen.differences.is_empty());
}

#[test]
fn users_are_found_by_their_whole_name() {
    let accounts = "root:x:0:0:root:/root:/bin/sh\nringfence-proxy2:x:7:7::/:/x\nringfence-proxy:x:990:980::/:/x\n";
    assert_eq!(uid_of("ringfence-proxy", accounts), Some(990));
    assert_eq!(uid_of("ringfence", accounts), None);
}

proptest! {
    /// Taking away, doubling or swapping any rule of our chains is seen.
    #[test]
    fn any_change_of_our_chains_is_seen(place in any::<prop::sample::Index>(), change in 0..3_u8) {
        let lines: Vec<&str> = NFT_V4.lines().collect();
        let rules: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("-A RINGFENCE-")).collect();
        let at = rules[place.index(rules.len())];
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        match change {
            0 => { changed.remove(at); }
            1 => changed.insert(at, lines[at].to_owned()),
            _ => changed[at] = lines[at].replace("-j RETURN", "-j ACCEPT").replace("-j DROP", "-j RETURN").replace("-j RINGFENCE-P", "-j OTHER-P"),
        }
        prop_assert!(!differences(Family::V4, Stage::Boot, &changed.join("\n"), 990).is_empty());
    }
}
