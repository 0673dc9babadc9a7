#!/usr/bin/env bash
# Command one: installs what is needed, builds (in a source tree), and runs the demo job on two ranks. The results go to
# results/demo-<time> in the folder it is called from, or to the folder given as argument.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$root/launch/install-deps.sh"
if [ -f "$root/CMakeLists.txt" ]; then
    say "building $root/build"
    build "$root/build" -DCMAKE_BUILD_TYPE=Release
    offramp=$root/build/offramp
else
    offramp=$root/../../bin/offramp # installed: share/offramp/launch beside bin
fi
allow_root_mpi

output=${1:-results/demo-$(date +%Y%m%d-%H%M%S)}
progress=auto
[ -t 2 ] && progress=always # under mpirun a rank's stderr is a pipe, also on a terminal
say "mpirun -n 2 offramp eval --config demo/job.json --output $output"
mpirun --oversubscribe -n 2 "$offramp" eval --config demo/job.json --output "$output" \
    --progress "$progress" --threads 1 </dev/null
