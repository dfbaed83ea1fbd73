//! Ways out of a workspace, each with the command that takes it: it succeeds only if the way is open.

/// A way out, and the command.
pub type Attempt = (&'static str, &'static str);

/// What answers at the metadata addresses says this.
pub const METADATA_ANSWER: &str = "instance-id";

pub const NETWORK: &[Attempt] = &[
    ("metadata over v4", "curl -sS -m 3 http://169.254.169.254/hetzner/v1/metadata"),
    ("user-data over v4", "curl -sS -m 3 http://169.254.169.254/hetzner/v1/userdata"),
    ("metadata over v6", "curl -sS -m 3 -g 'http://[fd00:ec2::254]/latest/meta-data/'"),
    ("metadata as a mapped v6 address", "curl -sS -m 3 -g 'http://[::ffff:169.254.169.254]/hetzner/v1/metadata'"),
    ("metadata by name", "curl -sS -m 3 http://metadata.test/hetzner/v1/metadata"),
    ("metadata over v6 by name", "curl -sS -m 3 http://metadata6.test/latest/meta-data/"),
    ("metadata by redirect", "curl -sS -m 5 -fL http://internet.test/redirect"),
    ("a private address", "curl -sS -m 3 http://10.77.0.1/"),
    ("a private address by name", "curl -sS -m 3 http://private.test/"),
    ("the machine, over the workspace's own network", "curl -sS -m 3 http://$(ip route show default | cut -d' ' -f3)/"),
    ("mail", "timeout 4 bash -c 'exec 3<>/dev/tcp/198.51.100.10/25'"),
];

/// Files that nobody in a workspace may read, each tried by itself.
pub const FILES: &[&str] = &[
    "/dev/sda",
    "/dev/vda",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/loop0",
    "/dev/loop-control",
    "/dev/fuse",
    "/proc/kcore",
    "/proc/timer_list",
    "/proc/keys",
    "/sys/firmware/dmi/tables/DMI",
];

/// Folders that are not there, or show nothing but the workspace's own socket.
pub const FOLDERS: &[&str] =
    &["/var/lib/ringfence", "/etc/ringfence", "/run/ringfence", "/var/lib/containers", "/var/lib/docker"];

/// Folders that nothing can be put into: one of them belongs to who runs there.
pub const READ_ONLY: &[&str] = &["", "/usr", "/etc", "/var", "/home/dev", "/run/ringfence"];

pub const SYSTEM: &[Attempt] = &[
    ("Podman's socket", "test -e /run/podman/podman.sock || test -e /var/run/podman/podman.sock"),
    ("Docker's socket", "test -e /var/run/docker.sock || test -e /run/docker.sock"),
    ("the machine's processes", "grep -qxsE 'systemd|vm-agent|conmon|dockerd|containerd.*' /proc/[0-9]*/comm"),
    ("a mount", "mount -t tmpfs none /mnt"),
    ("a bind mount", "mount --bind /tmp /mnt"),
    ("a new user namespace", "unshare --user true"),
    ("a new user namespace with root in it", "unshare --user --map-root-user true"),
    ("a new user namespace by clone", "perl -e 'exit(syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0 ? 0 : 1)'"),
    ("a new mount namespace", "unshare --mount true"),
    ("a new network namespace", "unshare --net true"),
    ("another process's namespaces", "nsenter -t 1 -m true"),
    ("a new root", "/usr/sbin/chroot / true"),
    // Processes of its own container share its mounts; whatever else can be traced is somebody else's.
    (
        "ptrace of a process outside",
        "perl -e 'my $own = readlink \"/proc/self/ns/mnt\"; for (1..40000) { my $of = readlink \"/proc/$_/ns/mnt\"; next if defined $of && $of eq $own; exit 0 if syscall(101, 16, $_, 0, 0) == 0 } exit 1'",
    ),
    ("a raw socket", "perl -MSocket -e 'socket(my $s, PF_INET, SOCK_RAW, 1) ? exit 0 : exit 1'"),
    ("a packet socket", "perl -e 'socket(my $s, 17, 3, 768) ? exit 0 : exit 1'"),
    ("a socket of the kernel's cryptography", "perl -e 'exit(syscall(41, 38, 5, 0) >= 0 ? 0 : 1)'"),
    ("a socket to the hypervisor", "perl -e 'exit(syscall(41, 40, 1, 0) >= 0 ? 0 : 1)'"),
    ("io_uring", "perl -e 'exit(syscall(425, 1, 0) >= 0 ? 0 : 1)'"),
    ("a block device", "mknod /tmp/disk b 8 0"),
    ("a character device", "mknod /tmp/mem c 1 1"),
    ("core_pattern", "echo '|/tmp/x' > /proc/sys/kernel/core_pattern"),
    ("a sysctl of the kernel", "echo 1 > /proc/sys/kernel/sysrq"),
    ("a sysctl of the network", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
    ("sysrq", "echo h > /proc/sysrq-trigger"),
    ("binfmt", "echo :x:M::x::/tmp/x: > /proc/sys/fs/binfmt_misc/register"),
    ("a kernel parameter under /sys", "find /sys -maxdepth 3 -writable -type f 2>/dev/null | grep -q ."),
    ("setuid by a program of the image", "echo | su -c true root"),
    ("setuid by a program of root's", "test \"$(/usr/local/bin/id-as-root -u)\" != 1000"),
    (
        "setuid by a program of one's own",
        "cp /bin/dash /workspace/d; chmod u+s /workspace/d; /workspace/d -p -c 'test $(id -u) != 1000'",
    ),
    ("uid 0", "perl -e 'use POSIX; POSIX::setuid(0) && $< == 0 ? exit 0 : exit 1'"),
    ("a capability", "grep -qE 'Cap(Eff|Prm|Bnd|Amb):.*[1-9a-f]' /proc/self/status"),
    ("a cgroup of one's own", "mkdir /sys/fs/cgroup/x || mkdir /sys/fs/cgroup/memory/x"),
    ("leaving the cgroup", "echo $$ > /sys/fs/cgroup/cgroup.procs || echo $$ > /sys/fs/cgroup/memory/cgroup.procs"),
    ("a release agent", "echo /tmp/x > /sys/fs/cgroup/memory/release_agent"),
    (
        "more memory",
        "echo 99999999999 > /sys/fs/cgroup/memory.max || echo -1 > /sys/fs/cgroup/memory/memory.limit_in_bytes",
    ),
    ("the kernel's keyring", "perl -e 'exit(syscall(248, \"user\", \"x\", \"y\", 1, -3) >= 0 ? 0 : 1)'"),
    ("bpf", "perl -e 'exit(syscall(321, 0, 0, 0) != -1 ? 0 : 1)'"),
    ("loading a module", "perl -e 'exit(syscall(175, 0, 0, \"\") == 0 ? 0 : 1)'"),
    ("remounting the root", "mount -o remount,rw /"),
    ("the kernel's addresses", "grep -vq '^0000000000000000' /proc/kallsyms"),
];

/// All of them.
pub fn all() -> Vec<(String, String)> {
    let pairs = NETWORK.iter().chain(SYSTEM).map(|(way, command)| ((*way).to_owned(), (*command).to_owned()));
    let files = FILES.iter().map(|path| (format!("the contents of {path}"), format!("head -c 1 {path} | grep -q ''")));
    let folders =
        FOLDERS.iter().map(|path| (format!("what is in {path}"), format!("ls -A {path} | grep -qvx agent.sock")));
    let puts = READ_ONLY.iter().map(|path| (format!("a file in {path}/"), format!("touch {path}/x")));
    pairs.chain(files).chain(folders).chain(puts).collect()
}
