//! Whether the firewall is there, and putting it back.
//!
//! The rules are the files of `cloud-init/`, the same that the machine booted with. They are the whole mangle table, which no
//! container engine writes to. What `iptables-save` prints is compared rule by rule: our chains must hold exactly our rules in
//! our order, and each built-in chain must go to ours first; a rule further down may be anybody's, for it comes too late.

use std::collections::BTreeMap;
use std::time::Duration;

use super::program::{NoAnswer, run};

const V4_RULES: &str = include_str!("../../../cloud-init/firewall.v4");
const V6_RULES: &str = include_str!("../../../cloud-init/firewall.v6");
/// Begins a rule of the second stage.
const LOCKDOWN: &str = "#lockdown ";
/// Begins the names of our chains.
const OURS: &str = "RINGFENCE-";
/// The user that filtering proxies run as; rules name it, the kernel knows its number.
const PROXY_USER: &str = "ringfence-proxy";
/// Longest time for one look or one load.
const LIMIT: Duration = Duration::from_secs(10);
/// There is no IPv6 without this.
const IF_INET6: &str = "/proc/net/if_inet6";

/// How far the rules go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// While it boots: this machine itself may ask its metadata service.
    Boot,
    /// Nobody may, root included.
    Lockdown,
}

/// The two kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn rules(self) -> &'static str {
        match self {
            Self::V4 => V4_RULES,
            Self::V6 => V6_RULES,
        }
    }

    fn save(self) -> &'static str {
        match self {
            Self::V4 => "iptables-save",
            Self::V6 => "ip6tables-save",
        }
    }

    fn restore(self) -> &'static str {
        match self {
            Self::V4 => "iptables-restore",
            Self::V6 => "ip6tables-restore",
        }
    }

    /// Whether this machine has such addresses at all.
    fn is_in_use(self) -> bool {
        match self {
            Self::V4 => true,
            Self::V6 => std::path::Path::new(IF_INET6).exists(),
        }
    }
}

/// What a look at the firewall showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// In words, what is not as it must be.
    pub differences: Vec<String>,
    /// Rules that were compared.
    pub rules: usize,
    /// Packets that our chains dropped, by chain.
    pub dropped: BTreeMap<String, u64>,
}

/// Looks at both families.
pub async fn look(stage: Stage) -> Result<Seen, NoAnswer> {
    let mut both = Seen::default();
    for family in Family::ALL {
        let seen = look_at(family, stage).await?;
        both.differences.extend(seen.differences);
        both.rules += seen.rules;
        both.dropped.extend(seen.dropped);
    }
    Ok(both)
}

/// Looks at one family.
pub async fn look_at(family: Family, stage: Stage) -> Result<Seen, NoAnswer> {
    if !family.is_in_use() {
        return Ok(Seen::default());
    }
    let saved = run(family.save(), &["-c", "-t", "mangle"], None, LIMIT).await?;
    // Without it the rules would seem to be for another user.
    let accounts = std::fs::read_to_string("/etc/passwd").map_err(|error| NoAnswer::of("/etc/passwd", &error))?;
    Ok(compare(family, stage, &saved, uid_of(PROXY_USER, &accounts)))
}

/// Loads the rules anew: the whole table in one step for each family, so that there is no moment without any.
pub async fn restore(stage: Stage) -> Result<(), String> {
    for family in Family::ALL.into_iter().filter(|family| family.is_in_use()) {
        run(family.restore(), &["-w", "5"], Some(text(family, stage).as_bytes()), LIMIT)
            .await
            .map_err(|error| error.to_string())?;
    }
    let seen = look(stage).await.map_err(|error| error.to_string())?;
    match seen.differences.is_empty() {
        true => Ok(()),
        false => Err(format!("loaded, and yet {}", seen.differences.join("; "))),
    }
}

/// What `iptables-restore` is to load.
pub fn text(family: Family, stage: Stage) -> String {
    let lines = family.rules().lines().map(|line| match stage {
        Stage::Boot => line,
        Stage::Lockdown => line.strip_prefix(LOCKDOWN).unwrap_or(line),
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Compares what `iptables-save -c` printed with what must be there.
pub fn compare(family: Family, stage: Stage, saved: &str, proxy_uid: Option<u32>) -> Seen {
    let wanted = chains(&text(family, stage), proxy_uid);
    let found = chains(saved, proxy_uid);
    let mut seen = Seen::default();
    for (chain, wanted) in &wanted {
        let found = found.get(chain).map(Vec::as_slice).unwrap_or_default();
        seen.rules += wanted.len();
        // A built-in chain has one rule of ours, its first. The rest may be anybody's.
        let compared = if chain.starts_with(OURS) { found } else { found.get(..wanted.len()).unwrap_or(found) };
        if let Some(difference) = difference(chain, wanted, compared) {
            seen.differences.push(difference);
        }
        let drops = found.iter().filter(|rule| chain.starts_with(OURS) && rule.words.ends_with("-j DROP"));
        let packets: u64 = drops.map(|rule| rule.packets).sum();
        if packets > 0 {
            let key = format!("{} {family:?}", chain.trim_start_matches(OURS).to_lowercase());
            seen.dropped.insert(key, packets);
        }
    }
    seen
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    words: String,
    packets: u64,
}

fn difference(chain: &str, wanted: &[Rule], found: &[Rule]) -> Option<String> {
    for (place, rule) in wanted.iter().enumerate() {
        match found.get(place) {
            Some(found) if found.words == rule.words => {}
            Some(found) => return Some(format!("{chain} has {:?} in the place of {:?}", found.words, rule.words)),
            None => return Some(format!("{chain} lacks {:?}", rule.words)),
        }
    }
    found.get(wanted.len()).map(|more| format!("{chain} has {:?} too much", more.words))
}

/// The rules of the mangle table, by chain, in a form that does not depend on who printed them.
fn chains(text: &str, proxy_uid: Option<u32>) -> BTreeMap<String, Vec<Rule>> {
    let mut chains: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    let mut in_mangle = false;
    for line in text.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('*') {
            in_mangle = table == "mangle";
        }
        if !in_mangle {
            continue;
        }
        let (packets, rule) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((counters, rule)) => (counters.split(':').next().and_then(|n| n.parse().ok()).unwrap_or(0), rule),
            None => (0, line),
        };
        if let Some((chain, words)) = rule.strip_prefix("-A ").and_then(|rule| rule.split_once(' ')) {
            let words = normal(words, proxy_uid);
            chains.entry(chain.to_owned()).or_default().push(Rule { words, packets });
        }
    }
    chains
}

/// One rule as one program would print it: without the names of modules that its options imply, users as numbers, states in one
/// order.
fn normal(rule: &str, proxy_uid: Option<u32>) -> String {
    let mut words = Vec::new();
    let mut rest = rule.split_whitespace().peekable();
    while let Some(word) = rest.next() {
        let implied = ["tcp", "udp", "icmp", "icmp6", "conntrack", "owner"];
        if word == "-m" && rest.peek().is_some_and(|module| implied.contains(module)) {
            rest.next();
            continue;
        }
        words.push(word.to_owned());
        let Some(value) = (match word {
            "--uid-owner" | "--ctstate" | "-p" => rest.next(),
            _ => None,
        }) else {
            continue;
        };
        words.push(match (word, proxy_uid) {
            ("--uid-owner", Some(uid)) if value == PROXY_USER => uid.to_string(),
            ("--ctstate", _) => {
                let mut states: Vec<&str> = value.split(',').collect();
                states.sort_unstable();
                states.join(",")
            }
            ("-p", _) if value == "icmpv6" => "ipv6-icmp".to_owned(),
            (_, _) => value.to_owned(),
        });
    }
    words.join(" ")
}

/// The number of a user in `/etc/passwd`.
fn uid_of(user: &str, accounts: &str) -> Option<u32> {
    accounts.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':')?.split(':').nth(1)?.parse().ok())
}

#[cfg(test)]
#[path = "firewall_tests.rs"]
mod tests;
