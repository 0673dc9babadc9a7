#!/usr/bin/env bash
# offramp run that is killed (kill -9 of a rank) or stopped (SIGUSR1: code 75) in the middle goes on with --resume at
# another number of ranks, batch and wave: the results are those of the undisturbed run, nothing lost, nothing twice.
# With all KV policies, and with --kv verify by itself.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

in=$scratch/in.jsonl
gap_policy "$scratch/middling.json" 16 0.5 '[2, 4, 6, 8, 10, 12, 14]'
run=(run --model "$demo/model" --allow-other-model --policy "$scratch/middling.json" --threads 1 --quiet --ignore-eos
    --max-tokens 24 --input "$in")
lines() { if [ -e "$1" ]; then wc -l <"$1"; else echo 0; fi; }

# start RANKS NAME SHARE ARGS...: runs in the background until SHARE per cent of the results are in the journal.
start() {
    local ranks=$1 name=$2 wanted=$(($3 * total / 100))
    shift 3
    mpirun -n "$ranks" "$OFFRAMP" "${run[@]}" --output "$scratch/$name" "$@" </dev/null >"$scratch/out" 2>&1 &
    job=$!
    while [ "$(lines "$scratch/$name.journal")" -lt "$wanted" ]; do
        kill -0 "$job" 2>/dev/null || return 1
        sleep 0.01
    done
}

# finishes NAME RANKS ARGS...: the broken run goes on and ends as the whole one.
finishes() {
    local name=$1 ranks=$2
    shift 2
    [ ! -e "$scratch/$name" ] || fail "$name: a broken run has finished"
    on "$ranks" "${run[@]}" --output "$scratch/$name" --resume "$@" || fail "$name: resume: code $?"
    same "$scratch/whole" "$scratch/$name"
    [ "$(lines "$scratch/$name.journal")" -eq $((total + 1)) ] || fail "$name: the journal does not hold every result once"
}

# disturb ARGS...: all of it
disturb() {
    local killed=0 case ranks rank share pid code more=()
    on 1 "${run[@]}" --output "$scratch/whole" "$@" || fail "undisturbed run: code $?"
    total=$(lines "$scratch/whole")
    for case in "2 1 20" "3 0 40" "1 0 60"; do
        read -r ranks rank share <<<"$case"
        if start "$ranks" killed "$share" --batch 6 "${more[@]}" "$@"; then
            pid=$(rank_pid "$rank" run)
            [ -n "$pid" ] && kill -9 "$pid" && killed=$((killed + 1))
        fi
        wait "$job"
        more=(--resume)
    done
    [ "$killed" -ge 2 ] || fail "only $killed of 3 kills hit a running job"
    finishes killed 4 --wave-tokens 64 "$@"

    start 3 stopped 20 --batch 6 "$@" || fail "the job was over before it could be stopped"
    kill -USR1 "$job"
    wait "$job"
    code=$?
    [ "$code" -eq 75 ] || { cat "$scratch/out"; fail "stopped job: code $code, expected 75"; }
    [ "$(lines "$scratch/stopped.journal")" -lt "$total" ] || fail "the stop came too late to show anything"
    finishes stopped 2 --batch 64 "$@"
    cp "$scratch/stopped" "$scratch/before"
    on 1 "${run[@]}" --output "$scratch/stopped" --resume "$@" || fail "resume of a finished run: code $?"
    same "$scratch/before" "$scratch/stopped"
    rm -f "$scratch"/{whole,killed,stopped}*
}

# a job that is over before it can be killed shows nothing; instrumented builds are slower, and run fewer rows
many=$((ROWS == 0 ? 50 : ROWS > 8 ? 20 : 4))
demo_requests $many | jq -c '. + (input_line_number as $i | {kv: ["deferred", "propagate", "verify"][$i % 3]}
    + if $i % 4 == 0 then {temperature: 1, seed: $i} else {} end)' >"$in"
disturb
demo_requests $many >"$in"
disturb --kv verify --temperature 0.8

# ---- stopped before the first request ----
# Rank 0 waits for its requests on standard input; both ranks catch the signal (bit 10 of SigCgt) while they load.
catches() {
    local pid
    pid=$(rank_pid "$1" run)
    [ -n "$pid" ] && (((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status") >> 9) & 1))
}
run=(run --model "$demo/model" --threads 1 --quiet --ignore-eos --max-tokens 40)
mkfifo "$scratch/pipe"
mpirun -n 2 "$OFFRAMP" "${run[@]}" --input - --output "$scratch/early" <"$scratch/pipe" >"$scratch/out" 2>&1 &
job=$!
exec 9>"$scratch/pipe"
for ((tries = 0; tries < 600; tries++)); do
    catches 0 && catches 1 && break
    sleep 0.05
done
[ "$tries" -lt 600 ] || { kill "$job"; fail "the ranks do not catch SIGUSR1 while they load"; }
kill -USR1 "$job"
sleep 0.5 # mpirun hands it on; the job would go on for some seconds
cat "$in" >&9
exec 9>&-
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/out"; fail "job stopped while it loads: code $code, expected 75"; }
on 1 "${run[@]}" --input "$in" --output "$scratch/early" --resume || fail "resume of a job without results: code $?"
[ "$(lines "$scratch/early")" -eq "$(lines "$in")" ] || fail "results are missing"
