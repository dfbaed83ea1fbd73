# Images for containers: the workspace's, a tiny one, and one without a shell. The first is also in a read-only store inside the
# machine; a set-user-id program of root's is in it, for who runs there to try.
mkdir -p "$OUT/archives" "$OUT/containers" "$OUT/scratch/tiny/bin" "$BASE/opt/images"
mmdebstrap --quiet --mode=root --variant=minbase --components=main \
    --include=bash,git,curl,ca-certificates,procps,iproute2,python3-minimal,util-linux,less,libcap2-bin,netcat-openbsd \
    --customize-hook='chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash dev' \
    --customize-hook='mkdir -p "$1/workspace" "$1/sessions"; chown 1000:1000 "$1/workspace" "$1/sessions"' \
    --customize-hook='cp "$1/usr/bin/id" "$1/usr/local/bin/id-as-root"; chmod 4755 "$1/usr/local/bin/id-as-root"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$OUT/archives/workspace-rootfs.tar"
dpkg-deb --fsys-tarfile "$OUT"/debs/busybox-static_*.deb | tar -x -C "$OUT/scratch/tiny"
mkdir -p "$OUT/scratch/tinyroot/bin" "$OUT/scratch/tinyroot/tmp" "$OUT/scratch/tinyroot/etc"
cp "$OUT/scratch/tiny/usr/bin/busybox" "$OUT/scratch/tinyroot/bin/busybox"
printf 'root:x:0:0:root:/:/bin/sh\ndev:x:1000:1000::/workspace:/bin/sh\n' >"$OUT/scratch/tinyroot/etc/passwd"
printf 'root:x:0:\ndev:x:1000:\n' >"$OUT/scratch/tinyroot/etc/group"
for applet in $("$OUT/scratch/tinyroot/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$OUT/scratch/tinyroot/bin/$applet"
done
tar -C "$OUT/scratch/tinyroot" -c -f "$OUT/archives/tiny-rootfs.tar" .
mkdir -p "$OUT/scratch/shellless/etc"
cp "$OUT/scratch/tinyroot/etc/passwd" "$OUT/scratch/tinyroot/etc/group" "$OUT/scratch/shellless/etc/"
tar -C "$OUT/scratch/shellless" -c -f "$OUT/archives/shellless-rootfs.tar" .

STORE="$BASE/opt/images" SHARED="$OUT/archives" inside_layer podman bash -euo pipefail -c '
    store=(podman --root /run/store --runroot /run/podman-build --storage-driver overlay)
    path="ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    "${store[@]}" import --quiet --change "$path" --change "USER dev" --change "WORKDIR /workspace" --change "CMD [\"/bin/bash\"]" \
        /run/shared/workspace-rootfs.tar localhost/ringfence/workspace:latest >/dev/null
    "${store[@]}" save --quiet --format docker-archive -o /run/shared/workspace.tar localhost/ringfence/workspace:latest
    mkdir /run/store-tiny
    tiny=(podman --root /run/store-tiny --runroot /run/podman-build-tiny --storage-driver vfs)
    "${tiny[@]}" import --quiet --change "$path" --change "CMD [\"/bin/sh\"]" \
        /run/shared/tiny-rootfs.tar localhost/ringfence/tiny:latest >/dev/null
    "${tiny[@]}" save --quiet --format docker-archive -o /run/shared/tiny.tar localhost/ringfence/tiny:latest
    "${tiny[@]}" import --quiet --change "$path" /run/shared/shellless-rootfs.tar localhost/ringfence/shellless:latest >/dev/null
    "${tiny[@]}" save --quiet --format docker-archive -o /run/shared/shellless.tar localhost/ringfence/shellless:latest
'
rm -f "$OUT"/archives/*-rootfs.tar
