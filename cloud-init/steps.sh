# shellcheck shell=sh
# Timed steps of a boot, for the scripts beside this one. Each step is a line of /run/ringfence/boot.log:
# name, begin and end in seconds since the kernel started, error; separated by tabs. The agent reports them.
mkdir -p /run/ringfence

now() {
    read -r up _ </proc/uptime
    echo "$up"
}

# Runs a command as a step. What it says on standard error is the error, if it fails: the end of it, in one line.
step() {
    name=$1
    began=$(now)
    shift
    if error=$("$@" 2>&1 >/dev/null); then code=0 error=; else code=$?; fi
    [ "$code" = 0 ] || error=$(printf '%s' "${error:-failed with $code}" | tail -n 4 | uniq | tr '\n' ' ' | LC_ALL=C tr -cd ' -~' | cut -c 1-400)
    printf '%s\t%s\t%s\t%s\n' "$name" "$began" "$(now)" "$error" >>/run/ringfence/boot.log
    echo "ringfence: $name${error:+: $error}"
    return "$code"
}

# Reports why the agent will never run, and switches the machine off.
fail() {
    exec sh /usr/local/lib/ringfence/fail "$@"
}
