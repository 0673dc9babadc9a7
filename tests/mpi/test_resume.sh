#!/usr/bin/env bash
# kill -9 of a rank in the middle, at 2, 3 and 4 ranks, then --resume at another number of ranks: results.jsonl
# is that of the undisturbed run; nothing lost, nothing twice. SIGUSR1: code 75, and the same.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

args=(eval --config "$demo/job.json" --limit $((4 * ROWS)) --threads 1 --quiet --wave-tokens 256)
on 1 "${args[@]}" --output "$scratch/whole" || fail "undisturbed run: code $?"
total=$(wc -l <"$scratch/whole/results.jsonl")

lines() { if [ -e "$1/journal.jsonl" ]; then wc -l <"$1/journal.jsonl"; else echo 0; fi; }

# start RANKS FOLDER SHARE: runs in the background until SHARE per cent of the results are in the journal.
start() {
    local ranks=$1 folder=$2 wanted=$(($3 * total / 100)) more=()
    [ -e "$folder/journal.jsonl" ] && more=(--resume)
    mpirun -n "$ranks" "$OFFRAMP" "${args[@]}" --output "$folder" "${more[@]}" </dev/null >"$scratch/out" 2>&1 &
    job=$!
    while [ "$(lines "$folder")" -lt "$wanted" ]; do
        kill -0 "$job" 2>/dev/null || return 1
        sleep 0.01
    done
}

killed=0
for case in "2 0 20" "3 2 35" "4 1 50" "3 0 65" "2 1 80"; do
    read -r ranks rank share <<<"$case"
    if start "$ranks" "$scratch/broken" "$share"; then
        pid=$(rank_pid "$rank" eval)
        [ -n "$pid" ] && kill -9 "$pid" && killed=$((killed + 1))
    fi
    wait "$job"
done
[ "$killed" -ge 3 ] || fail "only $killed of 5 kills hit a running job"
[ ! -e "$scratch/broken/results.jsonl" ] || fail "a job that was killed 5 times has finished"
on 5 "${args[@]}" --output "$scratch/broken" --resume || fail "resume: code $?"
same "$scratch/whole/results.jsonl" "$scratch/broken/results.jsonl"
[ "$(lines "$scratch/broken")" -eq $((total + 1)) ] || fail "the journal does not hold every result once"

start 3 "$scratch/stopped" 20 || fail "the job was over before it could be stopped"
kill -USR1 "$job"
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/out"; fail "stopped job: code $code, expected 75"; }
[ "$(lines "$scratch/stopped")" -lt "$total" ] || fail "the stop came too late to show anything"
on 2 "${args[@]}" --output "$scratch/stopped" --resume || fail "resume after stop: code $?"
same "$scratch/whole/results.jsonl" "$scratch/stopped/results.jsonl"

# A finished run resumed does nothing and changes nothing.
on 2 "${args[@]}" --output "$scratch/stopped" --resume || fail "resume of a finished run: code $?"
same "$scratch/whole/results.jsonl" "$scratch/stopped/results.jsonl"
