#!/usr/bin/env bash
# --replicas N: several pipelines share one job. What eval, run, trace and lens write is the same, byte for byte, as by
# one rank; a replica that stands still holds nothing but what it has; a job that was killed or stopped goes on at
# another number of replicas; what cannot be is refused with one line.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

lines() { if [ -e "$1" ]; then wc -l <"$1"; else echo 0; fi; }
rows=$ROWS
sampled && rows=2

# ---- eval, full depth and the policy ----
# scores NAME RANKS ARGS...
scores() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" eval --config "$demo/job.json" --output "$scratch/$name" --quiet --threads 1 --limit "$rows" "$@" ||
        fail "$name: code $?"
    [ "$name" = base ] || same "$scratch/base/results.jsonl" "$scratch/$name/results.jsonl"
}
scores base 1
scores 2x1 2 --replicas 2
scores 2x2 4 --replicas 2
scores 3x1 3 --replicas 3 --wave-tokens 64
scores 2x2-uneven 4 --replicas 2 --plan 3,13 --wave-tokens 64
# every stage of every replica is there; together they saw each request once, and each replica some
jq -e '[.groups[].stages | length == 4 and [.[].replica] == [0, 0, 1, 1] and .[2].layers == [1, 3]] | all' \
    "$scratch/2x2-uneven/summary.json" >/dev/null || fail "summary.json: $(cat "$scratch/2x2-uneven/summary.json")"
jq -e '(.groups | all(.stages[0].requests_in + .stages[2].requests_in == .survivors[0])) and
       ([.groups[].stages[2].requests_in] | add) > 0' "$scratch/2x2-uneven/summary.json" >/dev/null ||
    fail "the replicas' requests do not add up"
jq -e '.replicas == 2 and [.ranks[].replica] == [0, 0, 1, 1] and [.ranks[].layers] == [[1, 3], [4, 16], [1, 3], [4, 16]]' \
    "$scratch/2x2-uneven/run.json" >/dev/null || fail "run.json: $(cat "$scratch/2x2-uneven/run.json")"
on 2 eval --config "$demo/job.json" --output "$scratch/table" --limit 4 --replicas 2 --threads 1 >"$scratch/out" 2>&1 ||
    fail "table: code $?"
grep -q '^replica  stage  layers' "$scratch/out" && grep -q '^      1      0  1\.\.16 ' "$scratch/out" ||
    fail "the table does not show replicas: $(cat "$scratch/out")"

# ---- traces and lenses: observations come home too ----
for kind in "1 1" "3 3" "4 2"; do
    read -r ranks replicas <<<"$kind"
    on "$ranks" trace --model "$demo/model" --task "$demo/tasks/word_length.json" --limit $((2 * rows)) --quiet --threads 1 \
        --replicas "$replicas" --output "$scratch/trace-$replicas.csv" || fail "trace, $replicas replicas: code $?"
    same "$scratch/trace-1.csv" "$scratch/trace-$replicas.csv"
done
demo_requests 2 >"$scratch/prompts.jsonl"
on 1 lens --model "$demo/model" --input "$scratch/prompts.jsonl" --output "$scratch/lens-1" --quiet || fail "lens: code $?"
on 2 lens --model "$demo/model" --input "$scratch/prompts.jsonl" --output "$scratch/lens-2" --quiet --replicas 2 ||
    fail "lens, 2 replicas: code $?"
same "$scratch/lens-1" "$scratch/lens-2"

# ---- run: all KV policies, sampling, stop texts, probabilities, what is followed, what is refused ----
in=$scratch/in.jsonl
gap_policy "$scratch/middling.json" 16 0.5 '[2, 4, 6, 8, 10, 12, 14]'
{
    demo_requests 4 | jq -c '. + (input_line_number as $i | {
            kv: ["deferred", "propagate", "verify"][$i % 3], max_tokens: (3 + $i * 5 % 20)}
        + (if $i % 2 == 0 then {temperature: 0.9, seed: $i, top_p: 0.9, top_k: 40} else {} end)
        + (if $i % 5 < 2 then {stop: ["\n", "A:", "e"]} else {} end)
        + (if $i % 7 == 0 then {logprobs: true} else {} end))'
    demo_requests 1 | jq -c '.id += "/followed" | . + {follow: " is what it is, and so on"}'
    # long ones that begin alike, and one for which there is no room
    jq -cn '[range(90) | . * 37 % 3000 + 300] as $begin |
        range(6) | {id: ., tokens: ($begin + [range(.; 40 + .) | . * 41 % 3000 + 300]), max_tokens: 9}'
    echo '{"id": "none", "tokens": [1, 2], "max_tokens": 0}'
} >"$in"
# continues NAME RANKS ARGS...
continues() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" run --model "$demo/model" --allow-other-model --policy "$demo/policy/svm.json" --policy "$scratch/middling.json" \
        --input "$in" --output "$scratch/$name.jsonl" --quiet --threads 1 "$@" || fail "$name: code $?"
    [ "$name" = whole ] || same "$scratch/whole.jsonl" "$scratch/$name.jsonl"
}
continues whole 1
jq -es 'any(.[]; .finish == "stop") and any(.[]; .finish == "length") and any(.[]; .error)' "$scratch/whole.jsonl" \
    >/dev/null || fail "not all ends are there: $(cat "$scratch/whole.jsonl")"
continues r2x1 2 --replicas 2
continues r2x2 4 --replicas 2 --batch 3
continues r3x1 3 --replicas 3 --wave-tokens 40 --batch 2
# room for two long requests at a time on each rank: 16 layers, 2 heads of width 32, f32; hidden states of 128
continues small 2 --replicas 2 --kv-memory $((10 * (16 * 2 * 2 * 32 + 128) * 32 * 4))
head -1 "$in" >"$scratch/one.jsonl"
on 3 run --model "$demo/model" --input "$scratch/one.jsonl" --output "$scratch/one-3" --quiet --threads 1 --replicas 3 ||
    fail "fewer requests than replicas: code $?"
on 1 run --model "$demo/model" --input "$scratch/one.jsonl" --output "$scratch/one-1" --quiet --threads 1 || fail "one: code $?"
same "$scratch/one-1" "$scratch/one-3"

# ---- a replica that stands still, is killed, is stopped ----
demo_requests "$(sampled && echo 3 || echo 16)" >"$in"
total=$(lines "$in")
run=(run --model "$demo/model" --policy "$demo/policy/generation.json" --threads 1 --quiet --ignore-eos --max-tokens 48
    --input "$in" --kv verify --batch 4 --timeout 0) # on a busy machine the others may take long
on 1 "${run[@]}" --output "$scratch/undisturbed" || fail "undisturbed run: code $?"

# start NAME RANKS SHARE ARGS...: runs in the background until SHARE per cent of the results are in the journal, and some
# of this job.
start() {
    local name=$1 ranks=$2 wanted=$(($3 * total / 100)) before
    shift 3
    before=$(lines "$scratch/$name.journal")
    [ "$wanted" -gt "$before" ] || wanted=$((before + 1))
    mpirun -n "$ranks" "$OFFRAMP" "${run[@]}" --output "$scratch/$name" "$@" </dev/null >"$scratch/out" 2>&1 &
    job=$!
    while [ "$(lines "$scratch/$name.journal")" -lt "$wanted" ]; do
        kill -0 "$job" 2>/dev/null || { cat "$scratch/out"; fail "$name: the job was over too early"; }
        sleep 0.01
    done
}

start still 2 10 --replicas 2
pid=$(rank_pid 1 run)
[ -n "$pid" ] || fail "no rank to hold"
kill -STOP "$pid"
# the rest is done by the other: all but what is in the one that stands still, which is its batch at most
here=0
for ((tries = 0; tries < 1500 && here < total + 1 - 8; tries++)); do # for as long as something comes
    [ "$(lines "$scratch/still.journal")" -eq "$here" ] || tries=0
    here=$(lines "$scratch/still.journal")
    sleep 0.02
done
[ "$here" -ge $((total + 1 - 8)) ] || { kill -9 "$pid"; fail "one replica holds $((total + 1 - here)) of $total requests"; }
kill -0 "$job" 2>/dev/null || fail "the job has ended without the replica that stands still"
kill -CONT "$pid"
wait "$job" || { cat "$scratch/out"; fail "a job with a slow replica: code $?"; }
same "$scratch/undisturbed" "$scratch/still"

start broken 4 25 --replicas 2
pid=$(rank_pid 2 run) # the leader of the second
[ -n "$pid" ] || fail "no rank to kill"
kill -9 "$pid"
wait "$job"
[ ! -e "$scratch/broken" ] || fail "a job whose rank was killed has finished"
start broken 3 50 --resume --replicas 3
kill -USR1 "$job"
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/out"; fail "stopped job: code $code, expected 75"; }
[ "$(lines "$scratch/broken.journal")" -le "$total" ] || fail "the stop came too late to show anything"
on 2 "${run[@]}" --output "$scratch/broken" --resume || fail "resume by one pipeline: code $?"
same "$scratch/undisturbed" "$scratch/broken"
[ "$(lines "$scratch/broken.journal")" -eq $((total + 1)) ] || fail "the journal does not hold every result once"

# scored prompts: what was begun is finished, as by one pipeline
args=(eval --config "$demo/job.json" --limit $((4 * rows)) --threads 1 --quiet --wave-tokens 128)
on 1 "${args[@]}" --output "$scratch/scored" || fail "undisturbed eval: code $?"
mpirun -n 2 "$OFFRAMP" "${args[@]}" --replicas 2 --output "$scratch/halted" </dev/null >"$scratch/out" 2>&1 &
job=$!
while [ "$(lines "$scratch/halted/journal.jsonl")" -lt 100 ] && kill -0 "$job" 2>/dev/null; do sleep 0.01; done
kill -USR1 "$job"
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/out"; fail "stopped eval: code $code, expected 75"; }
on 3 "${args[@]}" --replicas 3 --output "$scratch/halted" --resume || fail "resume of eval: code $?"
same "$scratch/scored/results.jsonl" "$scratch/halted/results.jsonl"

# ---- bench says it; what cannot be is refused ----
shape=$scratch/tiny.json
cat >"$shape" <<'END'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
 "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 256, "offramp_shape": {"dtype": "f32"}}
END
on 6 bench --shape "$shape" -p 8 -n 4 -b 9 -t 1 -r 2 --replicas 2 -o jsonl >"$scratch/rows" || fail "bench: code $?"
jq -se 'length == 2 and all(.ranks == 6 and .replicas == 2 and .plan == [2, 1, 1] and (.peaks | length) == 6)' \
    "$scratch/rows" >/dev/null || fail "bench: $(cat "$scratch/rows")"
on 2 bench --shape "$shape" -p 8 -t 1 -r 1 --replicas 2 | grep -q '| 2 (2 replicas) | 1 | pp8 |' || fail "bench, Markdown"
expect 2 '--replicas is 2, started with 3 ranks, expected a multiple' 3 bench --shape "$shape" -p 8 --replicas 2
expect 2 '--replicas is 4, started with 2 ranks' 2 bench --shape "$shape" -p 8 --replicas 4
expect 2 'started with 5 ranks, the model has 4 layers' 10 bench --shape "$shape" -p 8 --replicas 2
expect 2 'it is for 4 ranks, started with 2' 4 bench --shape "$shape" -p 8 --replicas 2 --plan 1,1,1,1
expect 2 '--replicas is "0"' 0 bench --shape "$shape" -p 8 --replicas 0
expect 3 'model does not fit' 4 bench --shape "$shape" -p 8 --replicas 2 --memory-per-rank 1K
