//! Mounts of a container, as the kernel lists them.

/// One mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    device: String,
    place: String,
    options: Vec<String>,
    kind: String,
}

/// File systems that hold nothing of the machine's disk.
const VIRTUAL: [&str; 8] = ["tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs"];
/// The workspace's own.
const VOLUMES: [&str; 2] = ["/workspace", "/sessions"];
/// Files and directories that engines put into every container.
const OF_ENGINES: [&str; 9] = [
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/passwd",
    "/etc/group",
    "/run/.containerenv",
    "/run/secrets",
    "/run/podman-init",
    "/usr/sbin/docker-init",
];
const INITS: [&str; 3] = ["/sbin/docker-init", "/dev/init", "/usr/libexec/podman/catatonit"];

/// Reads `/proc/<pid>/mountinfo`.
pub(super) fn parse(mountinfo: &str) -> Vec<Mount> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut fields = front.split(' ').skip(2);
        let device = fields.next()?.to_owned();
        let place = fields.nth(1)?.to_owned();
        let options = fields.next()?.split(',').map(str::to_owned).collect();
        let kind = back.split(' ').next()?.to_owned();
        Some(Mount { device, place, options, kind })
    });
    mounts.collect()
}

impl Mount {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    fn is_expected(&self) -> bool {
        let place = self.place.as_str();
        let is_virtual = VIRTUAL.contains(&self.kind.as_str());
        place == "/" || is_virtual || VOLUMES.contains(&place) || OF_ENGINES.contains(&place) || INITS.contains(&place)
    }
}

/// Whether what is mounted there last can only be read.
pub(super) fn is_read_only(mounts: &[Mount], place: &str) -> bool {
    mounts.iter().rev().find(|mount| mount.place == place).is_some_and(|mount| mount.has("ro"))
}

/// Places where something is mounted that should not be.
pub(super) fn unexpected(mounts: &[Mount]) -> Vec<String> {
    mounts.iter().filter(|mount| !mount.is_expected()).map(|mount| mount.place.clone()).collect()
}

/// Places that can be written and where device nodes or set-user-id programs would work. `/dev` has devices: those that the engine
/// made, and nobody in the container may make more.
pub(super) fn without_flags(mounts: &[Mount]) -> Vec<String> {
    let writable = mounts.iter().filter(|mount| mount.has("rw"));
    let unflagged = writable.filter(|mount| {
        let is_dev = mount.place == "/dev"
            || mount.place.starts_with("/dev/")
            || mount.kind == "tmpfs" && mount.place.starts_with("/proc/");
        let is_file_of_engine = OF_ENGINES.contains(&mount.place.as_str()) || INITS.contains(&mount.place.as_str());
        !mount.has("nosuid") && !is_file_of_engine || !mount.has("nodev") && !is_dev && !is_file_of_engine
    });
    unflagged.map(|mount| mount.place.clone()).collect()
}

/// Whether both of the workspace's volumes are on this device.
pub(super) fn are_of_device(mounts: &[Mount], device: &str) -> bool {
    VOLUMES.iter().all(|place| {
        mounts.iter().rev().find(|mount| mount.place == *place).is_some_and(|mount| mount.device == device)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "130 97 0:42 / / ro,relatime - overlay overlay rw,lowerdir=x\n\
        133 130 0:51 / /tmp rw,nosuid,nodev,relatime - tmpfs tmpfs rw,size=524288k\n\
        132 130 7:0 /workspace /workspace rw,nosuid,nodev,relatime - ext4 /dev/loop0 rw\n\
        131 130 7:0 /sessions /sessions rw,nosuid,nodev,relatime - ext4 /dev/loop0 rw\n\
        134 130 0:53 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n\
        136 130 0:54 / /dev rw,nosuid,noexec - tmpfs tmpfs rw,mode=755\n\
        103 134 0:54 /null /proc/keys rw,nosuid,noexec - tmpfs tmpfs rw,size=65536k\n\
        137 135 0:20 /x/secrets /run/secrets ro,relatime - tmpfs tmpfs rw\n\
        140 130 254:0 /hosts /etc/hosts ro,nosuid,nodev,noexec,relatime - ext4 /dev/vda rw\n";

    #[test]
    fn a_container_of_ours_has_nothing_unexpected() {
        let mounts = parse(GOOD);
        assert_eq!(mounts.len(), 9);
        assert!(is_read_only(&mounts, "/") && !is_read_only(&mounts, "/tmp"));
        assert_eq!((unexpected(&mounts), without_flags(&mounts)), (vec![], vec![]));
        assert!(are_of_device(&mounts, "7:0") && !are_of_device(&mounts, "254:0"));
    }

    #[test]
    fn a_directory_of_the_machine_is_unexpected_and_so_is_a_volume_without_flags() {
        let more = format!(
            "{GOOD}141 130 254:0 /var/lib /data rw,relatime - ext4 /dev/vda rw\n142 130 0:42 / / rw,relatime - overlay overlay rw\n"
        );
        let mounts = parse(&more);
        assert_eq!(unexpected(&mounts), ["/data"]);
        assert_eq!(without_flags(&mounts), ["/data", "/"]);
        assert!(!is_read_only(&mounts, "/"));
    }
}
