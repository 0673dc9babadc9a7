#!/usr/bin/env bash
# Bad input: one line that says what, where, found and expected; exit code 3 (2 for usage), alone and on 2 ranks.
# Every case of this file runs in the sanitized build too. Damaged headers byte by byte: unit/test_safetensors.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

task=$demo/tasks/color_v_animal_3.json
out=$scratch/results
common=(--task "$task" --limit 2 --output "$out" --quiet)

# ---- usage ----
expect 2 'unknown command' 0 evaluate
expect 2 'such option' 1 eval --modle x
expect 2 'expected --task' 1 eval --model "$demo/model" --output "$out"
expect 2 'expected a value' 1 eval --model
expect 2 'whole number' 1 eval --model "$demo/model" "${common[@]}" --wave-tokens many
expect 2 'number' 1 eval --model "$demo/model" "${common[@]}" --threads -3
expect 2 'numbers from' 1 eval --model "$demo/model" "${common[@]}" --shots 1,x
expect 2 'wrong plan' 2 eval --model "$demo/model" "${common[@]}" --plan 8,9
expect 2 'it is for 3 ranks' 2 eval --model "$demo/model" "${common[@]}" --plan 8,4,4
expect 2 'more ranks than layers' 17 eval --model "$demo/model" "${common[@]}"
expect 2 'config not found' 1 eval --config nowhere.json
echo '{"modle": "x"}' >"$scratch/config.json"
expect 2 'no option of this command' 1 eval --config "$scratch/config.json"
echo '{"dense": 0}' >"$scratch/config.json"
expect 2 '"dense" has a value of the wrong kind, expected true or false' 1 eval --config "$scratch/config.json"
echo '{"shots": [null]}' >"$scratch/config.json"
expect 2 '"shots" has a value of the wrong kind' 1 eval --config "$scratch/config.json"
expect 2 'unknown kernel set' 2 eval --model "$demo/model" "${common[@]}" --kernels fast

expect 2 'two tasks of one name' 2 eval --model "$demo/model" --task "$task" "${common[@]}"

expect 3 'its name is empty' 1 eval --model "$demo/model" --task "$task" --limit 2 --output '' --quiet
mkfifo "$scratch/pipe" && expect 3 'found a file that is no model' 0 inspect "$scratch/pipe"

# ---- models ----
# broken NAME: a copy of the demo model to break; MODEL is its folder
broken() {
    MODEL=$scratch/model-$1
    rm -rf "$MODEL"
    cp -r "$demo/model" "$MODEL"
}
# refused PART: MODEL is refused by eval on 1 and 2 ranks, and by inspect unless the tensors' shapes are at fault
refused() {
    expect 3 "$1" 0 eval --model "$MODEL" "${common[@]}"
    expect 3 "$1" 2 eval --model "$MODEL" "${common[@]}"
    [ ! -e "$out/journal.jsonl" ] || fail "a refused model left a journal"
}
# refused_early PART: and by plan, which reads headers only
refused_early() {
    refused "$1"
    expect 3 "$1" 0 plan --model "$MODEL" --ranks 2
}
# header SED-EXPRESSION: edits the JSON header of MODEL's weights in place, keeping its length
header() {
    local file=$MODEL/model.safetensors size before
    size=$(od -An -tu8 -N8 "$file" | tr -d ' ')
    before=$(tail -c +9 "$file" | head -c "$size")
    printf '%s' "$before" | sed "$1" | head -c "$size" >"$scratch/header"
    [ "$before" != "$(cat "$scratch/header")" ] || fail "header was not changed by $1"
    while [ "$(wc -c <"$scratch/header")" -lt "$size" ]; do printf ' ' >>"$scratch/header"; done
    dd if="$scratch/header" of="$file" bs=1 seek=8 conv=notrunc status=none
}

expect 3 'nowhere' 0 eval --model "$scratch/nowhere" "${common[@]}"
MODEL=$scratch/nowhere; refused nowhere
broken cut; truncate -s 5 "$MODEL/model.safetensors"; refused model.safetensors
broken short; truncate -s 4000000 "$MODEL/model.safetensors"; refused model.safetensors
broken empty; : >"$MODEL/model.safetensors"; refused empty
broken huge; printf '\377\377\377\377\377\377\377\177' | dd of="$MODEL/model.safetensors" conv=notrunc status=none
refused model.safetensors
broken json; header 's/"dtype"/"dtype/'; refused JSON
broken dtype; header 's/"BF16"/"I16"/'; refused_early I16
broken shape; header 's/\[4096,128\]/[4095,128]/'; refused_early lm_head.weight
broken overlap; header 's/"data_offsets":\[0,/"data_offsets":[2,/'; refused model.safetensors
broken name; header 's/model.norm.weight/model.nurm.weight/'; refused_early model.norm.weight
broken layer; header 's/layers.15.mlp.up_proj/layers.15.mlp.uq_proj/'; refused_early layers.15.mlp.up_proj
broken config; sed -i 's/"hidden_size": 128/"hidden_size": 256/' "$MODEL/config.json"; refused expected
broken heads; sed -i 's/"num_key_value_heads": 2/"num_key_value_heads": 3/' "$MODEL/config.json"; refused num_key_value_heads
broken layers; sed -i 's/"num_hidden_layers": 16/"num_hidden_layers": 17/' "$MODEL/config.json"; refused_early layers.16
broken rope; sed -i 's/"rope_scaling": null/"rope_scaling": {"type": "yarn", "factor": 2}/' "$MODEL/config.json"; refused yarn
broken type; sed -i 's/"llama"/"mamba"/' "$MODEL/config.json"; refused mamba
broken noconfig; rm "$MODEL/config.json"; refused config.json
broken tokenizer; rm "$MODEL"/tokenizer.*; refused 'no tokenizer.json'
broken vocab; sed -i 's/"max_position_embeddings": 2048/"max_position_embeddings": 8/' "$MODEL/config.json"; refused 'context is 8'

# OPT: what its layers need, and what it does not compute
if [ -e "$DATA/models/tiny-opt-random" ]; then
    # broken_opt NAME: the same of a small OPT model, whose config and weights can be written
    broken_opt() {
        MODEL=$scratch/opt-$1
        cp -r "$DATA/models/tiny-opt-random" "$MODEL"
        chmod -R u+w "$MODEL"
    }
    broken_opt bias; header 's/layers.1.fc1.bias/layers.1.fc1.bios/'; refused_early 'layers.1.fc1.bias'
    broken_opt gelu; sed -i 's/"activation_function": "relu"/"activation_function": "gelu"/' "$MODEL/config.json"; refused gelu
else
    echo "not checked: OPT needs $DATA/models/tiny-opt-random"
fi

# ---- tasks ----
# task NAME JSON: a task file; PART must be in the refusal
bad_task() {
    local part=$1
    printf '%s' "$2" >"$scratch/task.json"
    for ranks in 0 2; do
        expect 3 "$part" $ranks eval --model "$demo/model" --task "$scratch/task.json" --output "$out" --quiet
    done
    [ ! -e "$out/journal.jsonl" ] || fail "a refused task left a journal"
}
fields='"name": "t", "format": "jsonl", "test": "rows.jsonl", "input": "text", "output": "label", "prompt": "Q: {input}\nA:"'
printf '{"text": "a", "label": "b"}\n' >"$scratch/rows.jsonl"
bad_task 'JSON' '{'
bad_task 'jsonx' "{${fields/jsonl/jsonx}}"
bad_task 'colour' "{${fields/\{input\}/\{colour\}}}"
bad_task 'metrik' "{$fields, \"metrik\": \"choice\"}"
bad_task 'label2' "{${fields/\"label\"/\"label2\"}}"
printf '{"text": "a", "label": "b"}\n{"text": "a\xff", "label": "b"}\n' >"$scratch/rows.jsonl"
bad_task 'rows.jsonl:2' "{$fields}"
printf '{"text": "a", "label": "b"}\nno json\n' >"$scratch/rows.jsonl"
bad_task 'rows.jsonl:2' "{$fields}"
: >"$scratch/rows.jsonl"
bad_task 'rows.jsonl' "{$fields}"
rm "$scratch/rows.jsonl"
bad_task 'rows.jsonl' "{$fields}"
printf '{"text": "a", "label": ""}\n' >"$scratch/rows.jsonl"
bad_task 'answer' "{$fields, \"answer\": \"{output}\"}"
printf '{%s}' "$fields" >"$scratch/task.json"
for command in eval trace; do
    expect 3 'no rows to ask, expected a "train" file' 2 $command --model "$demo/model" --task "$scratch/task.json" --split train \
        --output "$out" --quiet
done
printf '{"text": "%s", "label": "b"}\n' "$(seq -s ' ' 3000)" >"$scratch/rows.jsonl"
bad_task 'context is 2048' "{$fields}"

# an answer that the tokenizer knows and the model does not
broken small
jq '.added_tokens += [{"id": 4096, "content": "<new>", "special": true}] | .model.vocab["\u2581zzyzx"] = 4097
    | .model.vocab["\u2581zzyz"] = 4098 | .model.vocab["zy"] = 4099' "$MODEL/tokenizer.json" >"$scratch/t.json"
jq '.model.vocab["\u00e9\u00e9"] = 4100 | .model.vocab["\u2581\u00e9\u00e9"] = 4101 | .model.vocab["\u4e2d"] = 4102' \
    "$scratch/t.json" >"$MODEL/tokenizer.json"
rm -f "$MODEL/tokenizer.model"
printf '{"text": "a", "label": "\xe4\xb8\xad"}\n' >"$scratch/rows.jsonl"
printf '{%s, "answer": "{output}"}' "$fields" >"$scratch/task.json"
for ranks in 0 2; do
    expect 3 'token 4102' $ranks eval --model "$MODEL" --task "$scratch/task.json" --output "$out" --quiet
done

# ---- policies ----
jq '.fingerprint = "0123456789abcdef"' "$demo/policy/svm.json" >"$scratch/other.json"
cp "$demo/policy/svm.svm" "$scratch/svm.svm"
jq 'del(.ramps)' "$demo/policy/svm.json" >"$scratch/noramps.json"
jq '.layers = 12' "$demo/policy/svm.json" >"$scratch/depth.json"
for ranks in 0 2; do
    expect 3 'other.json' $ranks eval --model "$demo/model" "${common[@]}" --policy "$scratch/other.json"
    expect 3 'ramps' $ranks eval --model "$demo/model" "${common[@]}" --policy "$scratch/noramps.json"
    expect 3 'depth.json' $ranks eval --model "$demo/model" "${common[@]}" --policy "$scratch/depth.json"
    expect 3 'nowhere.json' $ranks eval --model "$demo/model" "${common[@]}" --policy "$scratch/nowhere.json"
done

# ---- output folders ----
: >"$scratch/file"
for ranks in 0 2; do
    expect 3 "$scratch/file" $ranks eval --model "$demo/model" --task "$task" --limit 2 --quiet --output "$scratch/file"
    expect 3 'file' $ranks eval --model "$demo/model" --task "$task" --limit 2 --quiet --output "$scratch/file/below"
done
on 2 eval --model "$demo/model" "${common[@]}" || fail "a good run: code $?"
cp "$out/results.jsonl" "$scratch/before"
for ranks in 0 2; do
    expect 3 '--resume' $ranks eval --model "$demo/model" "${common[@]}"
    expect 3 'another run' $ranks eval --model "$demo/model" --task "$task" --limit 3 --output "$out" --quiet --resume
done
same "$scratch/before" "$out/results.jsonl"

# ---- requests, traces ----
for line in '{"id": 1}' '{"prompt": "x"}' '{"id": 1, "tokens": [4096]}' '{"id": 1, "tokens": []}' 'x' '{"id": 1, "tokens": [1.5]}'; do
    echo "$line" >"$scratch/in.jsonl"
    expect 3 'in.jsonl:1' 2 lens --model "$demo/model" --input "$scratch/in.jsonl" --output "$scratch/lens.jsonl"
done
echo 'no trace' >"$scratch/trace.csv"
expect 3 'trace.csv' 0 train --trace "$scratch/trace.csv" --output "$scratch/p.json"
expect 2 'expected scoring or generation' 0 train --trace "$scratch/trace.csv" --output "$scratch/p.json" --for decoding
expect 2 '"65", expected a whole number' 0 train --trace "$scratch/trace.csv" --output "$scratch/p.json" --shortlist 65
expect 2 'guarantee is "1.5"' 0 train --trace "$scratch/trace.csv" --output "$scratch/p.json" --guarantee 1.5
expect 2 '--l2 is "0"' 0 train --trace "$scratch/trace.csv" --output "$scratch/p.json" --classifier crf --l2 0
expect 2 '\-\-guarantee was given, which --paper decides' 0 train --trace "$scratch/trace.csv" --output "$scratch/p.json" --paper --guarantee 0.9
expect 2 'expected svm or crf with --paper' 0 train --trace "$scratch/trace.csv" --output "$scratch/p.json" --paper --classifier gap
printf '"a"\n["b"\n' | "$OFFRAMP" tokenize --model "$demo/model" >/dev/null 2>"$scratch/err"
[ $? -eq 3 ] || fail "tokenize: bad line not refused"
grep -q 'stdin:2' "$scratch/err" || fail "tokenize: $(cat "$scratch/err")"
