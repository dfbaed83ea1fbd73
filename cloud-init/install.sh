# shellcheck shell=sh
# The beginning of bootcmd: writes the files that are its arguments (path, contents, path, contents, …), because write_files comes later,
# and goes on with the boot. A machine that cannot even write them is switched off.
umask 022
mkdir -p /etc/ringfence /usr/local/lib/ringfence
while [ $# -gt 1 ]; do
    printf '%s' "$2" >"$1" || systemctl poweroff --force
    shift 2
done
# However it ends, but well: nothing else of cloud-init may run on a machine that is not shut.
sh /usr/local/lib/ringfence/boot || systemctl poweroff --force
