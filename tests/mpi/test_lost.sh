#!/usr/bin/env bash
# A rank that is lost ends the job, by name, and --resume goes on to the same bytes: killed (prompt, mpirun's code), stopped
# (SIGSTOP) at 3 ranks in the middle of a run and before it (--timeout, code 76), rank 0 too. SIGTERM of one rank stops
# all in good order. A disk that does not answer ends the job, too; one without locks is fine. SIGUSR2 prints what each rank
# does; --status says it in a file.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

tasks=()
for task in "$demo"/tasks/*.json; do tasks+=(--task "$task"); done
eval=(eval --model "$demo/model" --policy "$demo/policy/svm.json" --dense "${tasks[@]}" --shots 2 --threads 1 --quiet
    --limit "$(sampled && echo 10 || echo 80)")
timeout=4
export OMPI_MCA_odls_base_sigkill_timeout=2 # a busy machine has time to say who was killed

lines() { if [ -e "$1/journal.jsonl" ]; then wc -l <"$1/journal.jsonl"; else echo 0; fi; }

# start NAME ARGS...: on 3 ranks in the background, until some results are in the journal
start() {
    local name=$1
    shift
    mpirun -n 3 "$OFFRAMP" "${eval[@]}" --output "$scratch/$name" --timeout "$timeout" "$@" </dev/null >"$scratch/out" 2>&1 &
    job=$!
    while [ "$(lines "$scratch/$name")" -lt 20 ]; do
        kill -0 "$job" 2>/dev/null || { cat "$scratch/out"; fail "$name: the job was over too early"; }
        sleep 0.02
    done
}

# ends NAME CODE SECONDS MESSAGE: so it has ended, within so many seconds, with that line; and goes on to the same results
ends() {
    local name=$1 expected=$2 most=$3 message=$4 begin=$SECONDS code
    wait "$job"
    code=$?
    [ "$code" -eq "$expected" ] || { cat "$scratch/out"; fail "$name: code $code, expected $expected"; }
    [ $((SECONDS - begin)) -le "$most" ] || fail "$name: it ended after $((SECONDS - begin)) s, expected $most at most"
    [ -z "$message" ] || [ "$(grep -c "$message" "$scratch/out")" -eq 1 ] || { cat "$scratch/out"; fail "$name: no line, or several, with \"$message\""; }
    pgrep -f "$OFFRAMP.*$scratch" >"$scratch/left" && fail "$name: ranks are left: $(tr '\n' ' ' <"$scratch/left")"
    on 2 "${eval[@]}" --output "$scratch/$name" --resume || fail "$name: resume: code $?"
    same "$scratch/whole/results.jsonl" "$scratch/$name/results.jsonl"
    rm -rf "${scratch:?}/$name"
}

# hit RANK SIGNAL
hit() {
    local pid
    pid=$(rank_pid "$1" eval)
    [ -n "$pid" ] || fail "rank $1 is not there"
    kill "-$2" "$pid"
}

on 1 "${eval[@]}" --output "$scratch/whole" || fail "undisturbed: code $?"

start killed --status "$scratch/status.json"
hit 1 KILL
ends killed 137 10 '^offramp: rank 1 lost (.*): no sign of life for [0-9]* s, it was '
jq -e '.state == "lost"' "$scratch/status.json" >/dev/null || fail "status.json of a lost job: $(cat "$scratch/status.json")"
start killed0
hit 0 KILL
ends killed0 137 10 '^offramp: rank 0 lost ('
start stopped
hit 2 STOP
ends stopped 76 $((timeout + 10)) "^offramp: rank 2 lost (.*): no sign of life for $timeout s, it was "
start stopped0
hit 0 STOP
ends stopped0 76 $((timeout + 13)) '^offramp: rank 0 lost ('
start ended
hit 1 TERM
ends ended 75 20 ''

# ---- disks ----
# bad RANKS NAME VARIABLE ARGS...: on a disk of that kind
bad() {
    local ranks=$1 name=$2 variable=$3
    shift 3
    mpirun -n "$ranks" -x LD_PRELOAD="$BAD_DISK" -x "$variable" "$OFFRAMP" "${eval[@]}" --output "$scratch/$name" --timeout "$timeout" "$@" \
        </dev/null >"$scratch/out" 2>&1 &
    job=$!
}
if [ -n "${BAD_DISK:-}" ]; then
    for ranks in 1 3; do # also in a job of one rank, and behind a task's last result
        bad "$ranks" gone BAD_DISK_SYNC=2
        ends gone 76 $((timeout + 10)) "^offramp: rank 0 hangs (.*): nothing was done for .*, it was putting results on disk"
    done
    bad 2 lockless BAD_DISK_LOCK=1
    wait "$job" || { cat "$scratch/out"; fail "a disk without locks"; }
    same "$scratch/whole/results.jsonl" "$scratch/lockless/results.jsonl"
else
    echo "not tried: disks that hang or know no locks, which sanitizers do not let be"
fi

# ---- what it says of itself ----
start told --status "$scratch/status.json"
kill -USR2 "$job"
for ((tries = 0; tries < 500; tries++)); do
    [ "$(grep -cE '^offramp: rank [0-2] on [^:]+: .*; layers [0-9]+\.\.[0-9]+, [0-9]+ requests in, ' "$scratch/out")" -eq 3 ] && break
    sleep 0.02
done
[ "$tries" -lt 500 ] || { cat "$scratch/out"; fail "SIGUSR2: not every rank says what it does"; }
for ((tries = 0; tries < 500; tries++)); do # the first one may be of before the run
    jq -e '.state == "running" and .command == "eval" and (.ranks | length == 3) and all(.ranks[]; .heard < 4)' \
        "$scratch/status.json" >/dev/null 2>&1 && break
    sleep 0.02
done
[ "$tries" -lt 500 ] || fail "status.json: $(cat "$scratch/status.json")"
kill -USR1 "$job"
wait "$job"
jq -e '.state == "stopped" and .done > 0 and .done < .total and ([.ranks[].layers[1]] | max) == 16' "$scratch/status.json" \
    >/dev/null || fail "status.json of a stopped job: $(cat "$scratch/status.json")"
on 2 "${eval[@]}" --output "$scratch/told" --resume --status "$scratch/status.json" || fail "resume: code $?"
jq -e '.state == "done" and .done == .total' "$scratch/status.json" >/dev/null ||
    fail "status.json of a job that is done: $(cat "$scratch/status.json")"
expect 3 'file cannot be opened\|cannot be written' 2 "${eval[@]}" --output "$scratch/bad" --status "$scratch/nowhere/status.json"
expect 2 '--timeout is "-1"' 2 "${eval[@]}" --output "$scratch/bad" --timeout -1

# ---- before any work: rank 0 waits for its requests, rank 1 is stopped meanwhile ----
mkfifo "$scratch/pipe"
mpirun -n 2 "$OFFRAMP" run --model "$demo/model" --input - --output "$scratch/early" --timeout 2 <"$scratch/pipe" >"$scratch/out" 2>&1 &
job=$!
exec 9>"$scratch/pipe"
for ((tries = 0; tries < 500; tries++)); do
    pid=$(rank_pid 1 run)
    [ -n "$pid" ] && [ "$(ls "/proc/$pid/task" 2>/dev/null | wc -l)" -gt 1 ] && break
    sleep 0.02
done
sleep 1
kill -STOP "$pid" || fail "rank 1 is not there"
wait "$job"
code=$?
exec 9>&-
[ "$code" -eq 76 ] || { cat "$scratch/out"; fail "stopped before the run: code $code, expected 76"; }
grep -q '^offramp: rank 1 lost (' "$scratch/out" || { cat "$scratch/out"; fail "stopped before the run: no line"; }
