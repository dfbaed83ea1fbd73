//! Disk space with an end: one sparse ext4 image a workspace, mounted through a loop device.
//!
//! ```text
//! volumes/<id>.img        the file system; its size is the quota
//! volumes/<id>/           where it is mounted, nosuid and nodev
//!   workspace/ sessions/  given to the container as named volumes
//!   meta/                 what the agent notes about the workspace; root's alone
//! ```
//! Every function may be repeated after a crash at any point.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::state::WorkspaceFailure;

use super::host::{self, Mounts};
use super::inside;
use super::settings::Settings;
use crate::workspaces::EngineError;

/// What images may not use of the machine's disk: the machine itself goes on.
const RESERVE_BYTES: u64 = 512 << 20;

/// A workspace's file system.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    image: PathBuf,
    root: PathBuf,
    mounts: Mounts,
}

impl Volume {
    pub(super) fn new(settings: &Settings, workspace_id: WorkspaceId) -> Self {
        let (dir, name) = (&settings.volumes_dir, workspace_id.to_string());
        let mounts = Mounts::of(settings.mounts_of);
        Self { image: dir.join(format!("{name}.img")), root: dir.join(name), mounts }
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    pub(super) fn sessions(&self) -> PathBuf {
        self.root.join("sessions")
    }

    /// What the agent notes; nothing in the container reaches it.
    pub(super) fn meta(&self) -> PathBuf {
        self.root.join("meta")
    }

    /// Where the file system is mounted.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the file system if there is none, and mounts it if it is not.
    pub(super) async fn mount(&self, quota_bytes: u64, owner: (u32, u32)) -> Result<(), EngineError> {
        if !self.image.exists() {
            self.make(quota_bytes).await?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(no_quota)?;
        if !is_mounted(&self.root)? {
            let (image, root) = (self.image.to_string_lossy(), self.root.to_string_lossy());
            let options = ["-t", "ext4", "-o", "loop,nosuid,nodev", &image, &root];
            self.mounts.run("mount", &options).await.map_err(no_quota)?;
        }
        if !is_mounted(&self.root)? {
            return Err(no_quota("it is mounted where the agent does not see it"));
        }
        for dir in [self.workspace(), self.sessions()] {
            self.make_dir(&dir, owner)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(self.meta()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(no_quota(error)),
            Ok(()) | Err(_) => {}
        }
        // In a directory that the workspace may change: never through a link that it has put there.
        inside::make_dir(&self.sessions(), "home", owner).map_err(no_quota)
    }

    /// Directly under the file system's root, which is root's: nobody else can have put anything there.
    fn make_dir(&self, dir: &Path, owner: (u32, u32)) -> Result<(), EngineError> {
        match fs::DirBuilder::new().mode(0o755).create(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(no_quota(error)),
        }
        chown(dir, Some(owner.0), Some(owner.1)).map_err(no_quota)
    }

    /// Gives everything in it to another user, within so long: it may be many files. Nothing of the workspace may run meanwhile.
    pub(super) async fn give_to(&self, (uid, gid): (u32, u32), limit: Duration) -> Result<(), EngineError> {
        let owner = format!("{uid}:{gid}");
        let (workspace, sessions) = (self.workspace(), self.sessions());
        let places = [workspace.to_string_lossy(), sessions.to_string_lossy()];
        // Links are given themselves, never what they lead to.
        let words = ["--recursive", "--no-dereference", "-P", &owner, "--", &places[0], &places[1]];
        host::run_within("chown", &words, limit).await.map(drop).map_err(EngineError::refused)
    }

    async fn make(&self, quota_bytes: u64) -> Result<(), EngineError> {
        let dir = self.image.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(no_quota)?;
        has_room(dir, quota_bytes)?;
        // Under its own name only when it is whole.
        let draft = self.image.with_extension("img.new");
        fs::File::create(&draft).and_then(|file| file.set_len(quota_bytes)).map_err(no_quota)?;
        let path = draft.to_string_lossy();
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", &path];
        host::run("mkfs.ext4", &options).await.map_err(no_quota)?;
        fs::rename(&draft, &self.image).map_err(no_quota)
    }

    /// Unmounts it, wherever it is still mounted; the loop device goes with the last mount.
    pub(super) async fn unmount(&self) -> Result<(), EngineError> {
        for _ in 0..MAX_MOUNTS {
            let Some(place) = self.last_mount()? else { return Ok(()) };
            let place = place.to_string_lossy();
            if let Err(busy) = self.mounts.run("umount", &[&place]).await {
                tracing::warn!(%place, busy, "not unmounted at once");
                self.mounts.run("umount", &["--lazy", &place]).await.map_err(EngineError::refused)?;
            }
        }
        Err(EngineError::refused("The workspace's file system cannot be unmounted. Try again."))
    }

    /// Leaves nothing of it.
    pub(super) async fn remove(&self) -> Result<(), EngineError> {
        self.unmount().await?;
        let draft = self.image.with_extension("img.new");
        for file in [&self.image, &draft] {
            crate::disk::remove_if_there(file).map_err(EngineError::refused)?;
        }
        match fs::remove_dir(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EngineError::refused(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Used share of the quota, in percent.
    pub(super) fn percent_used(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.root).ok()?;
        let used = disk.f_blocks.saturating_sub(disk.f_bavail);
        used.saturating_mul(100).checked_div(disk.f_blocks)
    }

    /// The mount of this file system that was made last, of the root or of a part of it: an engine's volume.
    fn last_mount(&self) -> Result<Option<PathBuf>, EngineError> {
        let mounts = parse_mounts(&self.mounts.list().map_err(EngineError::refused)?);
        let device = mounts.iter().find(|mount| mount.place == self.root).map(|mount| mount.device.clone());
        let Some(device) = device else { return Ok(None) };
        Ok(mounts.into_iter().rev().find(|mount| mount.device == device).map(|mount| mount.place))
    }
}

/// More mounts of one file system than there can be.
const MAX_MOUNTS: usize = 16;

struct Mount {
    device: String,
    place: PathBuf,
}

/// `36 35 98:0 /root /place options… - type source options`
fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let lines = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next()?.to_owned();
        let place = PathBuf::from(fields.nth(1)?);
        Some(Mount { device, place })
    });
    lines.collect()
}

/// As the agent sees it: a file system mounted there differs from what is above.
fn is_mounted(root: &Path) -> Result<bool, EngineError> {
    let above = root.parent().unwrap_or(Path::new("/"));
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    Ok(device(root).map_err(no_quota)? != device(above).map_err(no_quota)?)
}

/// What is left beside `volumes_dir` for anything else: free, not promised to a workspace, and not the machine's own. Images are
/// sparse: what they may still grow to is spoken for.
pub(super) fn left(volumes_dir: &Path) -> io::Result<u64> {
    let mut promised = 0_u64;
    for entry in fs::read_dir(volumes_dir)? {
        let metadata = entry?.metadata()?;
        if metadata.is_file() {
            promised = promised.saturating_add(metadata.len().saturating_sub(metadata.blocks().saturating_mul(512)));
        }
    }
    Ok(unreserved(volumes_dir)?.saturating_sub(promised))
}

/// What of the disk that this is on is free and not the machine's own.
pub(super) fn unreserved(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(RESERVE_BYTES))
}

fn has_room(dir: &Path, quota_bytes: u64) -> Result<(), EngineError> {
    let left = left(dir).map_err(no_quota)?;
    if quota_bytes <= left {
        return Ok(());
    }
    Err(EngineError::new(
        WorkspaceFailure::DiskFull,
        format!(
            "The machine's disk has {} MiB left for workspaces, and this one asks for {} MiB. Ask for less, delete another workspace, or use a machine with a larger disk.",
            left >> 20,
            quota_bytes >> 20
        ),
    ))
}

fn no_quota(error: impl std::fmt::Display) -> EngineError {
    EngineError::refused(format!("The workspace's file system, which bounds its disk space, cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_in_the_order_they_were_made() {
        let mounts = parse_mounts(
            "130 97 7:0 / /var/lib/ringfence/volumes/ws_1 rw,nosuid,nodev shared:1 - ext4 /dev/loop0 rw\n\
             132 130 7:0 /workspace /var/lib/containers/storage/volumes/x/_data rw - ext4 /dev/loop0 rw\n\nbroken\n",
        );
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[1].device.as_str(), mounts[0].place.ends_with("ws_1")), ("7:0", true));
    }

    #[test]
    fn a_quota_beyond_the_disk_is_refused_with_figures() {
        let dir = tempfile::tempdir().unwrap();
        let error = has_room(dir.path(), 1 << 60).unwrap_err();
        assert_eq!(error.failure, WorkspaceFailure::DiskFull);
        assert!(error.detail.contains("MiB left"), "{error}");
    }

    #[test]
    fn what_is_promised_to_a_sparse_image_is_not_left_for_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        let image = fs::File::create(dir.path().join("a.img")).unwrap();
        // More than any disk that tests run on has: all of it is spoken for.
        image.set_len(1 << 43).unwrap();
        assert_eq!(left(dir.path()).unwrap(), 0);
        fs::remove_file(dir.path().join("a.img")).unwrap();
        assert!(left(dir.path()).is_ok());
        assert!(left(&dir.path().join("none")).is_err());
    }
}
