#!/bin/sh
# The agent of a machine in tests: it does what its configuration says, and writes down the processes it starts.
# usage: agent.sh --config FILE --state-dir DIR
behaviour=$(cat "$2")
started="$4/started"
echo "agent says $behaviour"
echo $$ >>"$started"
case $behaviour in
idle) exec sleep 1000 ;;
tree)
    # A shell in a session of its own with children, and one that has emptied its environment.
    setsid sh -c 'echo $$ >>"$1"; sleep 1000 & echo $! >>"$1"; wait' sh "$started" &
    env -i sleep 1000 &
    echo $! >>"$started"
    echo done >"$4/ready"
    wait
    ;;
crash) exit 3 ;;
power_off) exit 0 ;;
stubborn)
    trap '' TERM
    echo done >"$4/ready"
    while :; do sleep 1; done
    ;;
esac
