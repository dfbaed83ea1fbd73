//! What a machine with a disk of its own is made from, kept beside its disk so that it boots again as the same machine.

use crate::catalog;
use crate::network::addresses::{DNS, GATEWAY_V4, GATEWAY_V6, Slot};
use crate::network::sites::{Metadata, Residents};
use crate::state::{Server, ServerId};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Which of the image's layers a machine gets, by the name of what was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Variant {
    /// Podman.
    Podman,
    /// Docker.
    Docker,
    /// No container engine, but packages of one.
    Plain,
}

impl Variant {
    /// The stock images of other distributions have no engine either, but are Debian here all the same.
    fn of_image(name: &str) -> Self {
        match name {
            "debian-13" => Self::Podman,
            "docker-ce" => Self::Docker,
            _ => Self::Plain,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
            Self::Plain => "plain",
        }
    }
}

/// A machine as it was ordered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: ServerId,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) variant: Variant,
    pub(crate) slot: Slot,
    pub(crate) cores: u32,
    pub(crate) memory_gb: u32,
}

impl Record {
    pub(crate) fn of(server: &Server) -> Result<Self> {
        let kind = catalog::server_type_by_name(&server.server_type);
        let image = catalog::image_by_id(server.image).map_or("", |image| image.name);
        Ok(Self {
            id: server.id,
            name: server.name.clone(),
            region: server.location.clone(),
            variant: Variant::of_image(image),
            slot: server.slot.context("a machine without a place in the network")?,
            cores: kind.map_or(1, |kind| kind.cores),
            memory_gb: kind.map_or(1, |kind| kind.memory_gb),
        })
    }

    /// The three files of a NoCloud seed. User-data is exactly what was ordered.
    pub(crate) fn seed(&self, user_data: &str) -> [(&'static str, String); 3] {
        let meta_data = json!({"instance-id": self.id.to_string(), "local-hostname": self.name});
        [
            ("meta-data", meta_data.to_string()),
            ("user-data", user_data.to_owned()),
            ("network-config", self.network_config().to_string()),
        ]
    }

    /// The same for networkd, so that an address does not depend on a seed that the machine may erase.
    pub(crate) fn networkd(&self) -> String {
        format!(
            "[Match]\nName=eth0\n\n[Network]\nAddress={}/24\nAddress={}/64\nGateway={GATEWAY_V4}\nGateway={GATEWAY_V6}\n\
             DNS={DNS}\nIPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\n",
            self.slot.v4(),
            self.slot.v6(),
        )
    }

    fn network_config(&self) -> serde_json::Value {
        json!({"version": 2, "ethernets": {"eth0": {
            "match": {"macaddress": self.slot.mac()},
            "set-name": "eth0",
            "addresses": [format!("{}/24", self.slot.v4()), format!("{}/64", self.slot.v6())],
            "routes": [{"to": "0.0.0.0/0", "via": GATEWAY_V4}, {"to": "::/0", "via": GATEWAY_V6}],
            "nameservers": {"addresses": [DNS]},
        }}})
    }
}

/// Where machines and what the provider keeps of them are.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    machines: PathBuf,
    /// A provider's own copy of user-data, which the metadata service reads. Outside of the machines' directories: nothing in
    /// there must have it once a machine has erased its own.
    metadata: PathBuf,
}

impl Shelf {
    pub(crate) fn in_directory(state_dir: &Path) -> Result<Self> {
        let shelf = Self { machines: state_dir.join("machines"), metadata: state_dir.join("metadata") };
        for folder in [&shelf.machines, &shelf.metadata] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(shelf)
    }

    pub(crate) fn directory(&self, id: ServerId) -> PathBuf {
        self.machines.join(id.to_string())
    }

    /// Makes the machine's directory with its record in it.
    pub(crate) fn put(&self, record: &Record, user_data: &str, residents: &Residents) -> Result<()> {
        let directory = self.directory(record.id);
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        write_private(&directory.join("machine.json"), &serde_json::to_vec(record)?)?;
        write_private(&self.metadata.join(record.id.to_string()), user_data.as_bytes())?;
        residents.insert(record.slot, metadata(record, user_data.to_owned()));
        Ok(())
    }

    pub(crate) fn record(&self, id: ServerId) -> Result<Record> {
        let path = self.directory(id).join("machine.json");
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Those that have a directory.
    pub(crate) fn ids(&self) -> Vec<ServerId> {
        let Ok(entries) = std::fs::read_dir(&self.machines) else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(ServerId)).collect()
    }

    /// Tells the metadata service about the machines of an earlier run.
    pub(crate) fn introduce(&self, residents: &Residents) {
        for record in self.ids().into_iter().filter_map(|id| self.record(id).ok()) {
            let user_data = std::fs::read_to_string(self.metadata.join(record.id.to_string())).unwrap_or_default();
            residents.insert(record.slot, metadata(&record, user_data));
        }
    }

    /// Forgets a machine, with its disk.
    pub(crate) fn remove(&self, id: ServerId, residents: &Residents) {
        if let Ok(record) = self.record(id) {
            residents.remove(record.slot);
        }
        let _ = std::fs::remove_file(self.metadata.join(id.to_string()));
        let directory = self.directory(id);
        if let Err(error) = std::fs::remove_dir_all(&directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %directory.display(), %error, "cannot remove a machine's directory");
        }
    }
}

fn metadata(record: &Record, user_data: String) -> Metadata {
    Metadata { instance_id: record.id.0, hostname: record.name.clone(), region: record.region.clone(), user_data }
}

/// Writes a file that only its owner reads.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(content)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordered_image_decides_the_engine() {
        let variants = ["debian-13", "docker-ce", "debian-12", "ubuntu-24.04"].map(Variant::of_image);
        assert_eq!(variants, [Variant::Podman, Variant::Docker, Variant::Plain, Variant::Plain]);
    }

    #[test]
    fn user_data_reaches_the_seed_untouched() {
        let record = Record {
            id: ServerId(1),
            name: "m".into(),
            region: "fsn1".into(),
            variant: Variant::Podman,
            slot: Slot::of("192.0.2.10".parse().unwrap()).unwrap(),
            cores: 2,
            memory_gb: 4,
        };
        let user_data = "#cloud-config\n{\"runcmd\": [\"\\u0000 'ä' $(true)\"]}";
        let seed = record.seed(user_data);
        assert!(seed.contains(&("user-data", user_data.to_owned())));
        let network = &seed[2].1;
        assert!(network.contains("192.0.2.10/24") && network.contains("2001:db8:52::10/64"), "{network}");
    }
}
