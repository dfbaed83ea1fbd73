//! What a container reaches: tried from inside its network namespace, with packets that really leave.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::addresses;
use super::host;
use super::netns;

/// An answer from the same machine or network comes much sooner.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// Where clouds have their metadata services.
const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];
const HTTP: u16 = 80;
/// A port that nothing listens on: an answer of any kind says that packets arrive.
const ANY_PORT: u16 = 9;
/// Where there is no private address that is known to exist.
const SOME_PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
/// Addresses of one kind that are tried.
const MAX_TARGETS: usize = 8;

/// What came of trying one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Something answered, if only to refuse.
    Yes,
    /// Nothing came back, or there is no way.
    No,
    /// It could not be tried.
    Unknown,
}

/// What was tried.
pub(super) struct Tried {
    pub(super) address: IpAddr,
    pub(super) reached: Reached,
}

/// What to try, by kind.
pub(super) struct Targets {
    pub(super) metadata_v4: Vec<IpAddr>,
    pub(super) metadata_v6: Vec<IpAddr>,
    pub(super) private: Vec<IpAddr>,
    pub(super) machine: Vec<IpAddr>,
    pub(super) siblings: Vec<IpAddr>,
}

impl Targets {
    /// Those of this machine. `siblings` are processes of other workspaces.
    pub(super) async fn find(siblings: &[i32]) -> Self {
        let metadata = |index: usize| METADATA.get(index).and_then(|text| text.parse().ok()).into_iter().collect();
        let machine = own_addresses().await;
        let gateways = gateways().into_iter().filter(|gateway| addresses::is_internal(*gateway));
        let mut private: Vec<IpAddr> = gateways.collect();
        private.push(SOME_PRIVATE);
        let siblings = siblings.iter().flat_map(|pid| addresses_of(*pid)).take(MAX_TARGETS).collect();
        Self { metadata_v4: metadata(0), metadata_v6: metadata(1), private, machine, siblings }
    }
}

/// Tries all of them at once.
pub(super) async fn try_all(pid: i32, targets: &[IpAddr]) -> Vec<Tried> {
    let tries = targets.iter().take(MAX_TARGETS).map(|address| async move {
        let address = *address;
        let port = if addresses_metadata(address) { HTTP } else { ANY_PORT };
        let reached = netns::within(pid, move || Ok(connect(SocketAddr::new(address, port)))).await;
        Tried { address, reached: reached.unwrap_or(Reached::Unknown) }
    });
    futures_util::future::join_all(tries).await
}

fn addresses_metadata(address: IpAddr) -> bool {
    METADATA.iter().any(|text| text.parse() == Ok(address))
}

fn connect(address: SocketAddr) -> Reached {
    match TcpStream::connect_timeout(&address, ANSWER_WITHIN) {
        Ok(_) => Reached::Yes,
        Err(error) => judge(&error),
    }
}

fn judge(error: &io::Error) -> Reached {
    // The answer of something that is there.
    const ANSWERS: [ErrorKind; 2] = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
    // Silence; no way; a firewall on the way that says so; no address of that family.
    const NO_ANSWERS: [ErrorKind; 6] = [
        ErrorKind::TimedOut,
        ErrorKind::WouldBlock,
        ErrorKind::NetworkUnreachable,
        ErrorKind::HostUnreachable,
        ErrorKind::PermissionDenied,
        ErrorKind::AddrNotAvailable,
    ];
    let kind = error.kind();
    if ANSWERS.contains(&kind) {
        Reached::Yes
    } else if NO_ANSWERS.contains(&kind) {
        Reached::No
    } else {
        Reached::Unknown
    }
}

/// The machine's own addresses, but for the loopback's, which each namespace has of its own.
async fn own_addresses() -> Vec<IpAddr> {
    let listed = host::run("ip", &["-o", "addr", "show"]).await.unwrap_or_default();
    parse_addresses(&listed)
}

/// `2: eth0    inet 192.0.2.10/24 brd …`
fn parse_addresses(listed: &str) -> Vec<IpAddr> {
    let addresses = listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| !matches!(*word, "inet" | "inet6")).skip(1);
        words.next()?.split('/').next()?.parse::<IpAddr>().ok()
    });
    let is_link_local = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let mut addresses: Vec<IpAddr> =
        addresses.filter(|address| !address.is_loopback() && !is_link_local(address)).collect();
    addresses.truncate(MAX_TARGETS);
    addresses
}

fn gateways() -> Vec<IpAddr> {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let gateways = routes.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (to, gateway) = (fields.next()?, fields.next()?);
        // In the machine's own byte order, which on all of ours is the little-endian one.
        let gateway = u32::from_str_radix(gateway, 16).ok()?.swap_bytes();
        (to == "00000000" && gateway != 0).then(|| IpAddr::V4(Ipv4Addr::from(gateway)))
    });
    gateways.collect()
}

/// Addresses of a process's network namespace, without the loopback's.
fn addresses_of(pid: i32) -> Vec<IpAddr> {
    let trie = fs::read_to_string(format!("/proc/{pid}/net/fib_trie")).unwrap_or_default();
    local_addresses(&trie)
}

/// The kernel's routing table: an address of its own is followed by `/32 host LOCAL`.
fn local_addresses(trie: &str) -> Vec<IpAddr> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    let pairs = lines.iter().zip(lines.iter().skip(1));
    let found = pairs.filter(|(_, next)| next.starts_with("/32 host LOCAL"));
    let found = found.filter_map(|(line, _)| line.strip_prefix("|-- ")?.parse::<IpAddr>().ok());
    let mut found: Vec<IpAddr> = found.filter(|address| !address.is_loopback()).collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_any_kind_is_reaching() {
        assert_eq!(judge(&ErrorKind::ConnectionRefused.into()), Reached::Yes);
        assert_eq!(judge(&ErrorKind::TimedOut.into()), Reached::No);
        assert_eq!(judge(&ErrorKind::NetworkUnreachable.into()), Reached::No);
        assert_eq!(judge(&ErrorKind::OutOfMemory.into()), Reached::Unknown);
    }

    #[test]
    fn own_addresses_are_listed_without_the_loopbacks() {
        let listed = "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0\n\
                      2: eth0    inet6 2001:db8:52::10/64 scope global \n2: eth0    inet6 fe80::1/64 scope link\n";
        assert_eq!(
            parse_addresses(listed),
            ["192.0.2.10".parse::<IpAddr>().unwrap(), "2001:db8:52::10".parse().unwrap()]
        );
        let trie = "Main:\n  +-- 10.89.0.0/24 2 0 2\n     |-- 10.89.0.2\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(trie), ["10.89.0.2".parse::<IpAddr>().unwrap()]);
    }
}
