//! What listens on this machine beyond loopback, read from the kernel's tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ports that a DHCP client must listen at.
const DHCP_CLIENT: [u16; 2] = [68, 546];
/// State of a TCP socket that listens.
const TCP_LISTEN: &str = "0A";
/// State of a UDP socket without a peer.
const UDP_UNCONNECTED: &str = "07";
/// The kernel's first port for sockets that named none, where it does not say. A question to a resolver comes from such a port.
const FIRST_EPHEMERAL: u16 = 32768;

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

/// Looks at this network namespace. `Err` when a table cannot be read.
pub fn listening() -> Result<Vec<Listening>, String> {
    let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(FIRST_EPHEMERAL);
    let mut found = Vec::new();
    for (path, protocol) in
        [("/proc/net/tcp", "tcp"), ("/proc/net/tcp6", "tcp"), ("/proc/net/udp", "udp"), ("/proc/net/udp6", "udp")]
    {
        // A kernel without IPv6 has no such table.
        if path.ends_with('6') && !std::path::Path::new(path).exists() {
            continue;
        }
        found.extend(beyond_loopback(protocol, &read(path)?, ephemeral));
    }
    found.sort();
    found.dedup();
    Ok(found)
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
    fn this_machines_own_tables_can_be_read() {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listening().unwrap().iter().any(|socket| socket.protocol == "tcp" && socket.port == port));
    }
}
