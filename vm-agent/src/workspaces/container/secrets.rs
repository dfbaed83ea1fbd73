//! A workspace's secrets as files on the machine's tmpfs, which the container sees read-only at `/run/secrets`. Beside them, the
//! directory of its socket.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::WorkspaceId;

use crate::workspaces::EngineError;

const TMPFS_MAGIC: i64 = 0x0102_1994;
const MAX_NAME_BYTES: usize = 128;

/// Where they are.
pub(super) struct Secrets {
    workspace_dir: PathBuf,
}

impl Secrets {
    pub(super) fn new(run_dir: &Path, workspace_id: WorkspaceId) -> Self {
        Self { workspace_dir: run_dir.join(workspace_id.to_string()) }
    }

    /// What the container sees.
    pub(super) fn dir(&self) -> PathBuf {
        self.workspace_dir.join("secrets")
    }

    /// Where the workspace's socket is; the container sees this too.
    pub(super) fn socket_dir(&self) -> PathBuf {
        self.workspace_dir.join("socket")
    }

    /// Makes the directories, for a workspace with and without secrets.
    pub(super) fn prepare(&self) -> Result<(), EngineError> {
        // Passed by users of the machine on their way to what is theirs (a proxy's configuration), listed by none.
        let run_dir = self.workspace_dir.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o711).create(run_dir).map_err(failed)?;
        fs::set_permissions(run_dir, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        // Nobody but root passes the upper one; the container has the lower one mounted.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.workspace_dir).map_err(failed)?;
        for dir in [self.dir(), self.socket_dir()] {
            match fs::DirBuilder::new().mode(0o755).create(&dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
            // Whatever the agent's umask is: the workspace's user enters it, inside of a directory that only root enters.
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        Ok(())
    }

    /// Makes the files so: these, and no others.
    pub(super) fn write(&self, secrets: &WorkspaceSecrets, owner: (u32, u32)) -> Result<(), EngineError> {
        if !secrets.files.is_empty() {
            self.must_be_in_memory()?;
        }
        if let Some(name) = secrets.files.keys().find(|name| !is_plain(name)) {
            return Err(EngineError::refused(format!(
                "The secret {name:?} cannot be a file. Use letters, digits, dashes, dots and underscores."
            )));
        }
        for entry in fs::read_dir(self.dir()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().to_str().is_some_and(|name| secrets.files.contains_key(name)) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        for (name, secret) in &secrets.files {
            self.write_one(name, secret.expose().as_bytes(), owner).map_err(failed)?;
        }
        Ok(())
    }

    fn write_one(&self, name: &str, contents: &[u8], owner: (u32, u32)) -> io::Result<()> {
        let draft = self.workspace_dir.join("draft");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&draft)?;
        file.write_all(contents)?;
        chown(&draft, Some(owner.0), Some(owner.1))?;
        fs::rename(&draft, self.dir().join(name))
    }

    /// Whether there is any. After a restart of the machine there is none.
    pub(super) fn are_there(&self) -> bool {
        fs::read_dir(self.dir()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Leaves nothing of them.
    pub(super) fn remove(&self) -> Result<(), EngineError> {
        match fs::remove_dir_all(&self.workspace_dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn must_be_in_memory(&self) -> Result<(), EngineError> {
        let stat = rustix::fs::statfs(&self.workspace_dir).map_err(failed)?;
        if stat.f_type == TMPFS_MAGIC {
            return Ok(());
        }
        Err(EngineError::refused(format!(
            "Secrets may be in memory only, and {} is on a disk. The machine is not set up as it should be.",
            self.workspace_dir.display()
        )))
    }
}

fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.starts_with('.') && name.bytes().all(is_plain)
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::refused(format!("The workspace's secrets cannot be given to it: {error}"))
}

#[cfg(test)]
mod tests {
    use ringfence_protocol::params::SecretText;

    use super::*;

    #[test]
    fn names_stay_within_the_directory() {
        assert!(is_plain("GITHUB_TOKEN") && is_plain("id_ed25519.pub"));
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "a\0", &"x".repeat(129)] {
            assert!(!is_plain(name), "{name:?}");
        }
    }

    #[test]
    fn files_are_the_owners_to_read_and_go_when_they_are_no_more_asked_for() {
        let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return println!("skipped: no /dev/shm") };
        let own = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let secrets = Secrets::new(dir.path(), WorkspaceId::from_entropy([1; 13]));
        secrets.prepare().unwrap();
        assert!(!secrets.are_there());
        let mut wanted = WorkspaceSecrets::default();
        wanted.files.insert("TOKEN".into(), SecretText::new("t".into()));
        for _ in 0..2 {
            secrets.write(&wanted, own).unwrap();
            let mode = fs::metadata(secrets.dir().join("TOKEN")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o400);
        }
        assert!(secrets.are_there());
        secrets.write(&WorkspaceSecrets::default(), own).unwrap();
        assert!(!secrets.are_there());
        secrets.remove().unwrap();
        assert!(!secrets.dir().exists());
    }

    #[test]
    fn secrets_are_not_written_to_a_disk() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let secrets = Secrets::new(dir.path(), WorkspaceId::from_entropy([1; 13]));
        secrets.prepare().unwrap();
        let mut wanted = WorkspaceSecrets::default();
        secrets.write(&wanted, (0, 0)).unwrap();
        wanted.files.insert("TOKEN".into(), SecretText::new("t".into()));
        assert!(secrets.write(&wanted, (0, 0)).is_err());
        assert!(!secrets.are_there());
    }
}
