#!/usr/bin/env bash
# offramp plan: layers and memory per rank, and what is refused. A folder with Llama-2-70B's shape whose shards are
# holes in the file system (138 GB of nothing) is inspected and planned without reading or mapping any of it; a job that
# it would not fit is refused before it loads.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# plan ARGS...: on standard output, which is also in $scratch/plan
plan() {
    "$OFFRAMP" plan "$@" >"$scratch/plan" || fail "plan $*: code $?"
}
# stages PATTERN...: the lines after the head match these, one each
stages() {
    local line=2
    [ "$(wc -l <"$scratch/plan")" -eq $(($# + 1)) ] || { cat "$scratch/plan"; fail "expected $# stages"; }
    head -1 "$scratch/plan" | grep -qE '^stage +layers +weights +workspace +waves +total$' || fail "no head"
    for pattern; do
        sed -n "${line}p" "$scratch/plan" | grep -qE "$pattern" ||
            { cat "$scratch/plan"; fail "line $line is not $pattern"; }
        line=$((line + 1))
    done
}

# ---- the demo model: 442624 bytes a layer, 1 MiB each of embedding and output projection ----
plan --model "$demo/model" --ranks 3
stages '^ +0 +1\.\.6 +4\.[0-9]+ MiB' '^ +1 +7\.\.11 ' '^ +2 +12\.\.16 '
plan --model "$demo/model" --ranks 2 --plan 3,13 --threads 1 --wave-tokens 1000
stages '^ +0 +1\.\.3 ' '^ +1 +4\.\.16 .* 4\.88 MiB .*MiB$' # 10 waves of 1000 rows of 128 floats
echo '{"layers": [1, 15]}' >"$scratch/plan.json"
plan --model "$demo/model" --ranks 2 --plan "$scratch/plan.json" --memory-per-rank 1G
stages '^ +0 +1\.\.1 ' '^ +1 +2\.\.16 '
on 2 plan --model "$demo/model" --ranks 2 >"$scratch/plan" || fail "plan on 2 ranks: code $?"
stages '^ +0 ' '^ +1 ' # printed once

# ---- with times: those of a layer here ----
timed() { # LAYERS OPTION...: of the first stage
    "$OFFRAMP" plan --model "$demo/model" --threads 1 "${@:2}" >"$scratch/plan" 2>"$scratch/err" ||
        { cat "$scratch/err"; fail "plan ${*:2}: code $?"; }
    grep -qE "^ +0 +1\.\.$1 .*  +[0-9.e-]+ +[0-9]+ %$" "$scratch/plan" || { cat "$scratch/plan"; fail "first stage is not 1..$1"; }
    grep -q ' 100 %$' "$scratch/plan" || { cat "$scratch/plan"; fail "no stage is the slowest"; }
    grep -qE '^predicted: [0-9.e+]+ tokens/s.*, the even plan [0-9.e+]+ \([0-9.]+x\)$' "$scratch/plan" ||
        { cat "$scratch/plan"; fail "no rate is predicted"; }
}
timed '[6-9]' --ranks 2 --plan auto --length 64
timed '[567]' --ranks 3 --plan 6,5,5 --policy "$demo/policy/svm.json"
timed '[3-7]' --ranks 2 --plan auto --policy "$demo/policy/svm.json" --length 200
timed '([6-9]|1[0-2])' --ranks 2 --plan auto --batch 32 # the output projection is as much as some layers
jq -n '[1, (range(15) | 0.01), 0]' >"$scratch/early.json"
timed 1 --ranks 2 --plan auto --survivors "$scratch/early.json"
expect 3 'no split over 2 ranks' 0 plan --model "$demo/model" --ranks 2 --plan auto --memory-per-rank 2M
expect 3 'it is for a model of 16 layers' 0 plan --model "$SOURCE/configs/models/tinyllama-1.1b.json" --ranks 2 \
    --policy "$demo/policy/svm.json"

# ---- simulated: by costs that are given ----
# 10 ms a layer, 2 ms a head; the second kind of ranks is slower
jq -n '{measured_on: "nothing", ranks: [{layer: [[64, 0.01]], ramp: [[1, 0.002]]}]}' >"$scratch/costs.json"
jq -n '{ranks: [{count: 2, layer: [[64, 0.01]]}, {count: 2, layer: [[64, 0.03]], latency: 1e-5, bandwidth: 1e9}]}' \
    >"$scratch/mixed.json"
simulated() { # OPTION...: rates to $scratch/rates, "seconds requests/s tokens/s"; all to $scratch/plan
    "$OFFRAMP" plan --model "$demo/model" --threads 1 --simulate "$@" >"$scratch/plan" 2>"$scratch/err" ||
        { cat "$scratch/err"; fail "plan --simulate $*: code $?"; }
    sed -n '/^ *seconds/{n;p}' "$scratch/plan" >"$scratch/rates"
    [ "$(wc -w <"$scratch/rates")" -eq 3 ] || { cat "$scratch/plan"; fail "no rates"; }
}
near() { # COLUMN EXPECTED: the figure is within 2 %
    awk -v column="$1" -v expected="$2" '{ratio = $column / expected} END {exit !(ratio > 0.98 && ratio < 1.02)}' "$scratch/rates" ||
        { cat "$scratch/plan"; fail "rate $1 is not $2"; }
}
wave=(--costs "$scratch/costs.json" --length 64 --wave-tokens 64)
simulated --ranks 4 "${wave[@]}" --requests 100
near 1 4.322 # 3 stages of 40 ms, then 100 times the last one with its head of 2 ms for each prompt
near 2 "$(awk 'BEGIN {print 100 / 4.322}')"
near 3 "$(awk 'BEGIN {print 6400 / 4.322}')"
grep -qE '^ +3 +13\.\.16 +100 +100 +0 +100 +64\.0 +9[67]\.' "$scratch/plan" || { cat "$scratch/plan"; fail "stage 3"; }
grep -qE '^admitted +0\.[0-9]+ ' "$scratch/plan" || fail "no latency"
simulated --ranks 4 "${wave[@]}" --requests 100 --cores 2
near 1 8.2 # as much work for half of the cores, but for the begin and the end
simulated --ranks 4 "${wave[@]}" --requests 400 --bandwidth 327680 --latency 0.01
near 2 "$(awk 'BEGIN {print 1 / 0.102}')" # 32 KiB of a wave, and what a rider says of itself
simulated --ranks 2 "${wave[@]}" --requests 20000 --rate 5
near 2 5
simulated --ranks 2 "${wave[@]}" --length 1 --batch 8 --tokens 20 --requests 16
near 3 "$(awk 'BEGIN {print 4 / 0.088}')" # four rows in each wave
grep -q '^simulated: 16 continuations of 1 tokens by 20, 8 at a time, full depth$' "$scratch/plan" || fail "no head line"

# who leaves after the first layer is not seen by the second rank
simulated --ranks 2 --plan 8,8 "${wave[@]}" --requests 1000 --survivors "$scratch/early.json" --seed 3
grep -qE '^ +1 +9\.\.16 +([0-9]|[1-3][0-9]) ' "$scratch/plan" || { cat "$scratch/plan"; fail "too many survivors"; }
cp "$scratch/plan" "$scratch/first"
simulated --ranks 2 --plan 8,8 "${wave[@]}" --requests 1000 --survivors "$scratch/early.json" --seed 3
same "$scratch/plan" "$scratch/first"
simulated --ranks 2 --plan 8,8 "${wave[@]}" --requests 1000 --survivors "$scratch/early.json" --seed 4
! cmp -s "$scratch/plan" "$scratch/first" || fail "another seed draws the same"

# a trace's requests: the first two leave after layer 2, the third at the end
{
    echo task,shots,index,layer,gap,top_prob,cos_attn,cos_mlp,cos_hidden,token,final_token,answer_token
    for request in 0 1 2; do
        for layer in $(seq 16); do
            token=$((request < 2 ? (layer < 2 ? 4 : 5) : (layer < 16 ? 4 : 5)))
            echo "t,0,$request,$layer,0.1,0.5,0,0,0,$token,5,-1"
        done
    done
} >"$scratch/trace.csv"
jq -n '{format: "offramp-trace-1", fingerprint: "0000000000000001", layers: 16, instances: 3, layer_macs: 1, ramp_macs: 1}' \
    >"$scratch/trace.csv.json"
simulated --ranks 2 --plan 4,12 "${wave[@]}" --requests 300 --survivors "$scratch/trace.csv"
grep -qE '^ +0 +1\.\.4 +300 +200 +100 ' "$scratch/plan" || { cat "$scratch/plan"; fail "the trace was not replayed"; }

# the plan whose slowest stage is fastest, where ranks differ
simulated --ranks 4 --plan auto --costs "$scratch/mixed.json" --length 64 --wave-tokens 64 --requests 200
near 1 "$(awk 'BEGIN {print 203 * 0.06}')"
grep -qE '^ +0 +1\.\.6 ' "$scratch/plan" || { cat "$scratch/plan"; fail "the fast ranks have too little"; }

# copies of the pipeline are weighed against longer ones: 16 layers on 5 ranks are 4 and four times 3, a copy has all
planned() { # OPTION...
    "$OFFRAMP" plan --model "$demo/model" --threads 1 --length 64 --wave-tokens 64 "$@" >"$scratch/plan" 2>"$scratch/err" ||
        { cat "$scratch/err"; fail "plan $*: code $?"; }
}
says() { # PATTERN
    grep -qE "$1" "$scratch/plan" || { cat "$scratch/plan"; fail "the plan does not say $1"; }
}
planned --ranks 5 --plan auto --costs "$scratch/costs.json"
says '^predicted: 1600 tokens/s \(25 requests/s\)'
says '^--replicas 5 would reach 1975 tokens/s \(1\.23x\)$' # 5 of 162 ms
planned --ranks 5 --plan auto --costs "$scratch/costs.json" --memory-per-rank 8M
! grep -q -e '--replicas' "$scratch/plan" || { cat "$scratch/plan"; fail "copies that do not fit are advised"; }
planned --ranks 4 --plan auto --replicas 2 --costs "$scratch/mixed.json"
says '^predicted: 1067 tokens/s \(16\.67 requests/s\), the even plan 1067 \(1\.00x\)$' # 12.5 and 4.17, a wave each
says '^ +1  6,6,2,2 +1067 '
says '^ +2  8,8 +1067 '
says '^ +4  16 +1067 '
planned --ranks 4 --plan auto --replicas 2 --costs "$scratch/mixed.json" --memory-per-rank 8M
says '^ +4  does not fit$'
expect 2 'replicas is 3, expected a divisor of --ranks 4' 0 plan --model "$demo/model" --ranks 4 --replicas 3
expect 2 'found --replicas and --simulate' 0 plan --model "$demo/model" --ranks 4 --replicas 2 --simulate

# what was measured can be kept
simulated --ranks 2 --length 16 --wave-tokens 64 --requests 10 --save-costs "$scratch/kept.json"
jq -e '(.measured_on | contains("1 threads")) and (.ranks | length) == 1 and (.ranks[0].layer | length) > 1' "$scratch/kept.json" \
    >"$scratch/out" || { cat "$scratch/kept.json"; fail "costs were not kept"; }
cp "$scratch/plan" "$scratch/first"
simulated --ranks 2 --length 16 --wave-tokens 64 --requests 10 --costs "$scratch/kept.json"
same "$scratch/plan" "$scratch/first"

expect 3 'it is of 4 ranks, expected 5 or more' 0 plan --model "$demo/model" --ranks 5 --costs "$scratch/mixed.json"
expect 3 'nowhere.json' 0 plan --model "$demo/model" --ranks 2 --costs "$scratch/nowhere.json"
expect 3 'found no object' 0 plan --model "$demo/model" --ranks 2 --costs "$scratch/early.json"
expect 2 'rate is "-1"' 0 plan --model "$demo/model" --ranks 2 --simulate --rate -1
expect 2 'bandwidth is "fast"' 0 plan --model "$demo/model" --ranks 2 --bandwidth fast
expect 3 'the trace is of 16 layers, expected 22' 0 plan --model "$SOURCE/configs/models/tinyllama-1.1b.json" --ranks 2 --simulate \
    --costs "$scratch/costs.json" --survivors "$scratch/trace.csv"

# ---- what is refused ----
expect 2 'expected --model' 0 plan --ranks 2
expect 2 'expected --ranks' 0 plan --model "$demo/model"
expect 2 'ranks is "0"' 0 plan --model "$demo/model" --ranks 0
expect 2 'wrong option: --ranks is "2.5"' 0 plan --model "$demo/model" --ranks 2.5
expect 2 'more ranks than layers' 0 plan --model "$demo/model" --ranks 17
expect 2 'add up to 15' 0 plan --model "$demo/model" --ranks 2 --plan 7,8
expect 3 'nowhere.json' 0 plan --model "$demo/model" --ranks 2 --plan "$scratch/nowhere.json"
expect 3 'nowhere' 0 plan --model "$scratch/nowhere" --ranks 2
for bytes in 12Q -1 G nan 2e 1GB ''; do
    expect 2 "memory-per-rank is \"$bytes\", expected bytes" 0 plan --model "$demo/model" --ranks 2 --memory-per-rank "$bytes"
done
expect 2 'memory-per-rank is "lots", expected bytes' 2 eval --model "$demo/model" --task "$demo/tasks/color_v_animal_3.json" \
    --output "$scratch/out" --memory-per-rank lots
expect 3 'not even one layer per rank fits' 0 plan --model "$demo/model" --ranks 3 --memory-per-rank 1M
expect 3 'the even plan fits' 0 plan --model "$demo/model" --ranks 2 --plan 1,15 --memory-per-rank 7.5M --wave-tokens 1

# ---- 70B ----
big=$scratch/llama-2-70b
synthetic "$big" 80 8192 28672 64 8 32000 15 HOLES
[ "$(du -sk "$big" | cut -f1)" -lt 100000 ] || skip "70B: this file system has no sparse files"
[ "$(du -sk --apparent-size "$big" | cut -f1)" -gt 130000000 ] || fail "the folder of 70B is too small"

# frugal ARGS...: offramp may take 20 s, 4 GB of addresses (where the sanitizers leave that) and read 16 MB
limit=4000000
(ulimit -v $limit; "$OFFRAMP" --version) >/dev/null 2>&1 || limit=unlimited
frugal() {
    # shellcheck disable=SC2016
    bash -c 'ulimit -v '$limit'; timeout 20 "$@"; code=$?; grep rchar /proc/self/io >&2; exit $code' - "$OFFRAMP" "$@" \
        2>"$scratch/io" || { cat "$scratch/io"; fail "$*: code $?"; }
    [ "$(sed -n 's/^rchar: //p' "$scratch/io")" -lt 16000000 ] || fail "$*: $(cat "$scratch/io")"
}
frugal inspect "$big" >"$scratch/text"
grep -q '^parameters   68976648192$' "$scratch/text" || fail "inspect: $(head -3 "$scratch/text")"
grep -q '  layers 1..80: 1711308800 bytes each' "$scratch/text" || fail "inspect does not say what a layer has"
frugal inspect "$big" --json | jq -e '.bytes == 137953296384 and (.tensors | length) == 723' >/dev/null ||
    fail "inspect --json"
frugal plan --model "$big" --ranks 8 --memory-per-rank 20G --threads 2 >"$scratch/plan"
stages '^ +0 +1\.\.10 +16\.9 GiB +37[0-9] MiB +320 MiB +17\.6 GiB$' '1 +11\.\.20 +16\.4 GiB' '2 +21\.\.30' '3 +31\.\.40' \
    '4 +41\.\.50' '5 +51\.\.60' '6 +61\.\.70' '7 +71\.\.80 +16\.4 GiB'
expect 3 'rank 0, layers 1..10): it needs 17.6 GiB and --memory-per-rank is 10 GiB; an even plan fits on 16 ranks' 0 \
    plan --model "$big" --ranks 8 --memory-per-rank 10G --threads 2
expect 3 'rank 1, layers 4..14): .* the even plan fits' 0 \
    plan --model "$big" --ranks 8 --memory-per-rank 18G --plan 3,11,11,11,11,11,11,11

# ---- jobs that do not fit are refused before anything is loaded ----
echo '{"id": 1, "tokens": [1, 2]}' >"$scratch/in.jsonl"
lens=(lens --model "$big" --input "$scratch/in.jsonl" --output "$scratch/lens.jsonl")
eval=(eval --model "$big" --task "$demo/tasks/color_v_animal_3.json" --limit 1 --output "$scratch/out" --quiet)
expect 3 'it needs 65.4 GiB (weights 64.7 GiB, .* and --memory-per-rank is 20 GiB' 2 "${lens[@]}" --memory-per-rank 20G
available=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024 / 1024)) # GiB
if [ "$available" -lt 120 ]; then
    expect 3 'it needs 129 GiB (weights 128 GiB, .* and the host has .* available' 0 "${lens[@]}"
    expect 3 'rank [01], layers .* it needs 65.4 GiB .* all ranks of this host (2) 130 GiB' 2 "${lens[@]}"
    expect 3 'rank [01], layers .* all ranks of this host (2) 130 GiB' 2 "${eval[@]}"
else
    echo "not checked: this host has $available GiB available, a 70B model would fit"
fi
[ ! -e "$scratch/lens.jsonl" ] || fail "a refused lens wrote its output"
[ ! -e "$scratch/out/journal.jsonl" ] || fail "a refused eval left a journal"

# ---- a context longer than a message is an obstacle for prompts of that length only ----
synthetic "$scratch/long" 2 64 128 4 2 4096 1 F32
sed -i 's/"max_position_embeddings": 2048/"max_position_embeddings": 1000000000/' "$scratch/long/config.json"
grep -q 1000000000 "$scratch/long/config.json" || fail "the context was not changed"
on 2 lens --model "$scratch/long" --input "$scratch/in.jsonl" --output "$scratch/lens.jsonl" --quiet || fail "lens: code $?"
expect 2 'do not fit into a message of 1 GiB, use smaller --wave-tokens (up to 4194304)' 2 lens --model "$scratch/long" \
    --input "$scratch/in.jsonl" --output "$scratch/lens.jsonl" --wave-tokens 4194305

expect 2 'wave-tokens is 4194305, expected up to 4194304' 0 plan --model "$scratch/long" --ranks 2 --wave-tokens 4194305

# ---- a prompt for which the memory of a rank does not suffice is refused, with what it holds ----
jq -nc '{id: 1, tokens: [range(2000) | . % 100 + 3]}' >"$scratch/in.jsonl"
lens=(lens --model "$scratch/long" --input "$scratch/in.jsonl" --output "$scratch/lens.jsonl" --threads 1 --wave-tokens 64)
expect 3 'its prompt has 2000 tokens, expected 1..[0-9]* (what memory or a message holds)' 2 "${lens[@]}" --memory-per-rank 8M
on 2 "${lens[@]}" --memory-per-rank 80M --quiet || fail "lens: code $?"
expect 3 'has [0-9]* tokens, memory or a message holds [0-9]*; use fewer --shots' 2 eval --model "$demo/model" --threads 1 \
    --task "$demo/tasks/word_length.json" --shots 50 --wave-tokens 8 --memory-per-rank 8M --output "$scratch/out" --quiet
