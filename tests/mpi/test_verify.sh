#!/usr/bin/env bash
# With --kv verify, tokens, text and end of 300 continuations are those of full depth, token for token,
# under a good policy, a middling one, one with a shortlist, and a bad one whose drafts are mostly wrong; greedy and
# sampled alike. Full depth is one run without policy. (Of 1,000 with ROWS 0, of 50 under sanitizers.)
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

in=$scratch/in.jsonl n=300
[ "$ROWS" -gt 0 ] || n=1000
sampled && n=50
demo_requests $((n < 1000 ? n / 10 : 126)) | jq -c '. + (input_line_number as $i | {max_tokens: (7 + $i % 6)}
    + if $i % 4 == 0 then {temperature: 1, top_p: 0.95, seed: $i} else {} end)' | head -"$n" >"$in"
[ "$(wc -l <"$in")" -eq "$n" ] || fail "the demo has too few instances"
gap_policy "$scratch/bad.json" 16 0 '[2, 5]'
gap_policy "$scratch/middling.json" 16 0.5 '[2, 4, 6, 8, 10, 12, 14]'
gap_policy "$scratch/short.json" 16 0.5 '[2, 4, 6, 8, 10, 12, 14]' 8

# continue_all NAME RANKS ARGS...: results in NAME.jsonl, what must be equal in NAME
continue_all() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" run --model "$demo/model" --allow-other-model --input "$in" --output "$scratch/$name.jsonl" "$@" \
        >"$scratch/$name.said" || fail "$name: code $?"
    jq -c '{id, tokens, text, finish, error}' "$scratch/$name.jsonl" >"$scratch/$name"
}

continue_all full 1
jq -es --argjson n "$n" 'length == $n and all(.[]; .error == null and (.tokens | length) > 0)' "$scratch/full" >/dev/null ||
    fail "full depth has not continued all"
while read -r name ranks policy; do
    continue_all "$name" "$ranks" --kv verify --policy "$policy"
    same "$scratch/full" "$scratch/$name"
    jq -es '[.[].exit_layers[]] | (add / length) < 15.9' "$scratch/$name.jsonl" >/dev/null ||
        fail "$name: no draft was confirmed"
    grep '^drafts:' "$scratch/$name.said" || fail "$name: no drafts"
done <<END
good 2 $demo/policy/svm.json
bad 1 $scratch/bad.json
middling 1 $scratch/middling.json
short 3 $scratch/short.json
END
grep -q '^drafts: .*, replaced [1-9]' "$scratch/bad.said" || fail "the bad policy's drafts were all right"
