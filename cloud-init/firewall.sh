#!/bin/sh
# Loads the firewall: both families or, as far as this script can tell, none. Whoever calls it switches the machine off if it fails.
set -eu
dir=/etc/ringfence

rules() {
    if [ -e $dir/lockdown ]; then sed 's/^#lockdown //' "$dir/firewall.$1"; else cat "$dir/firewall.$1"; fi
}

# An empty input would load nothing and succeed, so what must be there is looked for afterwards.
load() {
    rules "$1" | "$2-restore" -w 5
    for chain in INPUT FORWARD OUTPUT; do "$2" -w 5 -t mangle -C $chain -j "RINGFENCE-$chain"; done
    "$2" -w 5 -t mangle -C RINGFENCE-INPUT -j DROP
    "$2" -w 5 -t mangle -C RINGFENCE-FORWARD -j DROP
}

rules v4 | iptables-restore -w 5 --test
# A kernel without IPv6 needs no rules for it, and takes none.
if [ -e /proc/net/if_inet6 ]; then
    rules v6 | ip6tables-restore -w 5 --test
    load v6 ip6tables
fi
load v4 iptables
