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
# test COMMAND...: a skipped one (77) is none that failed
run_test() {
    local code=0
    say "$(basename "$1") ${*:2}"
    "$@" || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq 77 ] || die "$(basename "$1") failed (code $code)"
}
run_test "$root/tests/cluster/test_hosts.sh"
run_test "$root/tests/cluster/test_slurm.sh"
LIMIT=30 run_test "$root/tests/cluster/faults.sh" 10 "${SEED:-1}"
say "cluster tests passed"
