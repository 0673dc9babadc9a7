#!/usr/bin/env bash
# net.sh - what the network between the hosts of hosts.sh is like:
#   net.sh cut hK | join hK   pull the cable of that host, plug it in again
#   net.sh wan MS | wan off   every frame comes MS milliseconds later (wan.c; the kernel's netem is not everywhere)
# shellcheck disable=SC2046
set -uo pipefail
lab=${LAB:-/tmp/offramp-lab}
run=$lab/hosts/run
switch=$(basename "$lab")-switch
ports() { ip -n "$switch" -o link | grep -oE ' p[0-9]+' | tr -d ' '; }

case "${1:-} ${2:-}" in
"cut h"*) ip -n "$switch" link set "p${2#h}" down ;;
"join h"*) ip -n "$switch" link set "p${2#h}" up ;;
"wan off")
    if [ -s "$run/wan.pid" ]; then
        kill "$(cat "$run/wan.pid")"
        rm -f "$run/wan.pid"
    fi
    for port in $(ports); do ip -n "$switch" link set "$port" master br0; done
    ;;
"wan "[0-9]*)
    "$0" wan off
    cc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -o "$run/wan" "$(dirname "${BASH_SOURCE[0]}")/wan.c" || exit 1
    for port in $(ports); do ip -n "$switch" link set "$port" nomaster; done
    setsid ip netns exec "$switch" "$run/wan" "$2" $(ports) </dev/null >>"$run/wan.log" 2>&1 &
    echo $! >"$run/wan.pid"
    sleep 0.3
    kill -0 "$(cat "$run/wan.pid")" 2>/dev/null || { cat "$run/wan.log" >&2; exit 1; }
    ;;
*) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
