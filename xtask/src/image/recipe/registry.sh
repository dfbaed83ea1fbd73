# What registry.test serves. The registry runs in a network namespace of its own while it is filled, so that no port is taken.
mkdir -p "$OUT/registry/bin" "$OUT/registry/storage"
(cd "$OUT/registry/bin" && apt-get -qq download docker-registry && dpkg-deb --fsys-tarfile docker-registry_*.deb |
    tar -x --strip-components=3 ./usr/bin/docker-registry && rm docker-registry_*.deb)
cat >"$OUT/registry/fill.yml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $OUT/registry/storage}}
http: {addr: 127.0.0.1:5000}
CONFIG
unshare --net bash -euo pipefail -c '
    ip link set lo up
    "$0/registry/bin/docker-registry" serve "$0/registry/fill.yml" >"$0/registry/fill.log" 2>&1 &
    registry=$!
    trap "kill $registry" EXIT
    for _ in $(seq 100); do curl -sf http://127.0.0.1:5000/v2/ >/dev/null && break; sleep 0.1; done
    for image in workspace tiny shellless; do
        skopeo --insecure-policy copy --quiet --dest-tls-verify=false \
            "docker-archive:$0/archives/$image.tar" "docker://127.0.0.1:5000/ringfence/$image:latest"
    done
' "$OUT"
rm "$OUT/registry/fill.yml" "$OUT/registry/fill.log"
