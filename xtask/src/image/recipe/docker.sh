# The layer with Docker, and the workspace image for it to load at its first start.
SHARED="$OUT/debs" inside_layer docker sh -euc '
    rm -f /run/shared/busybox* && dpkg --force-confold -i /run/shared/*.deb >/dev/null
    systemctl enable --quiet local-cloud-docker-images.service
    apt-get -qq clean
'
mkdir -p "$OUT/layers/docker/opt"
cp "$OUT/archives/workspace.tar" "$OUT/layers/docker/opt/workspace.tar"
