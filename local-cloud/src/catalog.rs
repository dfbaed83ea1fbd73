//! What can be ordered: server types, locations, images and prices, as a stock Hetzner account shows them.
//!
//! The figures are realistic, not current: nobody is billed by them.

/// 19 % on top of the net price.
const GROSS_PERCENT: u64 = 119;
const NANOS_PER_MICRO: u64 = 1000;

pub(crate) struct Location {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) country: &'static str,
    pub(crate) city: &'static str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) zone: Zone,
    pub(crate) datacenter: Datacenter,
}

pub(crate) struct Datacenter {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
}

/// Prices and the choice of types depend on the zone only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    EuCentral,
    UsEast,
    UsWest,
    ApSoutheast,
}

impl Zone {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::EuCentral => "eu-central",
            Self::UsEast => "us-east",
            Self::UsWest => "us-west",
            Self::ApSoutheast => "ap-southeast",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86,
    Arm,
}

impl Architecture {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Arm => "arm",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CpuType {
    Shared,
    Dedicated,
}

impl CpuType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
        }
    }
}

/// Net, in millionths of a euro.
#[derive(Clone, Copy)]
pub(crate) struct Price {
    pub(crate) hourly_micros: u64,
    pub(crate) monthly_micros: u64,
}

pub(crate) struct ServerType {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
    pub(crate) cores: u32,
    pub(crate) memory_gb: u32,
    pub(crate) disk_gb: u32,
    pub(crate) architecture: Architecture,
    pub(crate) cpu_type: CpuType,
    /// Announced and last day, as RFC 3339.
    pub(crate) deprecation: Option<(&'static str, &'static str)>,
    eu: Option<Price>,
    us: Option<Price>,
    ap: Option<Price>,
}

impl ServerType {
    /// `None` where the type is not offered.
    pub(crate) fn price_in(&self, location: &Location) -> Option<Price> {
        match location.zone {
            Zone::EuCentral => self.eu,
            Zone::UsEast | Zone::UsWest => self.us,
            Zone::ApSoutheast => self.ap,
        }
    }
}

/// Hetzner's word for where an image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageKind {
    System,
    App,
}

impl ImageKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::App => "app",
        }
    }
}

pub(crate) struct Image {
    pub(crate) id: u64,
    pub(crate) kind: ImageKind,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) os_flavor: &'static str,
    pub(crate) os_version: &'static str,
    pub(crate) architecture: Architecture,
    pub(crate) created: &'static str,
}

pub(crate) const LOCATIONS: [Location; 6] = [
    location(
        1,
        "fsn1",
        "Falkenstein DC Park 1",
        "DE",
        "Falkenstein",
        (50.47612, 12.370071),
        Zone::EuCentral,
        (4, "fsn1-dc14", "Falkenstein 1 virtual DC 14"),
    ),
    location(
        2,
        "nbg1",
        "Nuremberg DC Park 1",
        "DE",
        "Nuremberg",
        (49.452102, 11.076665),
        Zone::EuCentral,
        (2, "nbg1-dc3", "Nuremberg 1 virtual DC 3"),
    ),
    location(
        3,
        "hel1",
        "Helsinki DC Park 1",
        "FI",
        "Helsinki",
        (60.169855, 24.938379),
        Zone::EuCentral,
        (3, "hel1-dc2", "Helsinki 1 virtual DC 2"),
    ),
    location(
        4,
        "ash",
        "Ashburn, VA",
        "US",
        "Ashburn, VA",
        (39.045821, -77.487073),
        Zone::UsEast,
        (5, "ash-dc1", "Ashburn virtual DC 1"),
    ),
    location(
        5,
        "hil",
        "Hillsboro, OR",
        "US",
        "Hillsboro, OR",
        (45.54222, -122.951924),
        Zone::UsWest,
        (6, "hil-dc1", "Hillsboro virtual DC 1"),
    ),
    location(
        6,
        "sin",
        "Singapore",
        "SG",
        "Singapore",
        (1.283333, 103.833333),
        Zone::ApSoutheast,
        (7, "sin-dc1", "Singapore virtual DC 1"),
    ),
];

pub(crate) const SERVER_TYPES: [ServerType; 18] = [
    shared(22, "cpx11", X86, (2, 2, 40), eur(6_300, 3_850_000), eur(7_200, 4_490_000), eur(11_700, 7_290_000)),
    shared(23, "cpx21", X86, (3, 4, 80), eur(11_300, 7_050_000), eur(15_300, 9_490_000), eur(21_600, 13_490_000)),
    shared(24, "cpx31", X86, (4, 8, 160), eur(21_000, 13_100_000), eur(28_900, 17_990_000), eur(40_800, 25_490_000)),
    shared(45, "cax11", Arm, (2, 4, 40), eur(5_300, 3_290_000), None, None),
    shared(93, "cax21", Arm, (4, 8, 80), eur(9_600, 5_990_000), None, None),
    shared(94, "cax31", Arm, (8, 16, 160), eur(19_200, 11_990_000), None, None),
    shared(95, "cax41", Arm, (16, 32, 320), eur(38_500, 23_990_000), None, None),
    dedicated(96, "ccx13", (2, 8, 80), eur(20_000, 12_490_000), eur(20_800, 12_990_000), eur(38_800, 24_190_000)),
    dedicated(97, "ccx23", (4, 16, 160), eur(39_200, 24_490_000), eur(40_100, 24_990_000), eur(64_900, 40_490_000)),
    dedicated(98, "ccx33", (8, 32, 240), eur(77_700, 48_490_000), eur(78_500, 48_990_000), eur(128_200, 79_990_000)),
    ServerType {
        deprecation: Some(("2025-10-16T06:00:00Z", "2027-12-31T23:59:59Z")),
        ..shared(104, "cx22", X86, (2, 4, 40), eur(5_900, 3_690_000), None, None)
    },
    shared(109, "cpx22", X86, (2, 4, 80), eur(9_600, 5_990_000), None, None),
    shared(110, "cpx32", X86, (4, 8, 160), eur(16_900, 10_490_000), None, None),
    shared(111, "cpx42", X86, (8, 16, 320), eur(31_300, 19_490_000), None, None),
    shared(114, "cx23", X86, (2, 4, 40), eur(4_800, 2_990_000), None, None),
    shared(115, "cx33", X86, (4, 8, 80), eur(8_000, 4_990_000), None, None),
    shared(116, "cx43", X86, (8, 16, 160), eur(15_200, 9_490_000), None, None),
    shared(117, "cx53", X86, (16, 32, 320), eur(28_000, 17_490_000), None, None),
];

pub(crate) const IMAGES: [Image; 10] = [
    Image {
        kind: ImageKind::App,
        ..image(40_093_247, "docker-ce", "Docker CE", "debian", "13", X86, "2021-05-05T09:34:24Z")
    },
    Image {
        kind: ImageKind::App,
        ..image(105_888_141, "docker-ce", "Docker CE", "debian", "13", Arm, "2023-04-05T09:30:09Z")
    },
    image(67_794_396, "ubuntu-22.04", "Ubuntu 22.04", "ubuntu", "22.04", X86, "2022-04-21T13:32:38Z"),
    image(103_908_130, "ubuntu-22.04", "Ubuntu 22.04", "ubuntu", "22.04", Arm, "2023-03-20T10:10:04Z"),
    image(114_690_387, "debian-12", "Debian 12", "debian", "12", X86, "2023-06-13T06:00:02Z"),
    image(114_690_389, "debian-12", "Debian 12", "debian", "12", Arm, "2023-06-13T06:00:04Z"),
    image(161_547_269, "ubuntu-24.04", "Ubuntu 24.04", "ubuntu", "24.04", X86, "2024-04-25T13:22:51Z"),
    image(161_547_270, "ubuntu-24.04", "Ubuntu 24.04", "ubuntu", "24.04", Arm, "2024-04-25T13:23:00Z"),
    image(310_557_660, "debian-13", "Debian 13", "debian", "13", X86, "2025-08-11T06:00:06Z"),
    image(310_557_662, "debian-13", "Debian 13", "debian", "13", Arm, "2025-08-11T06:00:08Z"),
];

use Architecture::{Arm, X86};

pub(crate) fn location_by_name(name: &str) -> Option<&'static Location> {
    LOCATIONS.iter().find(|location| location.name == name || location.id.to_string() == name)
}

pub(crate) fn location_of_datacenter(name: &str) -> Option<&'static Location> {
    LOCATIONS.iter().find(|location| location.datacenter.name == name || location.datacenter.id.to_string() == name)
}

pub(crate) fn server_type_by_name(name: &str) -> Option<&'static ServerType> {
    SERVER_TYPES.iter().find(|kind| kind.name == name || kind.id.to_string() == name)
}

/// One name stands for one image per architecture.
pub(crate) fn image_for(name: &str, architecture: Architecture) -> Option<&'static Image> {
    IMAGES
        .iter()
        .find(|image| image.id.to_string() == name || (image.name == name && image.architecture == architecture))
}

pub(crate) fn image_by_id(id: u64) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.id == id)
}

/// The net amount as Hetzner writes it.
pub(crate) fn net(micros: u64) -> String {
    decimal(micros * NANOS_PER_MICRO)
}

/// The amount with VAT.
pub(crate) fn gross(micros: u64) -> String {
    decimal(micros * NANOS_PER_MICRO / 100 * GROSS_PERCENT)
}

fn decimal(nanos: u64) -> String {
    format!("{}.{:09}0", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

const fn eur(hourly_micros: u64, monthly_micros: u64) -> Option<Price> {
    Some(Price { hourly_micros, monthly_micros })
}

#[allow(clippy::too_many_arguments)] // a row of a table
const fn location(
    id: u64,
    name: &'static str,
    description: &'static str,
    country: &'static str,
    city: &'static str,
    at: (f64, f64),
    zone: Zone,
    datacenter: (u64, &'static str, &'static str),
) -> Location {
    let datacenter = Datacenter { id: datacenter.0, name: datacenter.1, description: datacenter.2 };
    Location { id, name, description, country, city, latitude: at.0, longitude: at.1, zone, datacenter }
}

const fn shared(
    id: u64,
    name: &'static str,
    architecture: Architecture,
    (cores, memory_gb, disk_gb): (u32, u32, u32),
    eu: Option<Price>,
    us: Option<Price>,
    ap: Option<Price>,
) -> ServerType {
    let (category, cpu_type) = ("Shared vCPU", CpuType::Shared);
    ServerType { id, name, category, cores, memory_gb, disk_gb, architecture, cpu_type, deprecation: None, eu, us, ap }
}

const fn dedicated(
    id: u64,
    name: &'static str,
    size: (u32, u32, u32),
    eu: Option<Price>,
    us: Option<Price>,
    ap: Option<Price>,
) -> ServerType {
    ServerType { category: "Dedicated vCPU", cpu_type: CpuType::Dedicated, ..shared(id, name, X86, size, eu, us, ap) }
}

const fn image(
    id: u64,
    name: &'static str,
    description: &'static str,
    os_flavor: &'static str,
    os_version: &'static str,
    architecture: Architecture,
    created: &'static str,
) -> Image {
    Image { id, kind: ImageKind::System, name, description, os_flavor, os_version, architecture, created }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_written_as_decimals_with_vat_added() {
        assert_eq!(net(5_300), "0.0053000000");
        assert_eq!(gross(5_300), "0.0063070000");
        assert_eq!(net(3_290_000), "3.2900000000");
        assert_eq!(gross(3_290_000), "3.9151000000");
    }

    #[test]
    fn an_image_name_means_the_image_of_the_server_types_architecture() {
        assert_eq!(image_for("debian-12", Arm).unwrap().architecture, Arm);
        assert_eq!(image_for("debian-12", X86).unwrap().architecture, X86);
        assert!(image_for("plan9", X86).is_none());
    }
}
