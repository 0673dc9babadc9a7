#!/usr/bin/env bash
# --kv-memory bounds the KV cache: 200 requests with room for 8 of them at a time all finish as without a bound, and the
# cache takes no more than that. What can never have room is refused: one request by its result, all with code 3.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

ranks=2 in=$scratch/in.jsonl
gap_policy "$scratch/middling.json" 16 0.5 '[2, 4, 6, 8, 10, 12, 14]'
run=(run --model "$demo/model" --allow-other-model --policy "$scratch/middling.json" --threads 1 --batch 200)

# page LAYERS: bytes of a page of 32 tokens on a rank with so many layers: keys and values of 2 heads of width 32, and
# behind the layers a row of 128 for each token that waits; 4 bytes each.
page() { echo $((($1 * 2 * 2 * 32 + 128) * 32 * 4)); }
# 80 tokens, of which no two prompts have the first in common, and 16 more: 3 pages
jq -cn 'range(200) | {id: ., tokens: [range(.; . + 80) | . * 37 % 3000 + 300], max_tokens: 16,
                      kv: ["deferred", "propagate", "verify"][. % 3]}' >"$in"
budget=$((8 * 3 * $(page 8)))

# measured NAME ARGS...: runs; $scratch/NAME has each rank's greatest memory (VmHWM, kB), and if there is one of this
# size, "kv" with what is resident of the mapping for which no memory is reserved ("nr"): the KV cache (kB). The kernel
# may show it as one with a neighbour, a little heap of a thread.
measured() {
    local name=$1 job rank pid
    shift
    : >"$scratch/$name"
    mpirun -n "$ranks" "$OFFRAMP" "${run[@]}" --ignore-eos --input "$in" --output "$scratch/$name.jsonl" "$@" </dev/null \
        >"$scratch/log" 2>&1 &
    job=$!
    until [ -s "$scratch/$name.jsonl.journal" ]; do # all ranks have loaded
        kill -0 "$job" 2>/dev/null || { cat "$scratch/log"; fail "the job ended early"; }
        sleep 0.02
    done
    while kill -0 "$job" 2>/dev/null; do
        for ((rank = 0; rank < ranks; rank++)); do
            pid=$(rank_pid "$rank" run)
            [ -n "$pid" ] || continue
            sed -n "s/^VmHWM:[[:space:]]*\([0-9]*\) kB/$rank \1/p" "/proc/$pid/status"
            awk -v size=$((budget / 1024)) -v rank="$rank" '$1 == "Size:" { s = $2 } $1 == "Rss:" { r = $2 }
                $1 == "VmFlags:" && / nr/ && s >= size && s < size + 2048 { print "kv", rank, r }' "/proc/$pid/smaps"
        done 2>/dev/null >>"$scratch/$name"
        sleep 0.2
    done
    wait "$job" || { cat "$scratch/log"; fail "$name: code $?"; }
}

measured free
measured bound --kv-memory "$budget" --verbose
grep -q "KV cache of 24 pages" "$scratch/log" || { cat "$scratch/log"; fail "the cache has not 24 pages"; }
same "$scratch/free.jsonl" "$scratch/bound.jsonl"
jq -es 'length == 200 and all(.[]; (.tokens | length) == 16)' "$scratch/bound.jsonl" >/dev/null || fail "not all finished"
sanitized=no # the address sanitizer keeps what was freed: then memory says nothing
grep -q __asan_init "$OFFRAMP" && sanitized=yes
greatest() { grep "^$2 " "$scratch/$1" | sort -k2n | tail -1; }
for ((rank = 0; rank < ranks; rank++)); do
    cache=$(grep "^kv $rank " "$scratch/bound" | sort -k3n | tail -1)
    read -r _ free <<<"$(greatest free "$rank")"
    read -r _ bound <<<"$(greatest bound "$rank")"
    echo "rank $rank: at most $free kB without a bound, $bound kB with one of $((budget / 1024)) kB (${cache:-not seen})"
    [ -n "$cache" ] || fail "rank $rank has no mapping of the size of the budget"
    [ "$sanitized" = no ] || continue
    # 200 requests of 3 pages would have taken 25 times as much; waves are smaller too, so half of that is asked for
    [ $((free - bound)) -gt $((12 * budget / 1024)) ] || fail "rank $rank: the bound has not kept memory small"
done

# ---- too small ----
jq -cn '{id: "fits", tokens: [range(300; 350)], max_tokens: 8}, {id: "all", tokens: [range(300; 380)], max_tokens: 16},
        {id: "never", tokens: [range(300; 396)], max_tokens: 1}, {id: "too", tokens: [range(400; 450)], max_tokens: 46}' >"$in"
for n in 1 2 3; do
    on "$n" "${run[@]}" --input "$in" --output "$scratch/small.jsonl" --ignore-eos --quiet --kv-memory \
        $((3 * $(page $(((16 + n - 1) / n))))) || fail "a small cache: code $?"
    jq -es 'map(.error // (.tokens | length)) | .[0] == 8 and .[1] == 16 and .[3] == 46
            and (.[2] | contains("96 tokens of prompt and 1 behind it need room for 97, it has room for 96"))' \
        "$scratch/small.jsonl" >/dev/null || { cat "$scratch/small.jsonl"; fail "a cache for 3 pages, $n ranks"; }
    rm "$scratch"/small*
done
expect 3 'KV cache does not fit' 2 "${run[@]}" --input "$in" --output "$scratch/none" --kv-memory $(($(page 8) - 1))
expect 3 'KV cache does not fit' 1 "${run[@]}" --input "$in" --output "$scratch/none" --kv-memory 100T
expect 3 'KV cache does not fit' 2 "${run[@]}" --prompt x --kv-memory 1
[ ! -e "$scratch/none" ] || fail "a refused job left output"
