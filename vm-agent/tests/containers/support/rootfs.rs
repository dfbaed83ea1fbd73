//! A small image made from this machine's own programs, since no registry need be reachable.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What an image for these tests can do.
const PROGRAMS: &[&str] = &[
    "bash", "cat", "chmod", "cut", "date", "dd", "env", "false", "find", "git", "grep", "head", "id", "kill", "ln",
    "ls", "mkdir", "mkfifo", "mount", "nohup", "od", "perl", "rm", "seq", "setsid", "sh", "sleep", "stat", "stty",
    "tail", "timeout", "touch", "tr", "true", "tty", "unshare", "wc",
];
const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/bash\ndev:x:1000:1000::/sessions/home:/bin/bash\nother:x:1234:1235::/:/bin/sh\n";

/// Makes the image's file system and packs it.
pub(crate) fn pack(at: &Path) -> PathBuf {
    let root = at.join("rootfs");
    for dir in ["bin", "etc", "tmp", "run", "var/tmp", "proc", "sys", "dev", "usr/lib/git-core", "root"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("etc/passwd"), PASSWD).unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\ndev:x:1000:\n").unwrap();
    let mut files = BTreeSet::new();
    for program in PROGRAMS {
        let found = ["/usr/bin", "/bin", "/usr/sbin"].iter().map(|dir| Path::new(dir).join(program));
        let Some(path) = found.into_iter().find(|path| path.exists()) else { continue };
        copy(&path, &root.join("bin").join(program));
        files.insert(path);
    }
    for helper in ["git-remote-http", "git-remote-https"] {
        let path = Path::new("/usr/lib/git-core").join(helper);
        if path.exists() {
            copy(&path, &root.join("usr/lib/git-core").join(helper));
            files.insert(path);
        }
    }
    for library in files.iter().flat_map(|file| libraries(file)) {
        let to = root.join(library.strip_prefix("/").unwrap());
        if !to.exists() {
            copy(&library, &to);
        }
    }
    let tar = at.join("rootfs.tar");
    let packed = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().unwrap();
    assert!(packed.success());
    tar
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().filter(|word| word.starts_with('/')).map(|word| word.trim_end_matches(':'));
    words.map(PathBuf::from).filter(|path| path.exists()).collect()
}
