//! Addresses that workspaces, and what the machine does for them, must not reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is not the internet's: metadata services, private ranges, the machine itself.
pub fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_internal_v4(address),
        IpAddr::V6(address) => is_internal_v6(address),
    }
}

fn is_internal_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second); // carriers' own (RFC 6598)
    first == 0
        || first >= 240
        || is_shared
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
}

fn is_internal_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = match segments {
        // Mapped, and both well-known prefixes of NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((high, low)),
        [0x64, 0xff9b, 1, .., high, low] => Some((high, low)),
        // 6to4 has it in front.
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return is_internal_v4(Ipv4Addr::new(a, b, c, d));
    }
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || segments[0] & 0xffc0 == 0xfec0 // site-local, long deprecated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_private_and_own_addresses_are_internal_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fec0::1",
        ] {
            assert!(is_internal(address.parse().unwrap()), "{address}");
        }
        for address in
            ["1.1.1.1", "198.51.100.53", "192.0.2.1", "2606:4700:4700::1111", "2001:db8:52::10", "::ffff:1.1.1.1"]
        {
            assert!(!is_internal(address.parse().unwrap()), "{address}");
        }
    }
}
