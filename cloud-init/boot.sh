#!/bin/sh
# Runs from bootcmd at every run of cloud-init, before anything else of user-data; and, with an argument, from
# ringfence-firewall.service at every start. Shuts the machine against the network, or off.
# shellcheck source-path=SCRIPTDIR source=steps.sh
. /usr/local/lib/ringfence/steps
units=/etc/systemd/system

add_proxy_user() {
    getent passwd ringfence-proxy || useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ringfence-proxy
}

# Some stock images have nft alone. It keeps everything out while iptables is fetched.
install_iptables() {
    nft add table inet ringfence-shield
    nft add chain inet ringfence-shield input '{ type filter hook input priority -200; policy drop; }' || return
    nft add rule inet ringfence-shield input iif lo accept || return
    nft add rule inet ringfence-shield input ct state established,related accept || return
    nft add rule inet ringfence-shield input meta l4proto ipv6-icmp accept || return
    nft add rule inet ringfence-shield input udp dport '{ 68, 546 }' accept || return
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends iptables
}

# What runs in containers outlives a restart of Docker's daemon. In one line: user-data keeps no indentation.
keep_containers() {
    python3 -c 'import json,os; p="/etc/docker/daemon.json"; d=json.load(open(p)) if os.path.exists(p) else {}; d["live-restore"]=True; os.makedirs("/etc/docker",exist_ok=True); json.dump(d,open(p,"w"))'
}

# Nobody logs in; nothing restarts network, engine or agent behind our back; nothing listens for names.
close_doors() {
    sockets='ssh.socket sshd.socket sshd-vsock.socket sshd-unix-local.socket'
    timers='apt-daily.timer apt-daily-upgrade.timer podman-auto-update.timer'
    services='ssh.service sshd.service tinyproxy.service unattended-upgrades.service apt-daily.service apt-daily-upgrade.service'
    for unit in $sockets $timers $services podman-auto-update.service; do ln -sf /dev/null "$units/$unit" || return; done
    # What start jobs there are must see the masks, but a reload takes a while: only where there is an ssh to start.
    [ ! -e /usr/lib/systemd/system/ssh.service ] || systemctl daemon-reload || return
    # shellcheck disable=SC2086 # words
    systemctl stop --no-block $sockets $timers $services
    rm -f /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
    awk -F: '$2 !~ /^[!*]/ { print $1 }' /etc/shadow | while read -r user; do usermod -p '*' "$user" || exit; done || return
    mkdir -p /etc/systemd/resolved.conf.d
    printf '[Resolve]\nLLMNR=no\nMulticastDNS=no\n' >/etc/systemd/resolved.conf.d/ringfence.conf
    systemctl try-restart --no-block systemd-resolved.service 2>/dev/null || true
}

if [ $# = 0 ]; then
    # From now on it is loaded before the network comes up, whatever becomes of cloud-init.
    mkdir -p $units/sysinit.target.wants $units/multi-user.target.wants
    ln -sf ../ringfence-firewall.service $units/sysinit.target.wants/
    step 'add the proxy user' add_proxy_user || fail firewall_failed "$error"
    if ! command -v iptables-restore >/dev/null; then
        step 'install iptables' install_iptables || fail firewall_failed "no iptables on this image: $error"
    fi
    step 'load the firewall' sh /usr/local/lib/ringfence/firewall || fail firewall_failed "$error"
    step 'close ssh, passwords and timers' close_doors || fail firewall_failed "$error"
    if command -v dockerd >/dev/null; then step 'keep containers over a restart of Docker' keep_containers || true; fi
else
    step 'load the firewall' sh /usr/local/lib/ringfence/firewall
fi
