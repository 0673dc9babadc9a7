#!/usr/bin/env bash
# --stage-to: 1, 2 and 4 ranks copy what they need of a model and run from the copies: same results, byte for byte. A later
# job copies nothing, also with other layers per rank and without the model's file on its way; a job that was killed
# in the middle leaves copies that are whole. What cannot be written is refused.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

eval=(eval --model "$demo/model" --task "$demo/tasks/word_length.json" --limit 12 --threads 1)
on 1 "${eval[@]}" --output "$scratch/plain" --quiet || fail "undisturbed: code $?"

# staged NAME RANKS COPIED ARGS...: COPIED is how the line goes on
staged() {
    local name=$1 ranks=$2 copied=$3
    shift 3
    on "$ranks" "${eval[@]}" --output "$scratch/$name" "$@" >"$scratch/out" 2>&1 || { cat "$scratch/out"; fail "$name: code $?"; }
    grep -qE "^offramp: (rank 0: )?local copies in $scratch/[a-z]*: $copied" "$scratch/out" ||
        { cat "$scratch/out"; fail "$name: expected the line that begins \"local copies in DIR: $copied\""; }
    same "$scratch/plain/results.jsonl" "$scratch/$name/results.jsonl"
}
staged first 2 '[1-9].* copied ' --stage-to "$scratch/local"
staged again 2 '0 B copied .*, [1-9]' --stage-to "$scratch/local"
staged other 4 '0 B copied .*, [1-9]' --stage-to "$scratch/local" --plan 2,3,5,6
staged one 1 '0 B copied .*, [1-9]' --stage-to "$scratch/local"
on 2 "${eval[@]}" --output "$scratch/less" --stage-to "$scratch/more" --drop-layers 3 --quiet || fail "--drop-layers: code $?"
[ -d "$scratch/more" ] && [ -z "$(find "$scratch/more" -name 'model.layers.2.*')" ] || fail "a layer that is dropped was copied"

# a shape has nothing to copy
on 2 bench --shape "$SOURCE/configs/models/tinyllama-1.1b.json" --layers 2 -p 4 -r 1 -t 1 --stage-to "$scratch/none" >/dev/null ||
    fail "a shape: code $?"
[ ! -e "$scratch/none" ] || fail "a shape was copied"

# killed while it copies a larger model: every copy there is whole, and the next job makes the rest
synthetic "$scratch/large" 4 1024 4096 8 8 32000 2 BF16
run=(run --model "$scratch/large" --prompt "Q: a" --max-tokens 2 --threads 1)
on 1 "${run[@]}" >"$scratch/text" 2>/dev/null || fail "large, plain: code $?"
"$OFFRAMP" "${run[@]}" --stage-to "$scratch/killed" >/dev/null 2>&1 </dev/null &
pid=$!
for ((tries = 0; tries < 2000; tries++)); do
    [ -n "$(find "$scratch/killed" -type f 2>/dev/null | head -1)" ] && break
    sleep 0.002
done
kill -9 "$pid" 2>/dev/null
wait "$pid"
on 2 "${run[@]}" --stage-to "$scratch/killed" >"$scratch/text2" 2>"$scratch/err" || fail "after a kill: code $?"
same "$scratch/text" "$scratch/text2"
grep -q 'damaged' "$scratch/err" && { cat "$scratch/err"; fail "a killed job has left half a copy"; }
[ -z "$(find "$scratch/killed" -name '*.tmp.*')" ] || fail "a killed job's leftovers are there"

touch "$scratch/file"
expect 3 'folder cannot be made' 2 "${eval[@]}" --output "$scratch/bad" --stage-to "$scratch/file/x"
