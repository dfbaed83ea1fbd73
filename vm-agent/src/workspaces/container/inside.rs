//! Files in places that a workspace or an image made: reached without ever being led out of them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::process::{Gid, Uid};

/// Links that lead out are followed within: `root` is the root directory, as it is for a process in a container.
const AS_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Reads a file of at most `max_bytes` bytes under `root`. `None` when there is none.
pub(super) fn read(root: &Path, path: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    // Not blocking: it may be a pipe that nobody writes.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match fs::openat2(dir(root)?, path, flags, Mode::empty(), AS_ROOT) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut contents = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > max_bytes {
        return Err(io::Error::other("too large"));
    }
    Ok(Some(contents))
}

/// Whether there is a file under `root` that somebody may execute.
pub(super) fn has_program(root: &Path, path: &str) -> bool {
    let opened = dir(root).and_then(|dir| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        fs::openat2(dir, path, flags, Mode::empty(), AS_ROOT).map_err(io::Error::from)
    });
    let Ok(Ok(stat)) = opened.map(fs::fstat) else { return false };
    let is_file = fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::RegularFile;
    is_file && stat.st_mode & 0o111 != 0
}

/// Whether there is anything of that name under `root`.
pub(super) fn exists(root: &Path, path: &str) -> io::Result<bool> {
    match fs::openat2(dir(root)?, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), AS_ROOT) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes a directory directly under `root`, for this owner, unless something of that name is there.
pub(super) fn make_dir(root: &Path, name: &str, owner: (u32, u32)) -> io::Result<()> {
    let dir = dir(root)?;
    match fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    Ok(fs::chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn dir(path: &Path) -> io::Result<OwnedFd> {
    // The way to `root` itself is the agent's, or the kernel's: /proc/<pid>/root.
    Ok(fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_that_lead_out_are_followed_within() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(dir.path().join("secret"), "the machine's").unwrap();
        std::fs::write(root.join("etc/passwd"), "inside").unwrap();
        symlink("../../secret", root.join("up")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        assert_eq!(read(&root, "up", 100).unwrap(), None);
        assert_eq!(read(&root, "absolute", 100).unwrap().unwrap(), b"inside");
        assert_eq!(read(&root, "../secret", 100).unwrap(), None);
        assert_eq!(read(&root, "etc/passwd", 100).unwrap().unwrap(), b"inside");
        assert!(read(&root, "etc/passwd", 5).is_err() && read(&root, "etc", 5).is_err());
    }

    #[test]
    fn what_is_there_already_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc", dir.path().join("home")).unwrap();
        make_dir(dir.path(), "home", (1000, 1000)).unwrap();
        assert!(std::fs::symlink_metadata(dir.path().join("home")).unwrap().is_symlink());
    }

    #[test]
    fn a_program_is_a_file_that_somebody_may_execute() {
        assert!(has_program(Path::new("/"), "bin/sh"));
        assert!(!has_program(Path::new("/"), "etc/passwd") && !has_program(Path::new("/"), "usr"));
    }
}
