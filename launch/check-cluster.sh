#!/usr/bin/env bash
# Runs the cluster tests on hosts and a Slurm made of namespaces of this machine, and a short fault campaign; about five
# minutes. Needs root and a Debian, builds build/ where it is not there, and installs what is missing without starting any
# daemon. Where this cannot be done it says so, and ends with code 0.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

skip() { echo "cluster tests skipped: $*"; exit 0; }
[ -f "$root/CMakeLists.txt" ] || die "check-cluster.sh needs the source tree, this is an installed copy"
[ "$(id -u)" -eq 0 ] || skip "root is needed to make hosts"
unshare --net --uts --mount --ipc --pid --fork --kill-child true 2>/dev/null || skip "namespaces are not allowed here"

# apt starts the daemons that it installs, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
"$root/launch/install-deps.sh" openssh-server openssh-client slurm-wlm munge iproute2 procps util-linux ||
    skip "the packages cannot be installed"

[ -x "$root/build/offramp" ] || build "$root/build" -DCMAKE_BUILD_TYPE=Release
export OFFRAMP=$root/build/offramp
# finished NAME CODE: a skipped test (77) is none that failed
passed=0
finished() {
    case $2 in
    0) passed=$((passed + 1)) ;;
    77) ;;
    *) die "$1 failed (code $2)" ;;
    esac
}

# Both wait most of the time, for the timeouts of Open MPI and of Slurm; each has hosts of its own.
log=$(mktemp)
"$root/tests/cluster/test_hosts.sh" >"$log" 2>&1 &
hosts=$! code=0
say "test_slurm.sh"
"$root/tests/cluster/test_slurm.sh" || code=$?
say "test_hosts.sh"
hosts_code=0
wait "$hosts" || hosts_code=$?
cat "$log"
rm -f "$log"
finished test_slurm.sh "$code"
finished test_hosts.sh "$hosts_code"
say "faults.sh"
code=0
LIMIT=16 "$root/tests/cluster/faults.sh" 10 "${SEED:-1}" || code=$?
finished faults.sh "$code"
say "cluster tests: $passed passed, $((3 - passed)) skipped"
