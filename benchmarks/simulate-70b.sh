#!/usr/bin/env bash
# Simulated, not measured: Llama-2-70B on 1 to 64 ranks, the even plan and the best one, at full depth and with exits,
# over two networks. Only what a layer and an output projection take is measured, once and here, into configs/clusters
# (or is what these files say, if they are there). Prints a table and writes plots.
#   OFFRAMP=build/offramp benchmarks/simulate-70b.sh
#
# From the environment, with these defaults:
#   SHAPE=configs/models/llama-2-70b.json DTYPE=q8_0 THREADS=2
#   RANKS="1 4 8 16 64"  CURVES=configs/survivors/80-saves-*.json
#   SPEEDS="1 32"        ranks as fast as this machine, and so many times as fast
#   LENGTH=128           tokens of a prompt; 64 waves of them for each rank
#   TOKENS=32 BATCH=1024 tokens of a continuation, continuations at a time
#   OUTPUT=docs          where simulated-70b-speed-*.svg go
#   LOG=""               what was simulated, a line of JSON each: is kept there, and taken from there if it is there
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here") offramp=${OFFRAMP:-offramp} dtype=${DTYPE:-q8_0} threads=${THREADS:-2}
shape=${SHAPE:-$root/configs/models/llama-2-70b.json},dtype=$dtype
read -ra ranks <<<"${RANKS:-1 4 8 16 64}"
read -ra curves <<<"${CURVES:-$(echo "$root"/configs/survivors/80-saves-*.json)}"
read -ra speeds <<<"${SPEEDS:-1 32}"
length=${LENGTH:-128} tokens=${TOKENS:-32} batch=${BATCH:-1024} output=${OUTPUT:-$root/docs}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# plan RANKS KIND OPTION...
plan() {
    local work=(--length "$length" --requests $((64 * 8 * $1)))
    [ "$2" = prompts ] || work=(--length 1 --batch "$batch" --tokens "$tokens" --requests $((4 * batch)))
    "$offramp" plan --model "$shape" --ranks "$1" --threads "$threads" "${work[@]}" "${@:3}"
}

# simulate RANKS KIND OPTION...: its seconds, rates, seconds from arrival, mean of what stages are busy, and layers
simulate() {
    plan "$1" "$2" --simulate "${@:3}" |
        awk '/^ *seconds/ {getline; seconds = $1; requests = $2; tokens = $3}
             /^arrived/ {median = $3; p99 = $5}
             /^stage .*busy/ {on = 1; next}
             on {split($2, layers, /\.\./); plan = plan sep (layers[2] - layers[1] + 1); sep = ","; sum += $8; n++}
             END {printf "{\"seconds\": %s, \"requests\": %s, \"tokens\": %s, \"median\": %s, \"p99\": %s, \"busy\": %s, \"plan\": \"%s\"}\n",
                  seconds, requests, tokens, median, p99, sum / n, plan}'
}

# all: every case, a line each
all() {
    local kind costs speed n gbits curve how options saturated loaded rate
    mkdir -p "$root/configs/clusters"
    for kind in prompts continuations; do
        costs=$root/configs/clusters/llama-2-70b-$dtype-$kind.json
        [ -e "$costs" ] || plan 1 "$kind" --save-costs "$costs" >"$scratch/plan"
        for speed in "${speeds[@]}"; do
            jq --argjson speed "$speed" 'def faster: map([.[0], .[1] / $speed]);
                .ranks |= map(.layer |= faster | .ramp |= faster | .embed /= $speed)' "$costs" >"$scratch/costs.json"
            for n in "${ranks[@]}"; do
                for gbits in 10 100; do
                    for curve in "" "${curves[@]}"; do
                        for how in even auto; do
                            options=(--costs "$scratch/costs.json" --plan "$how" --latency 5e-6 --bandwidth "$((gbits * 125))e6")
                            [ -z "$curve" ] || options+=(--survivors "$curve")
                            saturated=$(simulate "$n" "$kind" "${options[@]}")
                            # latencies where requests arrive at 0.7 of what the even plan takes at full depth
                            [ "$how$curve" != even ] || rate=$(jq '0.7 * .requests' <<<"$saturated")
                            loaded=$(simulate "$n" "$kind" "${options[@]}" --rate "$rate")
                            echo "{\"kind\": \"$kind\", \"speed\": $speed, \"ranks\": $n, \"gbits\": $gbits, \"how\": \"$how\"," \
                                "\"curve\": \"$(basename "$curve" .json)\", \"saturated\": $saturated, \"loaded\": $loaded}"
                        done
                    done
                done
            done
        done
    done
}

log=${LOG:-$scratch/log}
[ -s "$log" ] || all >"$log"

# ---- the table ----
jq -rs '
    def digits($n): . * $n | round / $n;
    def figure: if . >= 100 then round elif . >= 1 then digits(100) else digits(10000) end;
    "| | speed | Gbit/s | ranks | exits | even plan t/s | best plan t/s | of it even at full depth | mean busy % | loaded: median s | 99 % s |",
    "|---|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    (group_by([.kind, .speed, .gbits, .ranks])[] | (.[] | select(.how == "even" and .curve == "").saturated.tokens) as $full |
     group_by(.curve)[] | (.[] | select(.how == "even")) as $even | (.[] | select(.how == "auto")) as $best |
     "| \($best.kind) | \($best.speed) | \($best.gbits) | \($best.ranks) | \(if $best.curve == "" then "none" else $best.curve end)" +
     " | \($even.saturated.tokens | figure) | \($best.saturated.tokens | figure) | \($best.saturated.tokens / $full | digits(100))" +
     " | \($best.saturated.busy | round) | \($best.loaded.median | figure) | \($best.loaded.p99 | figure) |")
    ' "$log"

# ---- the plots: KIND-SPEED-CURVE-HOW-GBITS.dat holds ranks, tokens/s, median and 99 % of seconds under load ----
jq -r '"\(.kind)-\(.speed)-\(if .curve == "" then "none" else .curve end)-\(.how)-\(.gbits).dat" +
       " \(.ranks) \(.saturated.tokens) \(.loaded.median) \(.loaded.p99)"' "$log" |
    while read -r file figures; do echo "$figures" >>"$scratch/$file"; done

# lines SPEED KIND FIGURE: what gnuplot is to draw
lines() {
    local colour=1 curve name title how
    for curve in none "${curves[@]}"; do
        name=$(basename "$curve" .json)
        title=${name/*saves-/exits, }
        for how in "auto-100 1" "even-100 2" "auto-10 3"; do # and the kind of line
            printf '"%s" using 1:%s with linespoints lc %d dt %d pt 7 ps 0.4 title "%s", ' \
                "$scratch/$2-$1-$name-${how% *}.dat" "$3" "$colour" "${how#* }" "${title/none/full depth}"
            title=
        done
        colour=$((colour + 1))
    done | sed 's/, $//; s/\(exits, [0-9]*\)"/\1 % saved"/g'
}
for speed in "${speeds[@]}"; do
    gnuplot <<END
set terminal svg noenhanced size 1000,760 font "sans,12" background "white"
set output "$output/simulated-70b-speed-$speed.svg"
set multiplot layout 2,2 title "SIMULATED, not measured: Llama-2-70B $dtype; a layer as fast as measured here$([ "$speed" = 1 ] || echo ", times $speed")\n\
solid: best plan, 100 Gbit/s; dotted: with 10 Gbit/s; dashed: even plan, 100 Gbit/s"
set logscale x 2
set grid
set key left bottom
set xlabel "ranks"
set xtics ($(IFS=, && echo "${ranks[*]}"))
set xrange [1:1.1 * ${ranks[-1]}]
set yrange [0:]
set ylabel "tokens/s for each rank"
set title "prompts of $length tokens, scored"
plot $(lines "$speed" prompts "(\$2 / \$1)")
set title "continuations, $batch at a time"
plot $(lines "$speed" continuations "(\$2 / \$1)")
set key right bottom
set yrange [*:*]
set logscale y
set ylabel "seconds from arrival: 99 % take less"
set title "prompts; arrivals at 0.7 of what the even plan takes at full depth"
plot $(lines "$speed" prompts 4)
set title "continuations of $tokens tokens; likewise"
plot $(lines "$speed" continuations 4)
END
done
