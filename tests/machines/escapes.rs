//! Attempts to get out of a workspace, made inside it as its own user, each of which has to fail.

use anyhow::{Context, Result, ensure};
use ringfence_protocol::views::WorkspaceView;

use crate::machine::on_machines;
use crate::world::World;

/// A way out, and the command that takes it: it succeeds only if the way is open.
type Attempt = (&'static str, &'static str);

/// What answers at the metadata addresses says this.
const METADATA_ANSWER: &str = "instance-id";

const NETWORK: &[Attempt] = &[
    ("metadata over v4", "curl -sS -m 3 http://169.254.169.254/hetzner/v1/metadata"),
    ("user-data over v4", "curl -sS -m 3 http://169.254.169.254/hetzner/v1/userdata"),
    ("metadata over v6", "curl -sS -m 3 -g 'http://[fd00:ec2::254]/latest/meta-data/'"),
    ("metadata as a mapped v6 address", "curl -sS -m 3 -g 'http://[::ffff:169.254.169.254]/hetzner/v1/metadata'"),
    ("metadata by name", "curl -sS -m 3 http://metadata.test/hetzner/v1/metadata"),
    ("metadata by redirect", "curl -sS -m 5 -fL http://internet.test/redirect"),
    ("a private address", "curl -sS -m 3 http://10.77.0.1/"),
    ("a private address by name", "curl -sS -m 3 http://private.test/"),
    (
        "the machine's control plane, over the private side",
        "curl -sS -m 3 http://$(ip route show default | cut -d' ' -f3)/",
    ),
    ("mail", "curl -sS -m 3 telnet://198.51.100.10:25 </dev/null"),
];

const SYSTEM: &[Attempt] = &[
    ("Podman's socket", "test -e /run/podman/podman.sock || test -e /var/run/podman/podman.sock"),
    ("Docker's socket", "test -e /var/run/docker.sock || test -e /run/docker.sock"),
    ("the agent's files", "ls /var/lib/ringfence /etc/ringfence"),
    ("the machine's processes", "grep -qxsE 'systemd|vm-agent|conmon|dockerd' /proc/[0-9]*/comm"),
    ("a mount", "mount -t tmpfs none /mnt"),
    ("a bind mount", "mount --bind /tmp /mnt"),
    ("a new user namespace", "unshare --user true"),
    ("a new user namespace with root in it", "unshare --user --map-root-user true"),
    ("a new mount namespace", "unshare --mount true"),
    ("a new network namespace", "unshare --net true"),
    ("another process's namespaces", "nsenter -t 1 -m true"),
    ("a new root", "chroot / true"),
    (
        "ptrace of a process outside",
        "perl -e 'for (1..40000) { next if -e \"/proc/$_\"; exit 0 if syscall(101, 16, $_, 0, 0) == 0 } exit 1'",
    ),
    ("a raw socket", "perl -MSocket -e 'socket(my $s, PF_INET, SOCK_RAW, 1) ? exit 0 : exit 1'"),
    ("a packet socket", "perl -e 'socket(my $s, 17, 3, 768) ? exit 0 : exit 1'"),
    ("a block device", "mknod /tmp/disk b 8 0"),
    ("a character device", "mknod /tmp/mem c 1 1"),
    ("a device that is there already", "cat /dev/sda /dev/vda /dev/mem /dev/kmsg /dev/loop0"),
    ("core_pattern", "echo '|/tmp/x' > /proc/sys/kernel/core_pattern"),
    ("a sysctl of the kernel", "echo 1 > /proc/sys/kernel/sysrq"),
    ("a sysctl of the network", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
    ("sysrq", "echo h > /proc/sysrq-trigger"),
    ("binfmt", "echo :x:M::x::/tmp/x: > /proc/sys/fs/binfmt_misc/register"),
    ("a kernel parameter under /sys", "find /sys -maxdepth 3 -writable -type f 2>/dev/null | grep -q ."),
    ("setuid by a program of the image", "echo | su -c true root"),
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
    ("the read-only root", "touch /x || touch /usr/x || touch /etc/x || touch /var/x"),
    ("remounting the root", "mount -o remount,rw /"),
    ("kernel memory", "head -c 1 /proc/kcore | grep -q . || grep -vq '^0000000000000000' /proc/kallsyms"),
    ("masked files", "cat /proc/timer_list /proc/keys /sys/firmware/dmi/tables/DMI | grep -q ."),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_runs_in_a_workspace_gets_out_of_it() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let workspace = ada.runs(&ada.params()).await?;
            let sibling = ada.runs(&ada.params()).await?;
            ensure!(sibling.node.id == workspace.node.id, "the two are not on one machine");
            metadata_is_there_to_be_found(world).await?;

            let mut shell = ada.shell(workspace.id).await?;
            shell.ok("curl -sS -m 5 -f http://internet.test/ >/dev/null").await.context("the internet is reached")?;
            let mut open = Vec::new();
            for (way, command) in NETWORK.iter().chain(SYSTEM) {
                let ran = shell.run(command).await?;
                if ran.code == 0 || ran.output.contains(METADATA_ANSWER) {
                    open.push(format!("{way}: {}", ran.output.trim()));
                }
            }
            ensure!(open.is_empty(), "ways out of a workspace are open:\n{}", open.join("\n"));
            the_sibling_is_out_of_reach(world, &ada, &workspace, &sibling).await
        },
    )
    .await
}

/// From outside of every machine the metadata answer, so that not reaching them means something.
async fn metadata_is_there_to_be_found(world: &World) -> Result<()> {
    let answer = world.outside(&["curl", "-sS", "-m", "5", "http://169.254.169.254/hetzner/v1/metadata"]).await?;
    // It knows machines by their addresses, and this is none: that it answers is what counts.
    ensure!(answer.exit == 0 && !answer.stdout.is_empty(), "the metadata service is not there: {answer:?}");
    Ok(())
}

async fn the_sibling_is_out_of_reach(
    world: &World,
    ada: &crate::world::Person,
    workspace: &WorkspaceView,
    sibling: &WorkspaceView,
) -> Result<()> {
    let mut theirs = ada.shell(sibling.id).await?;
    theirs.ok("echo ours > /workspace/mark; echo ours > /tmp/mark").await?;
    let address = theirs.ok("ip -4 -o addr show scope global | awk '{print $4}' | cut -d/ -f1").await?;
    theirs.ok("(while :; do nc -l -p 7777 </etc/hostname; done >/dev/null 2>&1 &) ; true").await?;
    theirs.ok("nc -w 2 127.0.0.1 7777 </dev/null").await.context("the sibling's server answers the sibling")?;
    let from_machine =
        world.inside(workspace.node.id, &format!("timeout 3 sh -c 'exec 3<>/dev/tcp/{address}/7777'")).await?;
    let mut ours = ada.shell(workspace.id).await?;
    let reached = ours.run(&format!("nc -w 3 {address} 7777 </dev/null")).await?;
    ensure!(
        reached.code != 0 || reached.output.trim().is_empty(),
        "the sibling's network is reached: {reached:?} ({from_machine:?})"
    );
    let files = ours.run("cat /workspace/mark /tmp/mark; find / -xdev -name mark 2>/dev/null | grep .").await?;
    ensure!(files.code != 0, "the sibling's files are reached: {files:?}");
    // A pattern that is not in its own command line.
    let processes = ours.run("grep -lsa '[7]777' /proc/[0-9]*/cmdline").await?;
    ensure!(!processes.output.contains("/proc/"), "the sibling's processes are seen: {processes:?}");
    Ok(())
}
