# Podman's packages and tinyproxy's as a repository in the image itself, so that a machine that lacks them can install them without
# a network. runc is sid's: trixie's lacks the fixes of November 2025. Nothing else comes from there. A mirror of sid that lags is
# good enough (the signature counts, and the version is checked below). trixie's own is there too, for machines that are pinned to it.
mkdir -p "$OUT/apt"
cp -a "$BASE/etc/apt/sources.list" "$OUT/apt/sources.list"
awk '$1 == "deb" && $3 == "trixie" { print "deb [check-valid-until=no]", $2, "sid main"; exit }' "$OUT/apt/sources.list" >"$BASE/etc/apt/sources.list.d/sid.list"
test -s "$BASE/etc/apt/sources.list.d/sid.list"
cat >"$BASE/etc/apt/preferences.d/sid" <<'PIN'
Package: *
Pin: release n=sid
Pin-Priority: -1

Package: runc
Pin: release n=sid
Pin-Priority: 990
PIN
mkdir -p "$BASE/opt/packages"
NETWORK=1 SHARED="$BASE/opt/packages" inside "$BASE" sh -euc '
    apt-get -qq update
    apt-get -qq -y --no-install-recommends --download-only install podman runc catatonit tinyproxy-bin
    mv /var/cache/apt/archives/*.deb /run/shared/
    mkdir /run/shared/older && cd /run/shared/older
    apt-get -qq -o APT::Sandbox::User=root download runc/trixie
    apt-get -qq -y --no-install-recommends --download-only install docker.io docker-cli tini runc
    mkdir -p /var/cache/docker-debs
    mv /var/cache/apt/archives/*.deb /var/cache/docker-debs/
    cd /var/cache/docker-debs
    apt-get -qq -o APT::Sandbox::User=root download busybox-static
'
mkdir -p "$OUT/debs"
mv "$BASE"/var/cache/docker-debs/* "$OUT/debs/"
rmdir "$BASE/var/cache/docker-debs"
version=$(dpkg-deb --field "$BASE"/opt/packages/runc_*.deb Version)
dpkg --compare-versions "$version" ge 1.3.3 || { echo "runc $version is older than 1.3.3" >&2; exit 1; }
# The network's sources end here: no machine of the local cloud reaches them.
rm -f "$BASE/etc/apt/sources.list" "$BASE/etc/apt/sources.list.d/sid.list" "$BASE/etc/apt/preferences.d/sid"
rm -rf "$BASE"/var/lib/apt/lists/* "$BASE"/var/cache/apt/*.bin
echo 'deb [trusted=yes] file:/opt/packages ./' >"$BASE/etc/apt/sources.list.d/local.list"
inside "$BASE" sh -euc 'cd /opt/packages && apt-ftparchive packages . >Packages && apt-get -qq update'
