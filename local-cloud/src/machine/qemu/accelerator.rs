//! Whether machines run on the processor or in emulation. `/dev/kvm` that opens proves nothing: only a boot does.

use super::super::image::Image;
use crate::command;
use std::time::Duration;
use tokio::process::Command;

/// A kernel prints its first line within a second where it runs at all.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
const FIRST_WORDS: &[u8] = b"Linux version";

/// How machines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    Kvm,
    Emulation,
}

impl Accelerator {
    /// KVM where a probe boot works. The answer is kept until this computer boots anew.
    pub(super) async fn choose(image: &Image) -> Self {
        if !std::path::Path::new("/dev/kvm").exists() {
            return Self::Emulation;
        }
        let this_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let (note, kvm, emulation) = (image.note("kvm"), format!("{this_boot}kvm"), format!("{this_boot}emulation"));
        match std::fs::read_to_string(&note) {
            Ok(known) if known == kvm => return Self::Kvm,
            Ok(known) if known == emulation => return Self::Emulation,
            Ok(_) | Err(_) => {}
        }
        let works = boots(image).await;
        let _ = std::fs::write(note, if works { kvm } else { emulation });
        if works { Self::Kvm } else { Self::Emulation }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulation => "emulation",
        }
    }

    /// qemu's words for it.
    pub(super) fn argument(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulation => "tcg,thread=multi",
        }
    }
}

/// Boots the image's kernel until it has said its name and ended for want of a root.
async fn boots(image: &Image) -> bool {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", "kvm", "-cpu", "max", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none"]);
    command.args(["-no-reboot", "-serial", "stdio", "-append", "console=ttyS0 panic=-1 root=/dev/none"]);
    command.arg("-kernel").arg(image.kernel());
    let outcome = command::bounded(command, b"", PROBE_LIMIT).await;
    outcome.is_ok_and(|outcome| outcome.stdout.windows(FIRST_WORDS.len()).any(|window| window == FIRST_WORDS))
}
