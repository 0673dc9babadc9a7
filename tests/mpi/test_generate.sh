#!/usr/bin/env bash
# offramp run: a request's line of the results is the same bytes at any number of ranks, plan, batch, wave, threads,
# with and without shared beginnings, among other requests, in another order, and alone. In one file there is each KV
# policy with each exit policy, greedy and sampled, stops, long prompts, both forms. And stories260K tells its story.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

in=$scratch/in.jsonl
base=$scratch/base.jsonl

# run NAME RANKS ARGS...: of $model on $in, with $policies; every run but the first must give the first one's results.
run() {
    local name=$1 ranks=$2
    shift 2
    rm -f "$scratch/$name.jsonl"*
    on "$ranks" run --model "$model" --allow-other-model "${policies[@]}" --input "$in" --output "$scratch/$name.jsonl" \
        --quiet "$@" || fail "$model, $name: code $?"
    [ "$name" = base ] || same "$base" "$scratch/$name.jsonl"
}

# holds FILTER: true of the results as an array
holds() { jq -es "$1" "$base" >/dev/null || { cat "$base"; fail "$model: results do not hold: $1"; }; }

# Every 3rd request is sampled, every 5th has a stop text, every 7th probabilities; lengths differ. Policies change
# faster than KV policies, so that a dozen and more requests have each pair.
vary='[., input_line_number - 1] as [$r, $i] | $r + {
        policy: $policies[$i % ($policies | length)], max_tokens: (1 + $i * 5 % 13),
        kv: ["deferred", "propagate", "verify"][$i / ($policies | length) % 3 | floor]}
    + (if $i % 3 == 0 then {temperature: 0.9, seed: $i, top_p: 0.9, top_k: 40} else {} end)
    + (if $i % 5 == 0 then {stop: ["\n\nQ", "A:"]} else {} end)
    + (if $i % 7 == 0 then {logprobs: true} else {} end)'
as_openai='{custom_id: "o/\(.id)", method: "POST", url: "/v1/completions", body: (del(.id) + {logprobs: 1})}'

# alone FILE: each of these plain requests gives its line of the results also where it is the only one.
alone() {
    local line id
    cp "$in" "$scratch/all.jsonl"
    while read -r line; do
        id=$(jq -c .id <<<"$line")
        printf '%s\n' "$line" >"$in"
        on 0 run --model "$model" --allow-other-model "${policies[@]}" --input "$in" --output "$scratch/alone.jsonl" \
            --quiet --threads 1 || fail "$id alone: code $?"
        jq -c --argjson id "$id" 'select(.id == $id)' "$base" >"$scratch/wanted"
        jq -c . "$scratch/alone.jsonl" | cmp - "$scratch/wanted" || fail "$model: $id alone differs"
        rm "$scratch"/alone.jsonl*
    done <"$1"
    cp "$scratch/all.jsonl" "$in"
}

# ---- the demo ----
model=$demo/model
gap_policy "$scratch/bad.json" 16 0 '[3, 8, 12]'
gap_policy "$scratch/middling.json" 16 0.5 '[2, 4, 6, 8, 10, 12, 14]'
gap_policy "$scratch/short.json" 16 0.5 '[2, 4, 6, 8, 10, 12, 14]' 8
crf_policy "$scratch/crf.json" 16 0.6 '[2, 4, 6, 8, 10, 12, 14]' 8
policies=()
for policy in "$demo/policy/svm.json" "$scratch"/{bad,middling,short,crf}.json; do policies+=(--policy "$policy"); done
names='["svm", "bad", "middling", "short", "crf", "full"]'
demo_requests 3 | jq -c --argjson policies "$names" "$vary" >"$scratch/plain.jsonl"
{
    cat "$scratch/plain.jsonl"
    # prompts of several waves, of which some begin alike: 90 tokens, then 40 of their own
    jq -cn --argjson policies "$names" '[range(90) | . * 37 % 3000 + 300] as $begin |
        range(6) | {id: ., tokens: ($begin + [range(.; 40 + .) | . * 41 % 3000 + 300]), max_tokens: (4 + .),
                    policy: $policies[1 + . % 3], kv: ["deferred", "propagate", "verify"][. / 2 | floor]}'
    sed -n '1~4p' "$scratch/plain.jsonl" | jq -c "$as_openai"
} >"$in"
run base 1 --threads 1
[ "$(wc -l <"$base")" -eq "$(wc -l <"$in")" ] || fail "results are missing"
holds 'all(.[]; .error == null)'
holds 'any(.[]; .finish == "stop") and any(.[]; .finish == "length")'
holds '[.[].exit_layers // [] | .[]] | unique | contains([3, 4, 16])' # bad, middling, full
jq -es --slurpfile in "$in" '[range(length) as $i | select($in[$i].policy == "crf") | .[$i].exit_layers // [] | .[]] |
    any(. < 16) and any(. == 16)' "$base" >/dev/null || fail "the crf lets all leave, or none"
run two 2 --threads 2 --batch 3
run three 3 --threads 1 --batch 1 --plan 1,2,13
run four 4 --threads 1 --batch 64 --wave-tokens 40
run border 3 --threads 1 --plan 3,5,8 --no-prefix-cache # bad's ramps are the last layers of stages
run small 1 --threads 2 --wave-tokens 40 --batch 64 --no-prefix-cache
head -15 "$scratch/plain.jsonl" >"$scratch/each.jsonl"
alone "$scratch/each.jsonl"

# Others come and go in another order: the reverse one.
tac "$scratch/plain.jsonl" >"$in"
grep -v custom_id "$base" | jq -cs '.[:30] | reverse[]' >"$scratch/turned"
on 2 run --model "$model" --allow-other-model "${policies[@]}" --input "$in" --output "$scratch/back.jsonl" --threads 1 \
    --batch 5 --quiet || fail "in reverse: code $?"
jq -c . "$scratch/back.jsonl" | cmp - "$scratch/turned" || fail "the order of the requests shows in results"

# ---- stories260K as llama2.c writes it ----
need_data models/stories260K
model=$DATA/models/stories260K/stories260K.gguf
wanted=$DATA/models/stories260K/expected_stdout_t0_n200.txt
count() { jq -Rs 'rtrimstr("\n")' | "$OFFRAMP" tokenize --model "$model" --bos | jq length; }
more=$(($(count <"$wanted") - $(printf 'Once upon a time' | count)))
echo '{"id": 1, "prompt": "Once upon a time"}' >"$in"
for ranks in 1 2 3; do
    printf 'Once upon a time' >"$scratch/said"
    on "$ranks" run --model "$model" --threads 1 --quiet --prompt "Once upon a time" --max-tokens "$more" \
        >>"$scratch/said" || fail "stories: code $?"
    { cat "$wanted" && echo; } | cmp - "$scratch/said" || fail "the story differs on $ranks ranks"
    on "$ranks" run --model "$model" --threads 1 --quiet --input "$in" --output "$scratch/story" --max-tokens "$more" ||
        fail "stories: code $?"
    { printf 'Once upon a time' && jq -j .text "$scratch/story"; } | cmp - "$wanted" || fail "the story in results differs"
    rm "$scratch"/story*
done

# ---- TinyStories, of two layers ----
need_data models/TinyStories-656K
model=$DATA/models/TinyStories-656K
gap_policy "$scratch/bad.json" 2 0 '[1]'
gap_policy "$scratch/middling.json" 2 0.5 '[1]'
gap_policy "$scratch/short.json" 2 0.5 '[1]' 8
policies=()
for policy in "$scratch"/{bad,middling,short}.json; do policies+=(--policy "$policy"); done
jq -cn '("<|start_story|>", "Once upon a time there was a little ", "The dog and the ", "Lily went to the park. She saw a big ")
    | . as $text | ("girl", "cat", "sun", "tree") | {id: "\($text)\(.)", prompt: ($text + .)}' |
    jq -c --argjson policies '["bad", "middling", "short", "full"]' "$vary | .max_tokens *= 4" >"$in"
run base 1 --threads 1
holds 'all(.[]; .error == null) and ([.[].exit_layers[]] | unique == [1, 2])'
run two 2 --threads 1
run single 2 --threads 2 --batch 1
run three 2 --threads 1 --batch 3 --wave-tokens 40
run many 1 --threads 2 --batch 64 --wave-tokens 40 --no-prefix-cache
head -4 "$in" >"$scratch/each.jsonl"
alone "$scratch/each.jsonl"

# ---- OPT: learned positions, biases ----
need_data models/tiny-opt-random
model=$DATA/models/tiny-opt-random
gap_policy "$scratch/bad.json" 6 0 '[2, 4]'
gap_policy "$scratch/middling.json" 6 0.001 '[1, 2, 3, 4, 5]' 8
policies=(--policy "$scratch/bad.json" --policy "$scratch/middling.json")
jq -cn 'range(9) | {id: ., prompt: ("The answer is " * (1 + .) + "\(.)")}' |
    jq -c --argjson policies '["bad", "middling", "full"]' "$vary" >"$in"
run base 1 --threads 1
holds 'all(.[]; .error == null) and ([.[].exit_layers[]] | unique | contains([2, 6]))'
run two 2 --threads 2 --wave-tokens 40 --batch 3
run uneven 2 --threads 1 --plan 1,5
