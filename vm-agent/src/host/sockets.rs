//! What listens on this machine beyond loopback, read from the kernel's tables.
//!
//! For UDP the kernel knows no listening: a socket without a peer may be a service, or a question that waits for its answer. At a
//! port that the kernel gives away, it counts as a service when it is still there after a question has had its time, and belongs to
//! none of the programs that keep such sockets by right. (WireGuard's, for one, belongs to no program at all.)

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

/// Ports that a DHCP client must listen at.
const DHCP_CLIENT: [u16; 2] = [68, 546];
/// State of a TCP socket that listens.
const TCP_LISTEN: &str = "0A";
/// State of a UDP socket without a peer.
const UDP_UNCONNECTED: &str = "07";
/// The kernel's first port for sockets that named none, where it does not say. A question to a resolver comes from such a port.
const FIRST_EPHEMERAL: u16 = 32768;
/// A question is answered or given up within so long: resolvers wait five seconds.
const QUESTION_WITHIN: Duration = Duration::from_secs(6);
/// Programs of the machine that ask over such sockets all the time: names, the time, its own address.
const ASKING: [&str; 8] = [
    "systemd-resolved",
    "systemd-timesyncd",
    "systemd-networkd",
    "dhclient",
    "dhcpcd",
    "chronyd",
    "ntpd",
    "NetworkManager",
];
/// Where such programs are. Only root can put anything there.
const PROGRAM_DIRS: [&str; 6] = ["/usr/lib/systemd", "/lib/systemd", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// A socket that anybody who reaches the machine might speak to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listening {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Where.
    pub address: IpAddr,
    /// At which port.
    pub port: u16,
}

impl std::fmt::Display for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} port {}", self.protocol, self.address, self.port)
    }
}

/// A UDP socket of which the table alone does not tell whether it is a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Unsure {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// What one look shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    listening: Vec<Listening>,
    unsure: Vec<Unsure>,
}

/// Looks at this network namespace. `Err` when a table cannot be read.
pub async fn listening() -> Result<Vec<Listening>, String> {
    let Seen { listening: mut found, unsure } = look()?;
    let unsure = strangers(unsure);
    if !unsure.is_empty() {
        tokio::time::sleep(QUESTION_WITHIN).await;
        let still: HashSet<Unsure> = look()?.unsure.into_iter().collect();
        let services = unsure.into_iter().filter(|socket| still.contains(socket));
        found.extend(services.map(|Unsure { address, port, .. }| Listening { protocol: "udp", address, port }));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn look() -> Result<Seen, String> {
    let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(FIRST_EPHEMERAL);
    let mut seen = Seen::default();
    for (path, protocol) in
        [("/proc/net/tcp", "tcp"), ("/proc/net/tcp6", "tcp"), ("/proc/net/udp", "udp"), ("/proc/net/udp6", "udp")]
    {
        // A kernel without IPv6 has no such table.
        if path.ends_with('6') && !std::path::Path::new(path).exists() {
            continue;
        }
        let table = read(path)?;
        seen.listening.extend(beyond_loopback(protocol, &table, ephemeral));
        if protocol == "udp" {
            seen.unsure.extend(unsure(&table, ephemeral));
        }
    }
    Ok(seen)
}

/// Those that belong neither to the agent nor to a program that asks by right. What cannot be told is a stranger's.
fn strangers(sockets: Vec<Unsure>) -> Vec<Unsure> {
    if sockets.is_empty() {
        return sockets;
    }
    let mut known = inodes_of("self");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|process| process.file_name().into_string().ok());
    for pid in names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| asks_by_right(&program)) {
            known.extend(inodes_of(&pid));
        }
    }
    sockets.into_iter().filter(|socket| socket.inode == 0 || !known.contains(&socket.inode)).collect()
}

fn asks_by_right(program: &Path) -> bool {
    let name = program.file_name().and_then(|name| name.to_str());
    let dir = program.parent().and_then(Path::to_str);
    name.is_some_and(|name| ASKING.contains(&name)) && dir.is_some_and(|dir| PROGRAM_DIRS.contains(&dir))
}

/// The sockets that a process has open.
fn inodes_of(process: &str) -> HashSet<u64> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let links = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter_map(|link| inode_of(&link)).collect()
}

fn inode_of(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The sockets of a UDP table beyond loopback without a peer, at a port that the kernel gives away.
fn unsure(table: &str, first_ephemeral: u16) -> Vec<Unsure> {
    let sockets = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let (address, port) = (parse_address(address)?, u16::from_str_radix(port, 16).ok()?);
        // A table that names no socket names a stranger's.
        let inode = fields.get(9).and_then(|inode| inode.parse().ok()).unwrap_or(0);
        let is_unsure = *fields.get(3)? == UDP_UNCONNECTED && port >= first_ephemeral && !is_loopback(address);
        is_unsure.then_some(Unsure { address, port, inode })
    });
    sockets.collect()
}

/// The sockets of one table of the kernel that listen beyond loopback and need not.
fn beyond_loopback(protocol: &'static str, table: &str, first_ephemeral: u16) -> Vec<Listening> {
    let sockets = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (address, port) = local.split_once(':')?;
        Some((parse_address(address)?, u16::from_str_radix(port, 16).ok()?, state))
    });
    let listens = |port: u16, state: &str| match protocol {
        "tcp" => state == TCP_LISTEN,
        _ => state == UDP_UNCONNECTED && port < first_ephemeral && !DHCP_CLIENT.contains(&port),
    };
    sockets
        .filter(|(address, port, state)| !is_loopback(*address) && listens(*port, state))
        .map(|(address, port, _)| Listening { protocol, address, port })
        .collect()
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
    }
}

/// An address as the kernel prints it: words of 32 bits, each in the machine's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for start in (0..text.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(text.get(start..start + 8)?, 16).ok()?.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn found(protocol: &'static str, lines: &[&str]) -> Vec<String> {
        let table = format!("{HEAD}{}\n", lines.join("\n"));
        beyond_loopback(protocol, &table, FIRST_EPHEMERAL).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_listens_beyond_loopback_is_found() {
        let lines = [
            "0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1",
            "1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 2 1",
            "2: 0A0200C0:A0F2 016433C6:01BB 01 00000000:00000000 00:00000000 00000000 0 0 3 1",
        ];
        assert_eq!(found("tcp", &lines), ["tcp 0.0.0.0 port 22"]);
        let lines = [
            "0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0 0 0 0 0",
            "1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0 0 0 0 0",
            "2: 0000000000000000FFFF00000100007F:0052 00000000000000000000000000000000:0000 0A 0 0 0 0 0",
        ];
        assert_eq!(found("tcp", &lines), ["tcp :: port 80"]);
    }

    #[test]
    fn a_lease_and_a_question_are_no_service() {
        let lines = [
            "0: 0A0200C0:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2",
            "1: 00000000:C350 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 2 2",
            "2: 00000000:14EB 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 3 2",
            "3: 0A0200C0:0035 016433C6:0035 01 00000000:00000000 00:00000000 00000000 0 0 4 2",
        ];
        assert_eq!(found("udp", &lines), ["udp 0.0.0.0 port 5355"]);
    }

    #[test]
    fn a_socket_of_no_program_and_one_of_a_stranger_are_unsure_and_one_at_loopback_is_not() {
        let lines = [
            "0: 00000000:CA6C 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 0 2",
            "1: 0A0200C0:C350 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 77 2",
            "2: 0100007F:C351 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 78 2",
            "3: 0A0200C0:C352 016433C6:0035 01 00000000:00000000 00:00000000 00000000 0 0 79 2",
            "4: 00000000:14EB 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 80 2",
            "5: 00000000:C353 00000000:0000 07",
        ];
        let found = unsure(&format!("{HEAD}{}\n", lines.join("\n")), FIRST_EPHEMERAL);
        assert_eq!(
            found.iter().map(|socket| (socket.port, socket.inode)).collect::<Vec<_>>(),
            [(51820, 0), (50000, 77), (50003, 0)]
        );
        assert_eq!(strangers(found.clone()), found);
    }

    #[test]
    fn who_asks_by_right_is_known_by_its_place_and_not_by_its_name() {
        for program in ["/usr/lib/systemd/systemd-resolved", "/lib/systemd/systemd-timesyncd", "/usr/sbin/dhclient"] {
            assert!(asks_by_right(Path::new(program)), "{program}");
        }
        for program in
            ["/tmp/dhclient", "/usr/sbin/dhclient (deleted)", "/workspace/usr/sbin/dhclient", "/usr/bin/wg", ""]
        {
            assert!(!asks_by_right(Path::new(program)), "{program}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_at_any_port_counts_and_what_the_agent_asks_does_not() {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let tcp = listener.local_addr().unwrap().port();
        let own = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let asking = own.local_addr().unwrap().port();
        let theirs = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let serving = theirs.local_addr().unwrap().port();
        let input = std::process::Stdio::from(std::os::fd::OwnedFd::from(theirs));
        let mut service = std::process::Command::new("sleep").arg("1000").stdin(input).spawn().unwrap();
        let found = listening().await;
        service.kill().unwrap();
        service.wait().unwrap();
        let found = found.unwrap();
        let has = |protocol, port| found.iter().any(|socket| socket.protocol == protocol && socket.port == port);
        assert!(has("tcp", tcp) && has("udp", serving), "{found:?}");
        assert!(!has("udp", asking), "{found:?}");
        let after = listening().await.unwrap();
        assert!(!after.iter().any(|socket| socket.protocol == "udp" && socket.port == serving), "it has ended");
    }
}
