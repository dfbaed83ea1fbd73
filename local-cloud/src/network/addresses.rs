//! Who has which address. All of them are of ranges for documentation or private use, so that nothing real is ever meant.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The cloud's router, where the control plane is reached.
pub(crate) const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x52, 0, 0, 0, 0, 1);
/// A neighbour in a private range, which no workspace may reach.
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub(crate) const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// What stands for the internet: a web site, a name server, a registry.
pub(crate) const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
pub(crate) const DNS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);
pub(crate) const REGISTRY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 5);
pub(crate) const REGISTRY_PORT: u16 = 5000;
/// Where the same wants a login.
pub(crate) const PRIVATE_REGISTRY_PORT: u16 = 5001;

const SLOT_FIRST: u8 = 10;
const SLOT_LAST: u8 = 254;

/// A machine's place in the network: the last number of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Slot(u8);

impl Slot {
    /// The first that is free.
    pub(crate) fn free(taken: impl Iterator<Item = Self> + Clone) -> Option<Self> {
        (SLOT_FIRST..=SLOT_LAST).map(Self).find(|slot| !taken.clone().any(|other| other == *slot))
    }

    pub(crate) fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.0)
    }

    /// The same digits as in the IPv4 address, for a reader's sake.
    pub(crate) fn v6(self) -> Ipv6Addr {
        let digits = u16::from(self.0 / 100) << 8 | u16::from(self.0 / 10 % 10) << 4 | u16::from(self.0 % 10);
        Ipv6Addr::new(0x2001, 0xdb8, 0x52, 0, 0, 0, 0, digits)
    }

    /// Follows the address, so that nobody's neighbour table is wrong when a slot is used again.
    pub(crate) fn mac(self) -> String {
        format!("02:00:c0:00:02:{:02x}", self.0)
    }

    /// The slot whose machine has this address.
    pub(crate) fn of(address: IpAddr) -> Option<Self> {
        (SLOT_FIRST..=SLOT_LAST).map(Self).find(|slot| address == slot.v4() || address == slot.v6())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_a_machine_end_alike() {
        let slot = Slot(123);
        assert_eq!((slot.v4().to_string(), slot.v6().to_string()), ("192.0.2.123".into(), "2001:db8:52::123".into()));
        assert_eq!(Slot::of(slot.v4().into()), Some(slot));
        assert_eq!(Slot::of(slot.v6().into()), Some(slot));
        assert_eq!(Slot::of(GATEWAY_V4.into()), None);
    }

    #[test]
    fn slots_are_given_once_until_there_are_no_more() {
        let mut taken = Vec::new();
        while let Some(slot) = Slot::free(taken.iter().copied()) {
            assert!(!taken.contains(&slot));
            taken.push(slot);
        }
        assert_eq!((taken.first(), taken.len()), (Some(&Slot(10)), 245));
    }
}
