# shellcheck shell=bash
# support.sh - what the cluster tests share; sourced by them. Each brings up a lab of its own (hosts.sh, slurm.sh) in a
# temporary folder and takes it down again, whatever happens. OFFRAMP is the binary (build/offramp). A test ends at its
# first failed check; `skip` ends it as skipped. Root is needed, see launch/check-cluster.sh.
set -uo pipefail
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$cluster/../.." && pwd)
OFFRAMP=${OFFRAMP:-$source/build/offramp}
export OFFRAMP OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export demo=$source/configs/demo
what='' total=0 args=() # what is being done, results of the whole job, its command line: the tests set them

fail() { printf 'FAILED: %s\n' "$*"; exit 1; }
skip() { printf 'skipped: %s\n' "$*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "root is needed to make hosts"
unshare --net --uts --mount --ipc --pid --fork --kill-child true 2>/dev/null || skip "namespaces are not allowed here"
for program in mpirun jq ip nsenter pgrep setsid ssh-keygen /usr/sbin/sshd "$OFFRAMP"; do
    command -v "$program" >/dev/null || skip "$program is missing"
done

LAB=$(mktemp -d /tmp/offramp-lab-XXXXXX) # also the name of its namespaces
export LAB
scratch=$LAB/scratch
mkdir "$scratch" "$LAB/tmp"
chmod 755 "$LAB"
# Hosts of two labs are called alike and share /tmp: Open MPI would take the one's files for the other's, and remove them.
export OMPI_MCA_orte_tmpdir_base=$LAB/tmp
clean_up() {
    [ ! -e "$LAB/slurm" ] || "$cluster/slurm.sh" down
    "$cluster/hosts.sh" down
    rm -rf "$LAB"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

now_ms() { echo $(($(date +%s%N) / 1000000)); }
same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }
lines() { if [ -e "$1/journal.jsonl" ]; then wc -l <"$1/journal.jsonl"; else echo 0; fi; }
# The binary sees to it itself that ranks that say nothing are lost (the wrapper does so less quickly).
has_timeout() { "$OFFRAMP" eval --help | grep -q -- '^ *--timeout '; }

# rank_pid N: process id, as the machine sees it, of rank N of the offramp that works in the scratch folder
rank_pid() {
    local pid
    for pid in $(pgrep -f "^$OFFRAMP .*$scratch"); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxE "(OMPI_COMM_WORLD_RANK|PMIX_RANK)=$1" && echo "$pid" && return
    done
    return 1
}

# left: what runs on the hosts that is offramp's or Open MPI's
left() {
    local pid
    for pid in "$LAB"/hosts/run/h*.pid; do
        nsenter -t "$(cat "$pid")" -m -p ps -eo args --no-headers | grep -E '^[^ ]*(offramp|orted|mpirun|hydra)' |
            sed "s/^/$(basename "$pid" .pid): /" | cut -c1-120
    done
}
# no_orphans SECONDS: nothing is left by then
no_orphans() {
    local k
    for ((k = 0; k <= $1 * 5; k++)); do
        [ -n "$(left)" ] || return 0
        sleep 0.2
    done
    left
    fail "$what: processes are left after $1 s"
}

# launch_on_hosts RANKS ARGS...: offramp-mpirun on h1, over the first hosts (those of HOSTFILE, where it is set), one
# rank each as far as they go; the minute of silence cut down to 15 s. Options of the wrapper may stand before the command.
launch_on_hosts() {
    local ranks=$1
    shift
    "$LAB/on" h1 "$source/launch/offramp-mpirun" --hostfile "${HOSTFILE:-$LAB/hosts/hostfile}" -n "$ranks" --interface 10.77.0.0/24 \
        --timeout 15 --quiet --offramp "$OFFRAMP" "$@"
}

# start HOSTS FOLDER SHARE ARGS...: a job in the background, until SHARE per cent of $total results are in its journal.
# Says whether it is still there.
start() {
    local hosts=$1 folder=$2 wanted=$(($3 * total / 100))
    shift 3
    [ ! -e "$folder/run.json" ] || set -- "$@" --resume
    launch_on_hosts "$hosts" "${args[@]}" --output "$folder" "$@" </dev/null >"$scratch/out" 2>"$scratch/err" &
    job=$!
    while [ "$(lines "$folder")" -lt "$wanted" ]; do
        kill -0 "$job" 2>/dev/null || return 1
        sleep 0.02
    done
}

# ended CODE SECONDS: the job ends with that code, in so many seconds from the call on
ended() {
    local begun code took
    begun=$(now_ms)
    wait "$job"
    code=$?
    took=$(($(now_ms) - begun))
    [ "$code" -eq "$1" ] || { cat "$scratch/out" "$scratch/err"; fail "$what: code $code, expected $1"; }
    [ "$took" -le $(($2 * 1000)) ] || fail "$what: ended after $took ms, expected $2 s at most"
    printf '%s: code %d after %d.%d s%s\n' "$what" "$code" $((took / 1000)) $((took % 1000 / 100)) \
        "$(grep -m 1 '^offramp: ' "$scratch/err" | sed 's/^/: /')"
}

# finishes HOSTS FOLDER: --resume on so many hosts ends as the undisturbed job
finishes() {
    launch_on_hosts "$1" "${args[@]}" --output "$2" --resume </dev/null >"$scratch/out" 2>&1 ||
        { code=$?; cat "$scratch/out"; fail "$what: resume: code $code"; }
    same "$scratch/whole/results.jsonl" "$2/results.jsonl"
    [ "$(lines "$2")" -eq $((total + 1)) ] || fail "$what: the journal does not hold every result once"
}
