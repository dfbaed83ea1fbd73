# Shared by the steps of the recipe. OUT is the folder that is being made.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
BASE="$OUT/base"

# Runs a command inside a root file system, with the kernel's file systems and the network of this computer, in a mount
# namespace that ends with it. Services are not started there.
inside() { # root command…
    unshare --mount --propagation private sh -euc '
        root=$1; shift
        mount -t proc proc "$root/proc"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount -t tmpfs tmpfs "$root/run"
        mount -t tmpfs tmpfs "$root/tmp"
        mount -t tmpfs tmpfs "$root/dev"
        mkdir "$root/dev/shm" "$root/dev/pts"
        mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
        for node in null zero full random urandom tty fuse; do
            [ ! -e "/dev/$node" ] || { touch "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; }
        done
        ln -s /proc/self/fd "$root/dev/fd"
        ln -s pts/ptmx "$root/dev/ptmx"
        printf "#!/bin/sh\nexit 101\n" >"$root/run/policy-rc.d"
        chmod 755 "$root/run/policy-rc.d"
        touch "$root/usr/sbin/policy-rc.d"
        mount --bind "$root/run/policy-rc.d" "$root/usr/sbin/policy-rc.d"
        if [ -n "${SHARED:-}" ]; then mkdir "$root/run/shared"; mount --bind "$SHARED" "$root/run/shared"; fi
        if [ -n "${STORE:-}" ]; then mkdir "$root/run/store"; mount --bind "$STORE" "$root/run/store"; fi
        if [ -n "${NETWORK:-}" ]; then
            mkdir -p "$root/run/systemd/resolve"
            cat /etc/resolv.conf >"$root/run/systemd/resolve/stub-resolv.conf"
        fi
        exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp PODMAN_IGNORE_CGROUPSV1_WARNING=1 \
            DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
    ' inside "$@"
}

# The same, in a layer over the base.
inside_layer() { # layer command…
    layer=$1
    shift
    mkdir -p "$OUT/layers/$layer" "$OUT/scratch/work" "$OUT/scratch/root"
    BASE=$BASE LAYER="$OUT/layers/$layer" SCRATCH="$OUT/scratch" unshare --mount --propagation private sh -euc '
        mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$LAYER,workdir=$SCRATCH/work" "$SCRATCH/root"
        "$@"' layer bash -euo pipefail -c '. "$0"; inside "$@"' "$LIB" "$OUT/scratch/root" "$@"
}
