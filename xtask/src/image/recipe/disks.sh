# The same machines as disks for qemu: files in, file system out, nothing mounted but the layers.
mkdir -p "$OUT/disks" "$OUT/scratch/merged"
disk() { # name lowerdir
    truncate -s 8G "$OUT/disks/$1.raw"
    unshare --mount --propagation private sh -euc '
        mount -t overlay overlay -o "ro,lowerdir=$2" "$3"
        mkfs.ext4 -q -F -L root -d "$3" "$1"' disk "$OUT/disks/$1.raw" "$2" "$OUT/scratch/merged"
}
mkdir -p "$OUT/scratch/empty"
disk plain "$OUT/scratch/empty:$BASE"
disk podman "$OUT/layers/podman:$BASE"
disk docker "$OUT/layers/docker:$BASE"
rm -rf "$OUT/scratch" "$OUT/debs" "$OUT/archives"
