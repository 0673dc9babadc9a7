# shellcheck shell=bash
# support.sh - what the script tests share; sourced by them. From ctest come OFFRAMP (the binary), MAKE_MODEL,
# CHECK_RESIDENT, WIDEN_MODEL, FAULT_MODEL and REPLAY (tests/tools), SOURCE, BUILD, DATA, and ROWS (rows per demo task, 0: all). A test ends at its first
# failed check; `skip` ends it as skipped.
set -uo pipefail
: "${OFFRAMP:?}" "${MAKE_MODEL:?}" "${CHECK_RESIDENT:?}" "${WIDEN_MODEL:?}" "${FAULT_MODEL:?}" "${REPLAY:?}" "${SOURCE:?}" "${BUILD:?}" "${DATA:?}" "${ROWS:=16}"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_btl=self,vader OMPI_MCA_mpi_yield_when_idle=1
export ASAN_OPTIONS=detect_leaks=0 # Open MPI's own; the unit tests look for ours
scratch=$(mktemp -d /tmp/offramp-test-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export demo=$SOURCE/configs/demo

fail() { printf 'FAILED: %s\n' "$*"; exit 1; }
skip() { printf 'skipped: %s\n' "$*"; exit 77; }
need_data() { [ -e "$DATA/$1" ] || skip "needs $DATA/$1 (cmake -DOFFRAMP_TEST_DATA=...)"; }

# Whether a sample of a test's cases is enough: instrumented builds are slower by several times, and look for other things.
sampled() { [ "$ROWS" -gt 0 ] && [ "$ROWS" -lt 8 ]; }

# on RANKS ARGS...: offramp on that many ranks; 0: without mpirun.
on() {
    local ranks=$1
    shift
    if [ "$ranks" -eq 0 ]; then
        timeout 600 "$OFFRAMP" "$@" </dev/null
        return
    fi
    timeout 600 mpirun -n "$ranks" "$OFFRAMP" "$@" </dev/null
}

# expect CODE PART RANKS ARGS...: ends with that code, and one line of stderr begins with "offramp: " and holds PART.
expect() {
    local code=$1 part=$2 ranks=$3 got lines
    shift 3
    # Open MPI gives the ranks of a failed job 2 s. Only for usage errors, which each rank ends with before MPI is
    # started, rank 0 needs some of it to say so.
    [ "$code" -eq 2 ] || local -x OMPI_MCA_odls_base_sigkill_timeout=0
    on "$ranks" "$@" >"$scratch/out" 2>"$scratch/err"
    got=$?
    lines=$(grep -c '^offramp: ' "$scratch/err")
    if [ "$got" -ne "$code" ] || [ "$lines" -ne 1 ] || ! grep -q "^offramp: .*$part" "$scratch/err"; then
        cat "$scratch/out" "$scratch/err"
        fail "offramp $* ($ranks ranks): code $got (expected $code), $lines messages (expected 1, with \"$part\")"
    fi
}

# rank_pid N COMMAND: process id of rank N of the job that runs this command on files in the scratch folder.
rank_pid() {
    local pid
    for pid in $(pgrep -f "$OFFRAMP $2 .*$scratch"); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$pid" && return
    done
}

# synthetic FOLDER ARGS...: a model with random weights (see tests/tools/make_model.c) and the demo's tokenizer.
synthetic() {
    mkdir -p "$1"
    cp "$demo"/model/tokenizer* "$1"
    "$MAKE_MODEL" "$@" || fail "make_model $*: code $?"
}

same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

# gap_policy FILE LAYERS THRESHOLD RAMPS [SHORTLIST]: leaves where the two likeliest tokens lie so far apart; RAMPS is a
# JSON array. It is of no model, so --allow-other-model goes with it. Threshold 0 is the bad policy of the tests: all
# leave at the first ramp.
gap_policy() {
    jq -n --argjson layers "$2" --argjson threshold "$3" --argjson ramps "$4" --argjson shortlist "${5:-0}" \
        '{format: "offramp-policy-1", classifier: "gap", features: ["gap"], layers: $layers, ramps: $ramps,
          shortlist: $shortlist, threshold: $threshold, fingerprint: "0000000000000000"}' >"$1"
}

# crf_policy FILE LAYERS THRESHOLD RAMPS [SHORTLIST]: likewise one that remembers, of gap and stable, by hand.
crf_policy() {
    jq -n --argjson layers "$2" --argjson threshold "$3" --argjson ramps "$4" --argjson shortlist "${5:-0}" \
        '{format: "offramp-policy-1", classifier: "crf", features: ["gap", "stable"], layers: $layers, ramps: $ramps,
          shortlist: $shortlist, threshold: $threshold, fingerprint: "0000000000000000",
          crf: {offset: [0.3, 0.1], scale: [3, 5], weights: [2, 1], steps: [1, -1, -1, 1]}}' >"$1"
}

# demo_requests N: a request for each of the first N test instances of every demo task, behind two examples of it.
demo_requests() {
    local data
    for data in "$demo"/data/*.test.json; do
        jq -c --argjson n "$1" --arg task "$(basename "$data" .test.json)" --slurpfile train "${data%.test.json}.train.json" \
            'def shot: "Q: \(.input)\nA:";
             ($train[0][:2] | map(shot + " \(.output)\n\n") | add) as $examples |
             .[:$n] | to_entries[] | {id: "\($task)/\(.key)", prompt: ($examples + (.value | shot))}' "$data"
    done
}
