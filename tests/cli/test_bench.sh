#!/usr/bin/env bash
# offramp bench: a row per test, batch and number of threads, in every format and on several ranks; exits by a curve; and
# what is refused. How fast it is, is nobody's business here.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

shape=$scratch/tiny.json
cat >"$shape" <<'END'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
 "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 256, "offramp_shape": {"dtype": "f32"}}
END

# bench RANKS ARGS...: on standard output, which is also in $scratch/rows
bench() {
    local ranks=$1
    shift
    on "$ranks" bench --shape "$shape" -r 2 "$@" >"$scratch/rows" || fail "bench $* ($ranks ranks): code $?"
}

# ---- formats: the same rows in each, in the order of threads, batches, tests ----
names='pp8,pp16,pp8 b3,pp16 b3'
for ranks in 0 1 2; do
    bench "$ranks" -p 8,16 -b 1,3 -t 1,2 -o jsonl
    [ "$(jq -r .test "$scratch/rows" | paste -sd,)" = "$names,$names" ] || fail "tests: $(cat "$scratch/rows")"
    [ "$(jq -r .threads "$scratch/rows" | paste -sd,)" = 1,1,1,1,2,2,2,2 ] || fail "threads: $(cat "$scratch/rows")"
    jq -se --argjson ranks $((ranks ? ranks : 1)) 'all(.tokens_per_second > 0 and .median > 0 and .deviation >= 0 and
        .ranks == $ranks and (.plan | length) == $ranks and (.plan | add) == 4 and .exits == null and .ratio == null and
        (.peaks | length) == $ranks and all(.peaks[]; . > 1e6 and . < 1e9) and .gflops > 0 and .ramps >= 0 and .ramps < 1 and
        .model == "tiny.json" and .type == "f32" and .share_layers == false and .params == 135744)' \
        "$scratch/rows" >/dev/null || fail "jsonl: $(cat "$scratch/rows")"
done
bench 2 -p 8,16 -b 1,3 -t 1 -o json
[ "$(jq -r '.[].test' "$scratch/rows" | paste -sd,)" = "$names" ] || fail "json: $(cat "$scratch/rows")"
bench 2 -p 8,16 -b 1,3 -t 1 -o csv
[ "$(sed 's/"[^"]*"/text/g' "$scratch/rows" | awk -F, '{print NF}' | sort -u)" = 21 ] || fail "csv: $(cat "$scratch/rows")"
[ "$(grep -c '^"tiny.json",f32,false,542976,135744,2,1,1,"2,2","pp[^,]*",,[0-9.]*,[0-9.]*,[0-9.]*,[0-9.]*,,[0-9.]*,[0-9.e-]*,"[0-9]*,[0-9]*",,$' "$scratch/rows")" -eq 4 ] ||
    fail "csv: $(cat "$scratch/rows")"
bench 2 -p 8,16 -b 1,3 -t 1
[ "$(wc -l <"$scratch/rows")" -eq 6 ] || fail "md: $(cat "$scratch/rows")"
[ "$(head -1 "$scratch/rows")" = '| model | size | params | ranks | threads | test | t/s | prompts/s |' ] || fail "md has no head"
[ "$(awk -F'|' '{print NF}' "$scratch/rows" | sort -u)" = 10 ] || fail "md: $(cat "$scratch/rows")"
sed -n 3p "$scratch/rows" |
    grep -qE '^\| tiny\.json f32 \| 530 KiB \| 0\.14 M \| 2 \| 1 \| pp8 \| [0-9.]+ ± [0-9.]+ \| [0-9.]+ \|$' ||
    fail "md: $(cat "$scratch/rows")"
bench 2 -p 8 -n 4 -t 1 # no batch of prompts: nothing that t/s would not say
[ "$(head -1 "$scratch/rows")" = '| model | size | params | ranks | threads | test | t/s |' ] || fail "md: $(cat "$scratch/rows")"
# the rate of prompts is that of tokens by their length; of continuations there is none
bench 2 -p 8,16 -n 4 -b 3 -t 1 -o jsonl
jq -se 'def near($x): (. / $x - 1 | fabs) < 1e-6;
    (.[0] as $r | $r.prompts_per_second * 8 | near($r.tokens_per_second)) and
    (.[1] as $r | $r.prompts_per_second * 16 | near($r.tokens_per_second)) and .[2].prompts_per_second == null' \
    "$scratch/rows" >/dev/null || fail "prompts: $(cat "$scratch/rows")"

# ---- models: other layers and types, shared ones, a folder ----
bench 2 -p 8 -t 1 --dtype q4_0 --layers 6 --share-layers -o jsonl
jq -e '.type == "q4_0" and .share_layers and .plan == [3, 3] and (.model | endswith(",share_layers"))' \
    "$scratch/rows" >/dev/null || fail "made up: $(cat "$scratch/rows")"
bench 2 -p 8 -t 1 --share-layers
grep -q 'layers shared' "$scratch/rows" || fail "md does not say that layers are shared"
on 2 bench --model "$demo/model" -p 8 -t 1 -r 1 --plan 3,13 -o jsonl >"$scratch/rows" || fail "demo: code $?"
jq -e '.type == "bf16" and .plan == [3, 13] and .params == 4198528' "$scratch/rows" >/dev/null || fail "demo"
[ "$(on 2 bench --shape "$shape" -p 8 -t 1 -r 1 --verbose 2>&1 | grep -c 'pp8, stage [01], layers')" -eq 2 ] ||
    fail "--verbose says nothing of the stages"
echo '{"shape": "tiny.json", "p": "8", "t": 1, "r": 1, "o": "jsonl"}' >"$scratch/bench.json"
on 0 bench --config "$scratch/bench.json" | jq -e '.test == "pp8"' >/dev/null || fail "--config"

# ---- a shape is a model for the other commands, too; a tokenizer lies beside it ----
on 0 inspect "$shape,dtype=q8_0,share_layers" --json >"$scratch/rows" || fail "inspect: code $?"
jq -e '.format == "shape" and .share_layers and .n_layers == 4 and (.tensors | length) == 39' "$scratch/rows" >/dev/null ||
    fail "inspect: $(cat "$scratch/rows")"
on 0 plan --model "$shape" --ranks 4 >/dev/null || fail "plan: code $?"
mkdir "$scratch/beside"
cp "$demo"/model/tokenizer* "$scratch/beside"
sed 's/"vocab_size": 96/"vocab_size": 4096/' "$shape" >"$scratch/beside/tiny.json"
echo '{"id": 1, "prompt": "one two"}' >"$scratch/in.jsonl"
for ranks in 1 2; do
    on "$ranks" run --model "$scratch/beside/tiny.json,layers=3" --input "$scratch/in.jsonl" --output "$scratch/out.$ranks" \
        --max-tokens 3 --quiet || fail "run: code $?"
    jq -e '.exit_layers == [3, 3, 3]' "$scratch/out.$ranks" >/dev/null || fail "run: $(cat "$scratch/out.$ranks")"
done
same "$scratch/out.1" "$scratch/out.2"
expect 3 'tokenizer not found' 0 run --model "$shape" --input "$scratch/in.jsonl" --output "$scratch/out"

# ---- ramps: everybody is checked there, by the classifier, and goes on; the work is that of the heads besides ----
for ranks in 1 2; do
    bench "$ranks" -p 8 -n 3 -b 2 -t 1 --ramps 1,3 -o jsonl
    jq -se 'all(.ramps > 0 and .ramps < 1 and .exits == null)' "$scratch/rows" >/dev/null || fail "ramps: $(cat "$scratch/rows")"
done
bench 2 -p 8 -b 2 -t 1 --ramps 1
grep -q '| t/s | prompts/s | ramps |$' "$scratch/rows" || fail "md: $(cat "$scratch/rows")"
sed -n 3p "$scratch/rows" | grep -qE ' [0-9.]+ \| [0-9.]+ % \|$' || fail "md: $(cat "$scratch/rows")"
# ranks with two ramps and one have so many output projections more to do for each of two prompts
work() { # RANKS OPTION...: multiply-adds of each stage
    on "$1" bench --shape "$shape" -p 8 -b 2 -t 1 -r 1 --verbose "${@:2}" 2>&1 >/dev/null |
        sed -n 's/.*, stage .*; \(.*\) multiply-adds.*/\1/p'
}
paste <(work 2) <(work 2 --ramps 1,2,3) | awk -v width=64 -v vocabulary=96 '
    { heads = ($2 - $1) / (2 * width * vocabulary) - (NR == 1 ? 2 : 1); wrong += heads < -0.2 || heads > 0.2 }
    END { exit wrong || NR != 2 }' || fail "the heads of ramps are not in the work: $(work 2) $(work 2 --ramps 1,2,3)"
on 2 bench --model "$demo/model" -p 20 -t 1 -r 1 --policy "$demo/policy/svm.json" -o jsonl >"$scratch/rows" ||
    fail "ramps of a policy: code $?"
jq -e '.ramps > 0' "$scratch/rows" >/dev/null || fail "ramps of a policy: $(cat "$scratch/rows")"
bench 2 -p 8 -t 1 --policy "$demo/policy/svm.json" --ramps 2 -o jsonl # on a model of another depth
expect 3 'it is for a model of 16 layers' 2 bench --shape "$shape" -p 8 -t 1 --policy "$demo/policy/svm.json"
expect 2 'after layer 4, expected 1..3' 2 bench --shape "$shape" -p 8 --ramps 2,4
expect 2 '--ramps is "x"' 0 bench --shape "$shape" -p 8 --ramps x
expect 2 'found --ramps and --survivors' 0 bench --shape "$shape" --ramps 1 --survivors "$shape"

# ---- continuations, and exits by a curve: the work saved is the curve's, at any number of ranks ----
echo '[1, 1, 0.5, 0.25, 0]' >"$scratch/curve.json"
bench 2 -p 8 -n 4 -b 3 -t 1 -o jsonl
[ "$(jq -r .test "$scratch/rows" | paste -sd,)" = 'pp8 b3,tg4 b3' ] || fail "tests: $(cat "$scratch/rows")"
for ranks in 1 2 4; do
    bench "$ranks" -n 40 -b 5 -t 1 --survivors "$scratch/curve.json" -o jsonl
    [ "$(jq -c '[.test, .exits]' "$scratch/rows" | paste -sd,)" = '["tg40 b5",null],["tg40 b5","propagate"]' ] ||
        fail "survivors: $(cat "$scratch/rows")"
    jq -r 'select(.exits) | .work_saved' "$scratch/rows" >>"$scratch/saved"
    jq -se '.[1].ratio > 0 and .[0].ratio == null' "$scratch/rows" >/dev/null || fail "ratio: $(cat "$scratch/rows")"
done
[ "$(sort -u "$scratch/saved" | wc -l)" -eq 1 ] || fail "the work saved depends on the ranks: $(cat "$scratch/saved")"
# 1.25 of 4 layers are skipped; their keys and values, and the output projections, are computed
awk '{exit !($1 > 0.2 && $1 < 0.3125)}' "$scratch/saved" || fail "work saved: $(cat "$scratch/saved")"
bench 2 -n 40 -b 5 -t 1 --survivors "$scratch/curve.json" --plan 2,2 --exit-plan 1,3 -o jsonl
[ "$(jq -c .plan "$scratch/rows" | paste -sd' ')" = '[2,2] [1,3]' ] || fail "plans: $(cat "$scratch/rows")"
jq -r 'select(.exits) | .work_saved' "$scratch/rows" >>"$scratch/saved"
[ "$(sort -u "$scratch/saved" | wc -l)" -eq 1 ] || fail "the work saved depends on the plan: $(cat "$scratch/saved")"
echo '[1, 1, 1, 1, 0]' >"$scratch/full.json"
for kv in deferred propagate verify; do # nobody leaves early: the same work
    bench 2 -n 8 -b 2 -t 1 --survivors "$scratch/full.json" --kv $kv -o jsonl
    jq -se --arg kv $kv '.[1].work_saved == 0 and .[1].exits == $kv' "$scratch/rows" >/dev/null ||
        fail "full depth, $kv: $(cat "$scratch/rows")"
done
bench 2 -n 8 -b 2 -t 1 --survivors "$scratch/curve.json"
[ "$(awk -F'|' '{print NF}' "$scratch/rows" | sort -u)" = 12 ] || fail "md: $(cat "$scratch/rows")"

# prompts leave by it, too: of 4 layers 1.25 are skipped, and everybody has one output projection
rm "$scratch/saved"
for ranks in 1 2 4; do
    bench "$ranks" -p 12 -b 64 -t 1 --survivors "$scratch/curve.json" -o jsonl
    jq -se '.[0].exits == null and .[1].exits and .[1].test == "pp12 b64" and .[1].prompts_per_second > 0' "$scratch/rows" \
        >/dev/null || fail "prompts: $(cat "$scratch/rows")"
    jq -r 'select(.exits) | .work_saved' "$scratch/rows" >>"$scratch/saved"
done
[ "$(sort -u "$scratch/saved" | wc -l)" -eq 1 ] || fail "the work saved depends on the ranks: $(cat "$scratch/saved")"
awk '{exit !($1 > 0.25 && $1 < 0.36)}' "$scratch/saved" || fail "work saved of prompts: $(cat "$scratch/saved")"

# ---- --plan auto: a plan for each test and side, and what it promised ----
bench 2 -p 8 -n 4 -b 3 -t 1 --plan auto -o jsonl
jq -se 'length == 2 and all(.predicted > 0 and (.plan | add) == 4 and (.plan | min) > 0)' "$scratch/rows" >/dev/null ||
    fail "plan auto: $(cat "$scratch/rows")"
bench 2 -p 64 -b 64 -t 1 --plan auto --survivors "$scratch/curve.json" -o jsonl
jq -se 'length == 2 and all(.predicted > 0) and .[0].plan[0] >= .[1].plan[0]' "$scratch/rows" >/dev/null ||
    fail "plan auto: $(cat "$scratch/rows")"
bench 2 -p 8 -b 3 -t 1 --plan auto
[ "$(head -1 "$scratch/rows" | cut -d'|' -f8-)" = ' t/s | prompts/s | predicted |' ] || fail "md: $(cat "$scratch/rows")"

# by a trace: an oracle saves no less than the policy
on 0 trace --model "$demo/model" --task "$demo/tasks/color_v_animal_3.json" --limit 8 --output "$scratch/trace.csv" --quiet ||
    fail "trace: code $?"
saved=()
for policy in '' "$demo/policy/svm.json"; do
    on 2 bench --model "$demo/model" -n 6 -b 2 -t 1 -r 1 --survivors "$scratch/trace.csv" ${policy:+--policy "$policy"} \
        -o jsonl >"$scratch/rows" || fail "by a trace: code $?"
    saved+=("$(jq 'select(.exits) | .work_saved' "$scratch/rows")")
done
awk -v oracle="${saved[0]}" -v policy="${saved[1]}" 'BEGIN {exit !(oracle >= policy && policy > 0)}' ||
    fail "by a trace: an oracle saves ${saved[0]}, the policy ${saved[1]}"
expect 2 'found a policy for a curve that is given' 2 bench --shape "$shape" --survivors "$scratch/curve.json" \
    --policy "$demo/policy/svm.json"
expect 3 'the trace is of 16 layers, expected 4' 2 bench --shape "$shape" --survivors "$scratch/trace.csv"

# ---- the scripts that measure with it ----
TYPES="f32 q8_0" OPTIONS="-p 8 -n 2" OFFRAMP=$OFFRAMP "$SOURCE/benchmarks/memory.sh" "$shape" "1 3" >"$scratch/rows" ||
    fail "memory.sh: code $?"
[ "$(grep -cE '^\| (f32|q8_0) \| [13] \| [012] \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \|$' "$scratch/rows")" -eq 8 ] ||
    fail "memory.sh: $(cat "$scratch/rows")"
if [ -n "${LLAMA_CPP:-}" ]; then
    sed 's/"vocab_size": 96/"vocab_size": 512/' "$shape" >"$scratch/larger.json" # bytes are tokens there
    SHAPE=$scratch/larger.json,layers=2 TYPES="bf16 q8_0" THREADS=1 RUNS=2 PROMPT=16 TOKENS=2 BATCHES="2 4" PROMPTS=3 LENGTH=8 \
        SCORING=3 "$SOURCE/benchmarks/llama.sh" >"$scratch/rows" || fail "llama.sh: code $?"
    [ "$(cut -d'|' -f2-4 "$scratch/rows" | tail -n +3 | tr -d ' ' | paste -sd,)" = "$(for type in bf16 q8_0; do
        printf '%s,' "$type|1|pp16" "$type|1|tg2" "$type|1|tg2b2" "$type|1|tg2b4" "$type|1|pp8b3"
    done | sed 's/,$//')" ] || fail "llama.sh: $(cat "$scratch/rows")"
else
    echo "without LLAMA_CPP=dir: benchmarks/llama.sh is not run"
fi

# ---- what is refused ----
expect 2 'expected either --model, or --shape' 0 bench -p 8
expect 2 'expected either --model, or --shape' 0 bench --model "$demo/model" --dtype f32
expect 2 '--dtype is "int4"' 0 bench --shape "$shape" --dtype int4
expect 2 '-p is "8x", expected whole numbers' 2 bench --shape "$shape" -p 8x
expect 2 '-n is "0"' 0 bench --shape "$shape" -n 0
expect 2 '-b is "-1"' 0 bench --shape "$shape" -b -1
expect 2 '-t is "4097"' 0 bench --shape "$shape" -t 1,4097
expect 2 '-r is "0"' 0 bench --shape "$shape" -r 0
expect 2 '-o is "xml", expected md, csv, json or jsonl' 0 bench --shape "$shape" -o xml
expect 2 'found -x, no such option' 0 bench --shape "$shape" -x 1
expect 2 'found -p, expected a value' 0 bench --shape "$shape" -p
expect 2 'expected --survivors with them' 0 bench --shape "$shape" --kv deferred
expect 2 '--kv is "lazy"' 0 bench --shape "$shape" --survivors "$shape" --kv lazy
expect 2 'more ranks than layers' 5 bench --shape "$shape" -p 8
expect 3 'nowhere.json' 2 bench --shape "$scratch/nowhere.json" -p 8
expect 3 'q4_k needs a multiple of 256' 2 bench --shape "$shape" --dtype q4_k -p 8
echo '{"model_type": "llama"}' >"$scratch/bad.json"
expect 3 '"offramp_shape"' 2 bench --shape "$scratch/bad.json" -p 8
echo '[1, 0.5, 0]' >"$scratch/curve.json"
expect 3 'found 3 shares, expected an array of 5' 2 bench --shape "$shape" --survivors "$scratch/curve.json"
expect 3 'nowhere.csv' 2 bench --shape "$shape" --survivors "$scratch/nowhere.csv"
expect 3 'test too long (pp512): it has sequences of 512 tokens, the model.s context and the memory allow 256' 2 bench --shape "$shape" -p 512
