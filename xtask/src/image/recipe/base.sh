# The machine without a container engine: Debian 13 as a cloud image has it.
mkdir -p "$OUT"
mmdebstrap --quiet --mode=root --variant=minbase --components=main --include="$(echo "
    systemd-sysv systemd-resolved systemd-timesyncd libpam-systemd dbus udev kmod cloud-init openssh-server
    apt-utils bash ca-certificates curl e2fsprogs git iproute2 iptables less netbase nftables perl-base procps util-linux
    linux-image-cloud-amd64 initramfs-tools qemu-guest-agent
" | xargs | tr ' ' ',')" trixie "$BASE"

cp -a "$FILES/." "$BASE/"
rm -f "$BASE/etc/hostname" "$BASE/etc/machine-id" "$BASE/etc/ssh"/ssh_host_*
touch "$BASE/etc/machine-id"
ln -sf /run/systemd/resolve/stub-resolv.conf "$BASE/etc/resolv.conf"
inside "$BASE" systemctl enable --quiet systemd-networkd systemd-resolved ssh local-cloud-namespaces
# A machine's own power button, and nothing that waits for hardware that is not there.
inside "$BASE" systemctl mask --quiet getty@tty1.service systemd-networkd-wait-online.service
cp -L "$BASE/vmlinuz" "$OUT/kernel"
cp -L "$BASE/initrd.img" "$OUT/initrd"
