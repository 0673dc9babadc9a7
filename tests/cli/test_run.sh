#!/usr/bin/env bash
# offramp run: both forms of requests, refusals, one prompt on the screen, output that is there, exit codes. That results
# are the same bytes in any company is tested in mpi/test_generate.sh, stop and resume in mpi/test_run_resume.sh.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

model=$demo/model
run=(run --model "$model" --threads 1 --quiet)

# ---- usage and refused files ----
in=$scratch/in.jsonl
out=$scratch/out.jsonl
echo '{"id": 1, "prompt": "a"}' >"$in"
expect 2 'expected --input' 1 "${run[@]}"
expect 2 'expected --output' 1 "${run[@]}" --input "$in"
expect 2 'expected a prompt or files' 1 "${run[@]}" --prompt x --input "$in"
expect 2 'expected a prompt or files' 1 "${run[@]}" --prompt x --resume
expect 2 'kv is "exact"' 2 "${run[@]}" --prompt x --kv exact
expect 2 'stop is empty' 1 "${run[@]}" --prompt x --stop ''
expect 2 'whole number' 1 "${run[@]}" --prompt x --max-tokens 0
expect 2 'number from' 1 "${run[@]}" --prompt x --top-p 0
expect 2 'two policies of one name' 2 "${run[@]}" --prompt x --policy "$demo/policy/svm.json" --policy "$demo/policy/svm.json"
gap_policy "$scratch/full.json" 16 0.5 '[8]'
for command in run eval; do # results of both name policies
    args=(--prompt x)
    [ "$command" = run ] || args=(--task "$demo/tasks/next_item.json" --output "$scratch/none")
    expect 2 'reserved policy name' 2 "$command" --model "$model" "${args[@]}" --allow-other-model --policy "$scratch/full.json"
done
expect 3 'cannot be' 2 "${run[@]}" --input "$scratch/nowhere" --output "$out"
expect 3 'prompt refused\|prompt has 0\|UTF-8' 1 "${run[@]}" --prompt $'\xff'

# refused PART TEXT: a file with this text is refused as a whole, on 1 and 2 ranks, and leaves nothing
refused() {
    printf '%s\n' "$2" >"$in"
    expect 3 "$1" 1 "${run[@]}" --input "$in" --output "$out"
    expect 3 "$1" 2 "${run[@]}" --input "$in" --output "$out"
    if [ -e "$out" ] || [ -e "$out.journal" ]; then fail "a refused file of requests left output"; fi
}
refused 'in.jsonl:2): found no object' $'{"id": 1, "prompt": "a"}\n7'
refused 'in.jsonl:1): it has no "id"' '{"prompt": "a"}'
refused 'in.jsonl:3): line 1 has "a" too' $'{"id": "a", "prompt": "a"}\n\n{"id": "a", "prompt": "b"}'
refused 'the file has none' ''

# ---- both forms ----
cat >"$in" <<'END'
{"id": "plain", "prompt": "red, green, blue,", "max_tokens": 12}
{"id": 2, "prompt": "red, green, blue,", "max_tokens": 12, "temperature": 0.9, "top_p": 0.95, "seed": 4, "logprobs": true}
{"id": [3], "tokens": [1, 261, 2541], "max_tokens": 12, "top_k": 5, "temperature": 1.5, "kv": "verify"}
{"id": 4, "prompt": "x", "max_token": 3}
{"id": 5, "tokens": []}
{"id": 6, "tokens": [1, 99999]}
{"id": 7, "prompt": "x", "policy": "nowhere"}
{"id": 8, "prompt": "x", "temperature": -1}
{"id": 9, "prompt": "x", "policy": "full", "max_tokens": 3}
{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"model": "m", "prompt": "red, green, blue,", "max_tokens": 12, "temperature": 0, "logprobs": 2}}
{"custom_id": "b", "method": "POST", "url": "/v1/completions", "body": {"model": "m", "prompt": [1, 261, 2541], "n": 2}}
{"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}
END
jq -cn '{id: "long", tokens: [range(2048) | 261]}' >>"$in"
policy=(--policy "$demo/policy/svm.json")
on 1 "${run[@]}" "${policy[@]}" --input "$in" --output "$out" >"$scratch/said" || fail "run: code $?"
[ ! -s "$scratch/said" ] || fail "--quiet is not quiet"
[ "$(wc -l <"$out")" -eq "$(wc -l <"$in")" ] || fail "results are missing"

# holds FILTER: true of the results as an array
holds() { jq -es "$1" "$out" >/dev/null || { cat "$out"; fail "results do not hold: $1"; }; }
holds '[.[] | .id // .custom_id] == ["plain", 2, [3], 4, 5, 6, 7, 8, 9, "batch_req_10", "batch_req_11", "batch_req_12", "long"]'
holds '.[0] | keys_unsorted == ["id", "tokens", "text", "exit_layers", "top_probs", "gaps", "finish"]'
holds '.[1] | keys_unsorted == ["id", "tokens", "text", "exit_layers", "top_probs", "gaps", "logprobs", "finish"]'
holds 'all(.[3,4,5,6,7,12]; keys_unsorted == ["id", "error"])'
holds 'all(.[0,1,2,8]; (.tokens | length) as $n | $n > 0 and all(.exit_layers, .top_probs, .gaps; length == $n))'
holds 'all(.[0,1,2,8]; .finish != "length" or (.tokens | length) <= 12)'
holds 'all(.[8].exit_layers[]; . == 16)'
holds '.[1].logprobs | all(.[]; (.top | length) == 5 and .logprob <= .top[0][1] + 1e-4)'
holds 'all(.[1].logprobs[].top; . == sort_by(-.[1]))'
holds '[.[1].logprobs[].token] == .[1].tokens'
holds '.[3].error | contains("max_token") and (contains("in.jsonl") | not)'
holds '.[0].text == .[9].response.body.choices[0].text' # one form or the other
holds '.[9] | .custom_id == "a" and .error == null and .response.body.usage.completion_tokens == (.response.body.choices[0].logprobs.tokens | length)'
holds 'all(.[10,11]; .response == null and .error.code == "invalid_request")'

# max_tokens is cut to what the context leaves.
jq -cn '{id: 1, tokens: [range(2046) | 261], max_tokens: 9}' >"$scratch/nearly"
on 1 "${run[@]}" --ignore-eos --input "$scratch/nearly" --output "$scratch/cut" || fail "run: code $?"
jq -e '(.tokens | length) == 2 and .finish == "length"' "$scratch/cut" >/dev/null || fail "max_tokens is not cut"

# Any number of ranks, in flight, rows a wave, with and without shared beginnings.
for case in "2 --batch 1" "2 --wave-tokens 64" "3 --no-prefix-cache" "4 --batch 3 --wave-tokens 16"; do
    read -r ranks more <<<"$case"
    rm -f "$scratch"/other*
    # shellcheck disable=SC2086
    on "$ranks" "${run[@]}" "${policy[@]}" --input "$in" --output "$scratch/other" $more || fail "run ($case): code $?"
    same "$out" "$scratch/other"
done

# ---- output that is there, another run's ----
expect 3 'go on with it by --resume' 2 "${run[@]}" "${policy[@]}" --input "$in" --output "$out"
expect 3 "another run's journal" 2 "${run[@]}" --input "$in" --output "$out" --resume
expect 3 "another run's journal" 2 "${run[@]}" "${policy[@]}" --input "$in" --output "$out" --resume --seed 9
cp "$out" "$scratch/first"
on 2 "${run[@]}" "${policy[@]}" --input "$in" --output "$out" --resume || fail "resume of a finished run: code $?"
same "$scratch/first" "$out"
rm "$out.journal"
expect 3 'no journal' 1 "${run[@]}" "${policy[@]}" --input "$in" --output "$out" --resume

# ---- nothing ends a text ----
requests=60
jq -cn --argjson n "$requests" 'range($n) | {id: ., prompt: ("count: " * 8 + "\(.), "), temperature: 1, seed: ., max_tokens: 40}' >"$in"
on 1 "${run[@]}" "${policy[@]}" --input "$in" --ignore-eos --batch 4 --output "$scratch/whole" || fail "--ignore-eos: code $?"
jq -es 'all(.[]; .finish == "length" and (.tokens | length) == 40)' "$scratch/whole" >/dev/null || fail "--ignore-eos"

# ---- figures ----
on 2 run --model "$model" --threads 1 "${policy[@]}" --input "$in" --output "$scratch/loud" --kv verify --max-tokens 8 \
    >"$scratch/said" 2>"$scratch/err" || fail "run: code $?"
for part in '^requests  refused    tokens' "^ *$requests  *0  *$((40 * requests)) " '^drafts: [0-9]*, replaced' '^    1  9..16' \
    "^results: $scratch/loud"; do
    grep -q "$part" "$scratch/said" || { cat "$scratch/said"; fail "run does not say $part"; }
done

# ---- following a continuation ----
# What full depth drew is drawn again when it is followed, with the same probabilities, also under verify where a draft was
# replaced (a token that leaves early under deferred, and does not there); all that at any number of ranks.
jq -cn '{id: 1, prompt: "Q: red, green, blue\nA:", policy: "full", max_tokens: 48, logprobs: true}' >"$in"
on 1 "${run[@]}" "${policy[@]}" --input "$in" --output "$scratch/drawn" --ignore-eos || fail "run: code $?"
jq -c '{prompt: "Q: red, green, blue\nA:", follow: .tokens} as $ids | $ids + ({id: "full", policy: "full"},
    {id: "deferred"}, {id: "propagate", kv: "propagate"}, {id: "verify", kv: "verify"}),
    {id: "text", prompt: "red, green, blue,", follow: " yellow, black", policy: "full"},
    {id: "more", prompt: "x", follow: [261], max_tokens: 2}' "$scratch/drawn" >"$in"
for ranks in 1 3; do
    on "$ranks" "${run[@]}" "${policy[@]}" --input "$in" --output "$scratch/followed.$ranks" --stop a || fail "follow: code $?"
done
same "$scratch/followed.1" "$scratch/followed.3"
jq -es --slurpfile drawn "$scratch/drawn" '
    all(.[:4][]; (has("text") | not) and .finish == "length" and [.logprobs[].token] == $drawn[0].tokens) and
    all(.[0, 3]; .tokens == $drawn[0].tokens) and [.[0].logprobs[].logprob] == [$drawn[0].logprobs[].logprob] and
    (.[1] as $drafts | .[3] as $verify | [range(48) | select($verify.exit_layers[.] == 16)] as $whole |
        any($whole[]; $drafts.exit_layers[.] < 16) and
        all($whole[]; $verify.logprobs[.].logprob == $drawn[0].logprobs[.].logprob)) and
    (.[4].logprobs | length > 1) and (.[5] | has("error"))' "$scratch/followed.1" >/dev/null ||
    { cat "$scratch/drawn" "$scratch/followed.1"; fail "a continuation was not followed"; }

# ---- a prompt on the screen ----
echo '{"id": 1, "prompt": "red, green, blue,", "stop": "zzz"}' >"$in"
prompt=(run --model "$model" --threads 1 --prompt "red, green, blue," --stop zzz --max-tokens 24)
on 1 "${run[@]}" --input "$in" --output "$scratch/text" --max-tokens 24 || fail "run: code $?"
jq -r .text "$scratch/text" >"$scratch/expected"
for ranks in 0 2; do
    on "$ranks" "${prompt[@]}" >"$scratch/said" 2>"$scratch/err" || fail "--prompt: code $?"
    same "$scratch/expected" "$scratch/said"
    grep -q '^offramp: .*tokens/s, mean exit layer 16.0$' "$scratch/err" || fail "--prompt says nothing of itself"
    on "$ranks" "${prompt[@]}" --quiet >"$scratch/said" 2>"$scratch/err" || fail "--prompt: code $?"
    same "$scratch/expected" "$scratch/said"
    [ ! -s "$scratch/err" ] || fail "--prompt --quiet is not quiet"
done
