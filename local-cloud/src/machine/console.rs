//! A machine's console log.

use anyhow::Result;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A console log longer than this is set aside at the next start.
const ROTATE_BYTES: u64 = 4 * 1024 * 1024;
/// How much of the console's end is shown.
const SHOWN_BYTES: u64 = 64 * 1024;

/// The log in a machine's directory, for appending.
pub(super) fn open(directory: &Path) -> Result<File> {
    let path = directory.join("console.log");
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > ROTATE_BYTES) {
        std::fs::rename(&path, directory.join("console.log.1"))?;
    }
    Ok(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)
}

/// The end of the log.
pub(super) fn tail(directory: &Path) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(directory.join("console.log"))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
        let mut shown = Vec::new();
        file.take(SHOWN_BYTES).read_to_end(&mut shown)?;
        Ok(shown)
    };
    read().unwrap_or_default()
}

/// Adds a line of our own.
pub(super) fn note(directory: &Path, line: &str) {
    if let Ok(mut console) = open(directory) {
        let _ = writeln!(console, "local-cloud: {line}");
    }
}
