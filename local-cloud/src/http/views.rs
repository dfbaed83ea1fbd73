//! How servers, actions and the catalog look in answers, as Hetzner's published description has them.

use crate::catalog::{self, Image, LOCATIONS, Location, Price, SERVER_TYPES, ServerType, Zone};
use crate::clock::rfc3339;
use crate::state::{Action, ActionStatus, Server};
use serde_json::{Value, json};

/// Every machine of the `process` driver has the host's loopback address.
const MACHINE_IPV4: &str = "127.0.0.1";
const TERABYTE: u64 = 1 << 40;
const TRAFFIC_PRICE_MICROS: u64 = 1_000_000;

pub(super) fn server(server: &Server) -> Value {
    let kind = catalog::server_type_by_name(&server.server_type);
    let place = catalog::location_by_name(&server.location);
    json!({
        "id": server.id,
        "name": server.name,
        "status": server.status.as_str(),
        "created": rfc3339(server.created_at_ms),
        "public_net": public_net(server),
        "private_net": [],
        "server_type": kind.map(server_type),
        "datacenter": place.map(datacenter),
        "location": place.map(location),
        "image": catalog::image_by_id(server.image).map(image),
        "iso": null,
        "rescue_enabled": false,
        "locked": false,
        "backup_window": null,
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
        "included_traffic": 20 * TERABYTE,
        "protection": {"delete": false, "rebuild": false},
        "labels": server.labels,
        "volumes": [],
        "load_balancers": [],
        "primary_disk_size": kind.map(|kind| kind.disk_gb),
        "placement_group": null,
    })
}

fn public_net(server: &Server) -> Value {
    let (ipv4, name) = match server.slot {
        Some(slot) => (slot.v4().to_string(), format!("{}.machines.test", server.name)),
        None => (MACHINE_IPV4.to_owned(), "localhost".to_owned()),
    };
    // One address, not a network: all machines share the bridge's.
    let ipv6 = server
        .slot
        .map(|slot| json!({"id": server.id, "ip": format!("{}/128", slot.v6()), "blocked": false, "dns_ptr": []}));
    let firewalls: Vec<Value> = server.firewalls.iter().map(|id| json!({"id": id, "status": "applied"})).collect();
    json!({
        "ipv4": {"id": server.id, "ip": ipv4, "blocked": false, "dns_ptr": name},
        "ipv6": ipv6,
        "floating_ips": [],
        "firewalls": firewalls,
    })
}

pub(super) fn action(action: &Action) -> Value {
    let error = match action.status {
        ActionStatus::Error => json!({"code": "action_failed", "message": "Action failed"}),
        ActionStatus::Running | ActionStatus::Success => Value::Null,
    };
    json!({
        "id": action.id,
        "command": action.command.as_str(),
        "status": action.status.as_str(),
        "progress": action.progress,
        "started": rfc3339(action.started_at_ms),
        "finished": action.finished_at_ms.map(rfc3339),
        "resources": [{"id": action.server, "type": "server"}],
        "error": error,
    })
}

pub(super) fn server_type(kind: &ServerType) -> Value {
    let deprecation =
        kind.deprecation.map(|(announced, last)| json!({"announced": announced, "unavailable_after": last}));
    let offered = LOCATIONS.iter().filter(|location| kind.price_in(location).is_some());
    let locations: Vec<Value> =
        offered.map(|location| json!({"id": location.id, "name": location.name, "deprecation": deprecation})).collect();
    json!({
        "id": kind.id,
        "name": kind.name,
        "description": kind.name.to_uppercase(),
        "category": kind.category,
        "cores": kind.cores,
        "memory": kind.memory_gb,
        "disk": kind.disk_gb,
        "deprecated": kind.deprecation.is_some(),
        "deprecation": deprecation,
        "prices": prices(kind),
        "storage_type": "local",
        "cpu_type": kind.cpu_type.as_str(),
        "architecture": kind.architecture.as_str(),
        "locations": locations,
    })
}

pub(super) fn location(location: &Location) -> Value {
    json!({
        "id": location.id,
        "name": location.name,
        "description": location.description,
        "country": location.country,
        "city": location.city,
        "latitude": location.latitude,
        "longitude": location.longitude,
        "network_zone": location.zone.as_str(),
    })
}

pub(super) fn datacenter(place: &Location) -> Value {
    let types: Vec<u64> =
        SERVER_TYPES.iter().filter(|kind| kind.price_in(place).is_some()).map(|kind| kind.id).collect();
    json!({
        "id": place.datacenter.id,
        "name": place.datacenter.name,
        "description": place.datacenter.description,
        "location": location(place),
        "server_types": {"supported": types, "available": types, "available_for_migration": types},
    })
}

pub(super) fn image(image: &Image) -> Value {
    json!({
        "id": image.id,
        "type": image.kind.as_str(),
        "status": "available",
        "name": image.name,
        "description": image.description,
        "image_size": null,
        "disk_size": 5,
        "created": image.created,
        "created_from": null,
        "bound_to": null,
        "os_flavor": image.os_flavor,
        "os_version": image.os_version,
        "rapid_deploy": true,
        "protection": {"delete": false},
        "deprecated": null,
        "deleted": null,
        "labels": {},
        "architecture": image.architecture.as_str(),
    })
}

pub(super) fn pricing() -> Value {
    let everywhere = |monthly_micros: u64| -> Vec<Value> {
        LOCATIONS.iter().map(|place| json!({"location": place.name, "price_monthly": money(monthly_micros)})).collect()
    };
    let address = |hourly_micros: u64, monthly_micros: u64| -> Vec<Value> {
        let price = |place: &Location| {
            json!({
                "location": place.name,
                "price_hourly": money(hourly_micros),
                "price_monthly": money(monthly_micros),
            })
        };
        LOCATIONS.iter().map(price).collect()
    };
    let types: Vec<Value> =
        SERVER_TYPES.iter().map(|kind| json!({"id": kind.id, "name": kind.name, "prices": prices(kind)})).collect();
    json!({
        "currency": "EUR",
        "vat_rate": "19.00",
        "image": {"price_per_gb_month": money(11_900)},
        "volume": {"price_per_gb_month": money(44_000)},
        "server_backup": {"percentage": "20.00"},
        "floating_ip": {"price_monthly": money(3_000_000)},
        "floating_ips": [
            {"type": "ipv4", "prices": everywhere(3_000_000)},
            {"type": "ipv6", "prices": everywhere(1_000_000)},
        ],
        "primary_ips": [
            {"type": "ipv4", "prices": address(800, 500_000)},
            {"type": "ipv6", "prices": address(0, 0)},
        ],
        "server_types": types,
        "load_balancer_types": [],
    })
}

fn prices(kind: &ServerType) -> Vec<Value> {
    LOCATIONS.iter().filter_map(|place| Some(price(place, kind.price_in(place)?))).collect()
}

fn price(place: &Location, price: Price) -> Value {
    let terabytes = if place.zone == Zone::EuCentral { 20 } else { 1 };
    json!({
        "location": place.name,
        "price_hourly": money(price.hourly_micros),
        "price_monthly": money(price.monthly_micros),
        "included_traffic": terabytes * TERABYTE,
        "price_per_tb_traffic": money(TRAFFIC_PRICE_MICROS),
    })
}

fn money(micros: u64) -> Value {
    json!({"net": catalog::net(micros), "gross": catalog::gross(micros)})
}
