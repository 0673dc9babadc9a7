#!/usr/bin/env bash
# timeline.sh - a picture of timelines (offramp ... --timeline FILE), one above the other over the same time: a row per
# rank, a bar where it is busy, as dark as its wave has rows; red where it waits for a credit, white where it is idle.
#
#   benchmarks/timeline.sh OUT.svg 'TITLE=FILE[@RUN]'...
#
# RUN is the name of a run in the file, the last one of that name (jq -r '.traceEvents[] | select(.ph == "X" and
# (.args | not)) | .name' shows names); without, all of the file. OUT may end in .svg or .png. Needs jq and gnuplot-nox.
#
#   mpirun -n 2 offramp bench --shape configs/models/tinyllama-1.1b.json -n 8 -b 32 -t 1 -r 1 --timeline t.json \
#     --survivors configs/survivors/22-saves-30.json
#   benchmarks/timeline.sh t.svg 'without exits=t.json@tg8 b32' 'with exits=t.json@tg8 b32, exits propagate'
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
out=$1
shift
case $out in
*.svg) terminal=svg unit=96 ;;
*.png) terminal=png unit=100 ;;
*) echo "timeline.sh: $out is neither .svg nor .png" >&2; exit 2 ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# rank, begin, end (ms since the run's begin), rows (0: it waits); what lies in the run only
events='
def over: .ts + .dur;
[.traceEvents[] | select(.ph == "M" and .name == "process_name" and .args.name == "runs")][0].pid as $runs |
[.traceEvents[] | select(.ph == "X")] as $all |
[$all[] | select(.pid == $runs and ($run == "" or .name == $run))] as $named |
(if $run == "" then {ts: ($named | map(.ts) | min), end: ($named | map(over) | max)}
 else $named[-1] | {ts, end: over} end) as $span |
(["span", 0, ($span.end - $span.ts) / 1000, 0]),
($all[] | select(.pid != $runs and (.name == "busy" or .name == "wait") and over > $span.ts and .ts < $span.end) |
 [.pid - 1, (.ts - $span.ts) / 1000, (over - $span.ts) / 1000, .args.rows // 0]) | @tsv'

panels=0
plot=''
for panel; do
    title=${panel%%=*} rest=${panel#*=}
    file=${rest%%@*} run=''
    [ "$file" = "$rest" ] || run=${rest#*@}
    jq -r --arg run "$run" "$events" "$file" >"$scratch/all"
    awk '$1 == "span" {print $3}' "$scratch/all" >>"$scratch/ends"
    awk '$1 != "span" && $4 > 0' "$scratch/all" >"$scratch/busy.$panels"
    awk '$1 != "span" && $4 == 0' "$scratch/all" >"$scratch/wait.$panels"
    [ -s "$scratch/wait.$panels" ] || echo '0 -1 -1 0' >"$scratch/wait.$panels" # gnuplot minds an empty file
    cut -f1,4 "$scratch/busy.$panels" >>"$scratch/rows"
    plot+="set title '$title' noenhanced
plot '$scratch/wait.$panels' using 2:(-\$1):2:3:(-\$1-0.4):(-\$1+0.4) with boxxyerror fc rgb '#d62728' fs solid 1 noborder notitle, \
     '$scratch/busy.$panels' using 2:(-\$1):2:3:(-\$1-0.4):(-\$1+0.4):4 with boxxyerror fc palette fs solid 1 noborder notitle
"
    panels=$((panels + 1))
done
end=$(sort -g "$scratch/ends" | tail -1)
ranks=$(($(cut -f1 "$scratch/rows" | sort -n | tail -1) + 1))
rows=$(cut -f2 "$scratch/rows" | sort -n | tail -1)

gnuplot <<END
set terminal $terminal size $((9 * unit)),$((panels * (8 + 4 * ranks) * unit / 10)) background 'white'
set output '$out'
set multiplot layout $panels,1
set xrange [0:$end]
set yrange [-$ranks + 0.5:0.5]
set ytics ($(for ((r = 0; r < ranks; r++)); do printf "%s'rank %d' %d" "$([ $r -eq 0 ] || echo ', ')" "$r" "-$r"; done)) nomirror scale 0
set xtics nomirror
set xlabel 'ms' offset 0,0.5
set border 3
set lmargin 10
set rmargin 10
set palette defined (0 '#c6dbef', 1 '#08306b')
set cbrange [0:$rows]
set cbtics (0, $rows)
set cblabel 'rows'
$plot
unset multiplot
END
