#!/usr/bin/env bash
# A model that is run without some of its layers (--drop-layers) gives the bytes of one whose files do not
# have them, by all commands, on 1, 2 and 3 ranks, with and without shared beginnings, from a folder and a
# GGUF file, Llama and OPT. What belongs to another set of layers - policy, journal - is refused.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# remove FOLDER OUTPUT LAYERS: a copy of the model whose header does not have these layers (from 1), and
# numbers the others anew. It is filled up with spaces, so that data stay where they are.
remove() {
    local size
    mkdir "$2"
    cp "$1"/* "$2"
    jq "[$3] as \$gone | .num_hidden_layers -= (\$gone | length)" "$1/config.json" >"$2/config.json"
    size=$(od -An -tu8 -N8 "$1/model.safetensors" | tr -d ' ')
    tail -c +9 "$1/model.safetensors" | head -c "$size" | jq -cj "[$3] as \$gone | with_entries(
        ((.key | capture(\"layers\\\\.(?<n>[0-9]+)\").n | tonumber + 1) // 0) as \$layer |
        select(\$gone | index(\$layer) | not) |
        .key |= sub(\"layers\\\\.[0-9]+\"; \"layers.\(\$layer - 1 - ([\$gone[] | select(. < \$layer)] | length))\"))" >"$scratch/header"
    { head -c 8 "$1/model.safetensors"; printf "%-${size}s" "$(cat "$scratch/header")"; tail -c +$((9 + size)) "$1/model.safetensors"; } >"$2/model.safetensors"
}

gone=10,3,11
drop=(--model "$demo/model" --drop-layers "$gone")
remove "$demo/model" "$scratch/removed" "$gone"
[ "$("$OFFRAMP" inspect "$scratch/removed" --json | jq '.tensors | length')" -eq $((147 - 3 * 9)) ] || fail "layers are still there"

# ---- scored prompts ----
gap_policy "$scratch/policy.json" 13 0.3 '[2, 5, 9, 12]'
task=(--task "$demo/tasks/color_v_animal_3.json" --task "$demo/tasks/next_item.json" --shots 5 --limit "$ROWS" --threads 1 --quiet)
eval=(eval "${task[@]}" --policy "$scratch/policy.json" --allow-other-model --dense)
on 1 "${eval[@]}" --model "$scratch/removed" --no-prefix-cache --output "$scratch/base" || fail "removed: code $?"
jq -e 'any(.groups[]; .layers_saved > 0.05)' "$scratch/base/summary.json" >/dev/null || fail "nobody has left early"
for case in "1 even" "2 even" "3 2,1,10" "2 auto"; do
    read -r ranks plan <<<"$case"
    on "$ranks" "${eval[@]}" "${drop[@]}" --plan "$plan" --output "$scratch/$ranks-$plan" || fail "$case: code $?"
    same "$scratch/base/results.jsonl" "$scratch/$ranks-$plan/results.jsonl"
done
on 1 "${eval[@]}" --model "$demo/model" --drop-layers 10,3,12 --output "$scratch/other" || fail "another set: code $?"
! cmp -s "$scratch/base/results.jsonl" "$scratch/other/results.jsonl" || fail "another set gives the same"

on 1 trace "${task[@]}" --model "$scratch/removed" --output "$scratch/base.csv" || fail "trace of removed: code $?"
on 2 trace "${task[@]}" "${drop[@]}" --output "$scratch/dropped.csv" || fail "trace: code $?"
same "$scratch/base.csv" "$scratch/dropped.csv"

# the layers to drop are those that the trace's cosines say
on 2 trace --model "$demo/model" --task "$demo/tasks/word_length.json" --shots 2 --limit "$ROWS" --output "$scratch/whole.csv" >"$scratch/out" ||
    fail "trace of all layers: code $?"
least=$(tail -n +2 "$scratch/whole.csv" | awk -F, '{ sum[$4] += $9 } END { for (layer in sum) printf "%d %.12f\n", layer, sum[layer] }' |
    sort -k2,2gr -k1,1gr | head -n 4 | cut -d' ' -f1 | paste -sd,)
grep -qx "least influential layers (ShortGPT): $least" "$scratch/out" || fail "trace says $(tail -n 1 "$scratch/out"), expected $least"

# ---- continued ones, and plans ----
demo_requests 1 | jq -c '. + {max_tokens: 6}' >"$scratch/in.jsonl"
run=(run --input "$scratch/in.jsonl" --policy "$scratch/policy.json" --allow-other-model --threads 1 --quiet)
on 1 "${run[@]}" --model "$scratch/removed" --output "$scratch/base.jsonl" || fail "run of removed: code $?"
on 3 "${run[@]}" "${drop[@]}" --batch 3 --output "$scratch/dropped.jsonl" || fail "run: code $?"
same "$scratch/base.jsonl" "$scratch/dropped.jsonl"

on 0 plan --model "$scratch/removed" --ranks 3 >"$scratch/base.txt" || fail "plan of removed: code $?"
on 0 plan "${drop[@]}" --ranks 3 >"$scratch/dropped.txt" || fail "plan: code $?"
same "$scratch/base.txt" "$scratch/dropped.txt"

# ---- other sets ----
expect 2 'found layer 17, the model has 1..16' 2 "${eval[@]}" --model "$demo/model" --drop-layers 2,17 --output "$scratch/no"
expect 2 'found layer 3 twice' 1 "${run[@]}" --model "$demo/model" --drop-layers 3,3 --output "$scratch/no"
expect 2 'all layers' 0 plan --model "$demo/model" --drop-layers "$(seq -s, 16)" --ranks 1
expect 3 'for a model of 13 layers' 2 "${eval[@]}" --model "$demo/model" --output "$scratch/no"
expect 3 "another run's journal" 2 "${eval[@]}" --model "$demo/model" --drop-layers 10,3,12 --output "$scratch/1-even" --resume
on 2 "${eval[@]}" "${drop[@]}" --output "$scratch/1-even" --resume || fail "resume: code $?"
jq --slurpfile trace "$scratch/dropped.csv.json" '.fingerprint = $trace[0].fingerprint' "$scratch/policy.json" >"$scratch/own.json"
own=(eval "${task[@]}" --policy "$scratch/own.json")
on 1 "${own[@]}" --model "$demo/model" --drop-layers 3,10,11 --output "$scratch/own" || fail "policy of the same layers: code $?"
expect 3 'policy refused' 2 "${own[@]}" --model "$demo/model" --drop-layers 10,3,12 --output "$scratch/no"
expect 3 'policy refused' 2 "${own[@]}" --model "$scratch/removed" --output "$scratch/no"
[ ! -e "$scratch/no/results.jsonl" ] || fail "a refused job has results"
jq -e '.drop_layers == "3,10,11"' "$scratch/own/run.json" >/dev/null || fail "run.json does not say what was dropped"

# ---- other formats and families ----
# lens NAME RANKS ARGS...
lens() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" lens --input "$scratch/in.jsonl" --threads 1 --output "$scratch/$name" --quiet "$@" || fail "$name: code $?"
}
demo_requests 2 | jq -c '{id, prompt}' >"$scratch/in.jsonl"
for folder in "$demo/model" "$scratch/removed"; do
    "$OFFRAMP" quantize "$folder" "$scratch/$(basename "$folder").gguf" --type q8_0 --quiet || fail "quantize: code $?"
done
lens base.lens 1 --model "$scratch/removed.gguf"
for ranks in 1 2 3; do
    lens dropped.lens $ranks --model "$scratch/model.gguf" --drop-layers "$gone"
    same "$scratch/base.lens" "$scratch/dropped.lens"
done

for model in tiny-opt-random tiny-opt-350m-layout-random; do # both layouts
    need_data models/$model
    need_data oracles/features-$model.jsonl
    jq -c '{id: input_line_number, tokens: .ids}' "$DATA/oracles/features-$model.jsonl" >"$scratch/in.jsonl"
    remove "$DATA/models/$model" "$scratch/$model" 2
    lens base.lens 1 --model "$scratch/$model"
    for ranks in 1 2; do
        lens dropped.lens $ranks --model "$DATA/models/$model" --drop-layers 2
        same "$scratch/base.lens" "$scratch/dropped.lens"
    done
done
