#!/usr/bin/env bash
# --timeline at 1, 2 and 3 ranks: the file holds what the stages' statistics count, results are the same bytes with and
# without, a file that cannot be written is refused before the work, a job that was stopped writes its own, and one that
# goes on writes what it did itself. And the tables of stages.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# sound FILE RANKS LAYERS: it is one that Perfetto opens: events of the kinds that there are, in order and without overlaps
# per rank, processes from 1 on, arrows from a rank to the next one, nothing dropped.
sound() {
    jq -e --argjson ranks "$2" --argjson layers "$3" '
        def over: .ts + .dur;
        (.otherData.ranks | length == $ranks and all(.dropped == 0 and .clock_error >= 0 and (.host | length > 0))) and
        (.traceEvents as $e |
        ($e | all(.pid >= 1 and .pid <= $ranks + 1 and .tid == .pid and (.ph | IN("M", "X", "s", "f")))) and
        ([$e[] | select(.ph == "M" and .name == "process_name")] | length == $ranks + 1) and
        ([range($ranks)] | all(. as $rank |
            ([$e[] | select(.ph == "M" and .name == "process_name" and .pid == $rank + 1)][0].args.name |
                test("^rank \($rank), layers [0-9]+\\.\\.[0-9]+, ")) and
            ([$e[] | select(.ph == "X" and .pid == $rank + 1)] |
                all(.ts >= 0 and .dur >= 0 and (.name | IN("busy", "send", "wait", "idle"))) and
                ([range(1; length) as $i | .[$i].ts >= (.[$i - 1] | over) - 1e-3] | all) and
                ([.[] | select(.name == "busy") | .args] | length > 0 and all(
                    .rows > 0 and .riders > 0 and .exits >= 0 and .exits <= .riders - .riders_out and .rows_out >= 0 and .ramps_us >= 0 and
                    .gflops > 0 and .first_layer >= 1 and .first_layer <= .last_layer and .last_layer <= $layers))))) and
        ([$e[] | select(.ph == "s")] as $from | [$e[] | select(.ph == "f")] as $to |
            ($from | map(.id) | length == (unique | length)) and ($from | map(.id) | sort) == ($to | map(.id) | sort) and
            ([$from, $to] | map(map({key: "\(.id)", value: .pid}) | from_entries) | . as [$a, $b] |
                [$a | keys[] | $b[.] == $a[.] + 1] | all)))' "$1" >/dev/null || fail "$1 ($2 ranks) is not sound"
}

# runs FILE: names of its runs, a line each
runs() {
    jq -r '(.otherData.ranks | length + 1) as $runs | .traceEvents[] | select(.ph == "X" and .pid == $runs) | .name' "$1"
}

# ---- eval: sums are those of the summary; answers are the same bytes ----
args=(eval --config "$demo/job.json" --limit "$ROWS" --threads 1 --wave-tokens 200)
on 1 "${args[@]}" --quiet --output "$scratch/without" || fail "without: code $?"
for ranks in 1 2 3; do
    file=$scratch/eval.$ranks.json
    on "$ranks" "${args[@]}" --output "$scratch/$ranks" --timeline "$file" >"$scratch/said" 2>"$scratch/err" ||
        fail "$ranks ranks: code $?"
    same "$scratch/without/results.jsonl" "$scratch/$ranks/results.jsonl"
    grep -q "timeline: $file" "$scratch/err" || fail "it does not say where the timeline is"
    sound "$file" "$ranks" 16
    runs "$file" | cmp - <(jq -r '.groups[] | "\(.task) \(.shots) \(.policy)"' "$scratch/$ranks/summary.json") ||
        fail "$ranks ranks: other runs"
    jq -es --argjson ranks "$ranks" '
        def total($rank; $name): [.[0].traceEvents[] | select(.ph == "X" and .pid == $rank + 1 and .name == $name) | .dur] |
            (add // 0) / 1e6;
        def stages($rank; $key): [.[1].groups[].stages[$rank][$key]] | add;
        def near($a; $b): $a - $b | fabs < 1e-4;
        [range($ranks) as $rank | .[0] as $file |
            [$file.traceEvents[] | select(.pid == $rank + 1 and .name == "busy") | .args] as $busy |
            near(total($rank; "busy"); stages($rank; "busy")) and near(total($rank; "idle"); stages($rank; "idle")) and
            near(total($rank; "wait"); stages($rank; "wait")) and ([$busy[].exits] | add) == stages($rank; "exits") and
            near(([$busy[].ramps_us] | add) / 1e6; stages($rank; "ramp")) and
            ([$file.traceEvents[] | select(.ph == "s" and .pid == $rank + 1)] | length) == stages($rank; "waves_out") and
            (if $rank == 0 then true else ([$busy[].waves] | add) == stages($rank; "waves_in") end)] | all' \
        "$file" "$scratch/$ranks/summary.json" >/dev/null || fail "$ranks ranks: the timeline and the summary differ"
done

# the table of stages: sums over the groups, within 110 columns
awk '/^stage / {on = 1} on && $1 ~ /^[0-9]+$/ {print $1, $2, $3, $4, $5}' "$scratch/said" >"$scratch/table"
jq -r '[.groups[].stages] | range(3) as $s | [.[][$s]] |
    "\($s) \(.[0].layers[0])..\(.[0].layers[1]) \([.[].requests_in] | add) \([.[].exits] | add) \([.[].requests_out] | add)"' \
    "$scratch/3/summary.json" | cmp - "$scratch/table" || { cat "$scratch/said"; fail "the table of stages is not the summary"; }
awk '/^stage / {on = 1} on && length > 110 {exit 1}' "$scratch/said" || fail "the table of stages is too wide"
[ "$(sed -n '/^stage /p' "$scratch/said" | xargs)" = \
    'stage layers in exits out left% rows waves busy% ramp% idle% wait% GFLOP/s peak' ] || { cat "$scratch/said"; fail "no head"; }

# ---- replicas: all ranks of all pipelines ----
on 4 "${args[@]}" --quiet --replicas 2 --output "$scratch/replicas" --timeline "$scratch/replicas.json" ||
    fail "replicas: code $?"
same "$scratch/without/results.jsonl" "$scratch/replicas/results.jsonl"
sound "$scratch/replicas.json" 4 16
jq -es '[range(4) as $rank | .[0].traceEvents as $e | ([$e[] | select(.pid == $rank + 1 and .name == "busy") | .args.exits] | add) ==
    ([.[1].groups[].stages[$rank].exits] | add)] | all' "$scratch/replicas.json" "$scratch/replicas/summary.json" >/dev/null ||
    fail "replicas: the timeline and the summary differ"

# ---- run, trace, lens, bench ----
gap_policy "$scratch/gap.json" 16 0.3 '[4, 8, 12]'
demo_requests 2 >"$scratch/in.jsonl"
for ranks in 1 3; do
    for timeline in '' "$scratch/run.json"; do
        rm -f "$scratch"/results.jsonl*
        on "$ranks" run --model "$demo/model" --input "$scratch/in.jsonl" --output "$scratch/results.jsonl" --quiet \
            --policy "$scratch/gap.json" --allow-other-model --kv verify --max-tokens 8 --threads 1 \
            ${timeline:+--timeline "$timeline"} || fail "run: code $?"
        mv "$scratch/results.jsonl" "$scratch/results${timeline:+.with}"
    done
    same "$scratch/results" "$scratch/results.with"
    sound "$scratch/run.json" "$ranks" 16
done
task=(--model "$demo/model" --task "$demo/tasks/color_v_animal_3.json" --limit 8 --threads 1)
on 2 trace "${task[@]}" --output "$scratch/a.csv" --quiet || fail "trace: code $?"
on 2 trace "${task[@]}" --output "$scratch/b.csv" --quiet --timeline "$scratch/trace.json" || fail "trace: code $?"
same "$scratch/a.csv" "$scratch/b.csv"
sound "$scratch/trace.json" 2 16
[ "$(runs "$scratch/trace.json")" = 'color_v_animal_3 0 full' ] || fail "trace: $(runs "$scratch/trace.json")"
on 2 lens --model "$demo/model" --input "$scratch/in.jsonl" --output "$scratch/lens.jsonl" --quiet \
    --timeline "$scratch/lens.json" || fail "lens: code $?"
sound "$scratch/lens.json" 2 16

cat >"$scratch/tiny.json" <<'END'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
 "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 256, "offramp_shape": {"dtype": "f32"}}
END
echo '[1, 1, 0.5, 0.25, 0]' >"$scratch/curve.json"
bench=(bench --shape "$scratch/tiny.json" -n 8 -b 3 -t 1 -r 2 --survivors "$scratch/curve.json" -o jsonl)
on 2 "${bench[@]}" --timeline "$scratch/bench.json" >"$scratch/rows" 2>"$scratch/err" || fail "bench: code $?"
jq -es 'length == 2' "$scratch/rows" >/dev/null || fail "bench: rows are mixed with something: $(cat "$scratch/rows")"
sound "$scratch/bench.json" 2 4
[ "$(runs "$scratch/bench.json" | paste -sd'|')" = "$(for _ in 1 2 3; do
    printf '%s|' 'tg8 b3' 'tg8 b3, exits propagate'
done | sed 's/|$//')" ] || fail "bench: runs $(runs "$scratch/bench.json")"
[ "$(grep -c '^stage ' "$scratch/err")" -eq 2 ] && grep -q '^tg8 b3, 1 thread, exits propagate$' "$scratch/err" ||
    fail "bench: tables of stages: $(cat "$scratch/err")"
on 2 "${bench[@]}" --quiet --plan 2,2 --exit-plan 1,3 --timeline "$scratch/plans.json" >"$scratch/rows" 2>"$scratch/err" ||
    fail "bench: code $?"
[ ! -s "$scratch/err" ] || fail "--quiet is not: $(cat "$scratch/err")"
jq -e '[.traceEvents[] | select(.name == "process_name") | .args.name] | any(test("^rank 1, (?!layers)"))' \
    "$scratch/plans.json" >/dev/null || fail "a rank of two plans is said to have one"

# ---- refused before anything is begun ----
for path in "$scratch/nowhere/t.json" "$scratch" /dev/null; do
    rm -rf "$scratch/refused"
    expect 3 'file cannot be written (.*)' 2 "${args[@]}" --output "$scratch/refused" --timeline "$path"
    [ ! -e "$scratch/refused" ] || fail "the work was begun"
done
expect 3 'file cannot be written (.*nowhere' 1 run --model "$demo/model" --input "$scratch/in.jsonl" \
    --output "$scratch/refused" --timeline "$scratch/nowhere/t.json"
expect 3 'file cannot be written (.*nowhere' 2 "${bench[@]}" --timeline "$scratch/nowhere/t.json"
[ -c /dev/null ] || fail "/dev/null is no device any more"

# ---- stopped, and gone on with ----
long=(eval --config "$demo/job.json" --limit $((4 * ROWS)) --threads 1 --quiet --wave-tokens 200 --output "$scratch/stopped")
mpirun -n 2 "$OFFRAMP" "${long[@]}" --timeline "$scratch/stopped.json" </dev/null >"$scratch/said" 2>&1 &
job=$!
until [ -e "$scratch/stopped/journal.jsonl" ] && [ "$(wc -l <"$scratch/stopped/journal.jsonl")" -gt $((10 * ROWS)) ]; do
    kill -0 "$job" 2>/dev/null || fail "the job was over before it could be stopped"
    sleep 0.01
done
kill -USR1 "$job"
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/said"; fail "stopped job: code $code, expected 75"; }
sound "$scratch/stopped.json" 2 16
on 3 "${long[@]}" --resume --timeline "$scratch/resumed.json" || fail "resume: code $?"
sound "$scratch/resumed.json" 3 16
exits() { jq '[.traceEvents[] | select(.name == "busy") | .args.exits] | add' "$1"; }
total=$(wc -l <"$scratch/stopped/results.jsonl")
[ $(($(exits "$scratch/stopped.json") + $(exits "$scratch/resumed.json"))) -eq "$total" ] ||
    fail "the two timelines do not show $total answers"
# nothing is left to do: a timeline of nothing
on 2 "${long[@]}" --resume --timeline "$scratch/nothing.json" || fail "resume of a finished run: code $?"
[ -z "$(runs "$scratch/nothing.json")" ] || fail "a finished run ran something"
