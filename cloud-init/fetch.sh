#!/bin/sh
# Runs from runcmd, last of cloud-init: fetches the agent that user-data names, and no other, and starts it.
# shellcheck source-path=SCRIPTDIR source=steps.sh
. /usr/local/lib/ringfence/steps
agent=/usr/local/bin/vm-agent
new=/usr/local/bin/.vm-agent.new
sha256=$(cat /etc/ringfence/agent.sha256)
url=$(cat /etc/ringfence/origin)/agent-bin/$sha256/vm-agent

seconds() {
    read -r up _ </proc/uptime
    echo "${up%.*}"
}

fetch() {
    give_up=$(($(seconds) + 120))
    pause=1
    while left=$((give_up - $(seconds))) && [ $left -gt 0 ]; do
        curl -fsS -g --proto '=http,https' --connect-timeout 10 --max-time $left --speed-limit 1000 --speed-time 15 \
            --max-filesize 67108864 -o $new --url "$url" && return
        sleep $pause
        [ $pause -ge 16 ] || pause=$((pause * 2))
    done
    return 1
}

check() {
    [ -s $new ] || { echo 'the file is empty' >&2; return 1; }
    found=$(sha256sum $new)
    found=${found%% *}
    [ "$found" = "$sha256" ] || { echo "the SHA-256 is $found and should be $sha256" >&2; return 1; }
    chmod 0755 $new && mv -f $new $agent
}

has_engine() {
    command -v podman >/dev/null || command -v dockerd >/dev/null
}

# Older distributions have a Podman without netavark, which the agent refuses in words: they need not fail here without any.
install_podman() {
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    apt-get -qq update || return
    network=$(apt-cache -q search --names-only '^netavark$')
    # shellcheck disable=SC2086 # a word, or none
    apt-get -qq install -y --no-install-recommends podman runc ${network%% *}
}

start() {
    ln -sf ../vm-agent.service /etc/systemd/system/multi-user.target.wants/
    systemctl daemon-reload && systemctl start vm-agent.service && return
    journalctl -q -u vm-agent.service -n 3 -o cat >&2
    return 1
}

rm -f $new
step 'fetch the agent' fetch || { rm -f $new; fail agent_fetch_failed "$error"; }
step 'check its digest' check || { rm -f $new; fail agent_digest_mismatch "$error"; }
# Without an engine the agent starts all the same, and says so.
has_engine || step 'install Podman' install_podman
step 'start the agent' start || fail agent_start_failed "$error"
