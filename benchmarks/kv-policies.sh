#!/usr/bin/env bash
# What early exits do to generated text, for each KV policy: the tables of docs/kv-policies.md, 200 texts of 64 tokens a model.
#   OFFRAMP=build/offramp benchmarks/kv-policies.sh [TINYSTORIES]     TINYSTORIES: a folder with TinyStories-656K
#
# First full depth writes its texts, greedily, the tokens that end one ignored. Then, for each exit policy and each way with
# the keys and values of skipped layers, these very tokens are followed (agreement: the share of positions at which the same
# token was drawn; perplexity of the followed tokens; exit layers), and the prompts are continued freely (whole texts that
# are full depth's, and tokens before the first that is not). Fails unless verify agrees everywhere.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp} demo=$here/../configs/demo
export OFFRAMP=$offramp
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

run() { "$offramp" run "$@" --max-tokens 64 --ignore-eos --quiet; }

# measure NAME FULL RESULTS: the rows of an exit policy. An id is [how, "follow" or "free", which text].
measure() {
    jq -rn --arg policy "$1" --argjson layers "$(jq -s 'map(.exit_layers[]) | max' "$2")" --slurpfile full "$2" --slurpfile results "$3" '
        def mean: add / length;
        ("deferred", "propagate", "verify") as $how | [$results[] | select(.id[0] == $how)] |
        [.[] | select(.id[1] == "follow") | . + {wanted: $full[.id[2]].tokens}] as $followed |
        [.[] | select(.id[1] == "free") | .wanted = $full[.id[2]].tokens |
            first(range(64) as $i | select(.tokens[$i] != .wanted[$i]) | $i) // 64] as $equal |
        [$followed[] | .exit_layers[]] as $exits |
        [$policy, $how,
         ([$followed[] | range(64) as $i | if .tokens[$i] == .wanted[$i] then 1 else 0 end] | mean),
         ([$followed[].logprobs[].logprob] | -mean | exp), ($exits | mean), 100 - 100 / $layers * ($exits | mean),
         ([$equal[] | if . == 64 then 1 else 0 end] | mean), ($equal | mean) / 64] | @tsv' |
        awk -F'\t' '{ printf "| %s | %s | %.4f | %.3f | %.2f | %.1f %% | %.3f | %.3f |\n", $1, $2, $3, $4, $5, $6, $7, $8
            if ($2 == "verify" && ($3 != 1 || $7 != 1)) wrong = 1 }
            END { exit wrong }' || { echo "verify is not full depth's text" >&2; exit 1; }
}

# compare MODEL PROMPTS NAME=POLICY...: a table
compare() {
    local model=$1 prompts=$2 policy dir
    shift 2
    dir=$(mktemp -d -p "$scratch")
    jq -nc '[inputs.prompt] | to_entries[] | {id: .key, prompt: .value}' "$prompts" >"$dir/prompts"
    run --model "$model" --input "$dir/prompts" --output "$dir/full" --logprobs
    jq -nc --slurpfile prompts "$dir/prompts" --slurpfile full "$dir/full" '
        ("deferred", "propagate", "verify") as $how | range($full | length) as $i | {kv: $how, prompt: $prompts[$i].prompt} |
        (. + {id: [$how, "follow", $i], follow: $full[$i].tokens}), (. + {id: [$how, "free", $i]})' >"$dir/requests"
    jq -rs '"Full depth: perplexity of its own text \([.[].logprobs[].logprob] | -add / length | exp * 1000 | round / 1000), \(length) texts.",
        "", "| exit policy | KV policy | agreement | perplexity | exit layer | layers saved | same texts | same until |",
        "|---|---|---:|---:|---:|---:|---:|---:|"' "$dir/full"
    for policy in "$@"; do
        run --model "$model" --policy "${policy#*=}" --allow-other-model --input "$dir/requests" --output "$dir/results.${policy%%=*}"
        measure "${policy%%=*}" "$dir/full" "$dir/results.${policy%%=*}"
    done
}

"$demo/prompts.sh" test 20 >"$scratch/demo"
"$demo/train-generation.sh" "$scratch/strict" 0.99 >/dev/null
printf '**The demo model** (16 layers). '
compare "$demo/model" "$scratch/demo" "svm=$demo/policy/svm.json" "generation at 0.99=$scratch/strict/generation.json" \
    "generation=$demo/policy/generation.json"
[ $# -gt 0 ] || exit 0

jq -nc '("Lily", "Tom", "Sue", "Ben", "Mia", "Max", "Anna", "Tim", "Lucy", "Sam", "a dog", "a cat", "a bird", "a frog",
    "a boy", "a girl", "a king", "a bear", "a fish", "a mouse") as $who | ("had a red ball.", "went to the park",
    "was very sad", "found a box", "wanted to help", "saw a big tree", "liked to play", "was hungry", "made a cake",
    "met a friend") as $what | {prompt: "Once upon a time, \($who) \($what)"}' >"$scratch/stories"
for threshold in 0.9 0.5 0.1; do
    jq -n --argjson threshold "$threshold" '{format: "offramp-policy-1", classifier: "gap", features: ["gap"], layers: 2,
        ramps: [1], threshold: $threshold, fingerprint: "0000000000000000"}' >"$scratch/gap-$threshold.json"
done
printf '\n**TinyStories-656K** (2 layers, a ramp after the first). '
compare "$1" "$scratch/stories" "gap ≥ 0.9=$scratch/gap-0.9.json" "gap ≥ 0.5=$scratch/gap-0.5.json" "gap ≥ 0.1=$scratch/gap-0.1.json"
