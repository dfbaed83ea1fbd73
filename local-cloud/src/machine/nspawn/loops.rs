//! Loop devices are this computer's, not a machine's: what a machine attached stays attached when the machine is gone.

use crate::command;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(10);
/// Folders whose files a machine can attach, each on this computer's own file system.
const FOLDERS: [&str; 4] = ["ringfence", "containers", "docker", "upper"];

/// Detaches every loop device whose file is in the machine's directory.
pub(super) async fn detach(directory: &Path) {
    let attached = attached().await;
    if attached.is_empty() {
        return;
    }
    let mut files = HashSet::new();
    for folder in FOLDERS {
        collect(&directory.join(folder), &mut files);
    }
    for (device, file) in attached {
        // The path that the kernel reports is one inside the machine, and says nothing here.
        if files.contains(&file) {
            let _ = command::run("losetup", &["--detach", &device]).await;
        }
    }
}

/// A file by its file system's device and its inode.
type FileId = (u64, u64);

/// Each attached device with its file.
async fn attached() -> Vec<(String, FileId)> {
    let mut list = Command::new("losetup");
    list.args(["--list", "--noheadings", "--output", "NAME,BACK-MAJ:MIN,BACK-INO"]);
    let outcome = command::bounded(list, b"", LIMIT).await;
    let text = outcome.map(|outcome| String::from_utf8_lossy(&outcome.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<(String, FileId)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let (major, minor) = words.next()?.split_once(':')?;
    let device = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
    Some((name, (device, words.next()?.parse().ok()?)))
}

fn collect(folder: &Path, files: &mut HashSet<FileId>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => collect(&entry.path(), files),
            Ok(metadata) if metadata.is_file() => {
                files.insert((metadata.dev(), metadata.ino()));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_device_and_its_inode() {
        let (name, file) = parse("/dev/loop3      254:0      1234").unwrap();
        assert_eq!((name.as_str(), file), ("/dev/loop3", (rustix::fs::makedev(254, 0), 1234)));
        assert!(parse("/dev/loop3").is_none());
    }
}
