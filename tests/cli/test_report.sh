#!/usr/bin/env bash
# offramp report: a page from a folder of eval with its timeline, a study, rows of bench and a trace; the same bytes each
# time, nothing loaded from elsewhere, tables that sort, the other formats, and damaged inputs by name. A browser looks at it
# where chromium is installed.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

study=$SOURCE/tests/data/study page=$scratch/report.html
cd "$scratch" || exit 1
mkdir run # where its timeline is to lie
on 2 eval --model "$demo/model" --task "$demo/tasks/word_length.json" --task "$demo/tasks/next_item.json" --shots 2 \
    --policy "$demo/policy/svm.json" --dense --limit 12 --output run --timeline run/timeline.json --quiet ||
    fail "eval: code $?"
on 0 bench --model "$demo/model" -p 8 -n 2 -b 1,2 -t 1 -r 1 --quiet -o json >bench.json || fail "bench: code $?"
on 0 bench --model "$demo/model" -p 8 -t 1 -r 1 --quiet -o jsonl >bench.jsonl || fail "bench: code $?"
on 0 trace --model "$demo/model" --task "$demo/tasks/word_length.json" --shots 2 --limit 12 --output trace.csv --quiet ||
    fail "trace: code $?"

# ---- tables, which need no gnuplot ----
on 0 report "$study" run bench.json --format md --output report.md >out || fail "md: code $?"
[ "$(cat out)" = 'report: report.md' ] || fail "md says: $(cat out)"
on 0 report "$study" --format md --output one.md --quiet || fail "md: code $?"
grep -qxF '| rules | word\_length | 2 | svm | rules | 100 | 0.8900 ± 0.0314 | 0.9900 | 2.80 | 1.10 | 30.0 % | 60.0 % | 73.0 % |' \
    one.md || fail "the row of word_length is missing: $(cat one.md)"
grep -qxF '| svm | 89.0 @ 73.0 | 39.0 @ 73.0 |' one.md || fail "no accuracy @ compute: $(cat one.md)"
for title in 'All tasks' 'Accuracy @ compute' Results Policies Features Generalisation Throughput Stages Inputs; do
    grep -qxF "## $title" report.md || fail "md has no table \"$title\""
done
awk -F'|' '/^\|/ {if (n && NF != n) exit 1; n = NF; next} {n = 0}' <(sed 's/\\|//g' report.md) || fail "md: rows of other lengths"
grep -qF "$scratch" report.md && fail "md names a folder of this machine"
on 0 report "$study" --format tex --output report.tex --quiet || fail "tex: code $?"
grep -qxF 'rules & word\_length & 2 & svm & rules & 100 & 0.8900 $\pm$ 0.0314 & 0.9900 & 2.80 & 1.10 & 30.0 \% & 60.0 \% & 73.0 \% \\' \
    report.tex || fail "tex: $(cat report.tex)"
if command -v pdflatex >/dev/null; then
    pdflatex -interaction=nonstopmode -halt-on-error report.tex >latex.log 2>&1 || grep -q 'File `.*not found' latex.log ||
        fail "tex does not compile: $(tail -20 latex.log)"
fi

# ---- what is refused: by name, and nothing is written ----
refuse() {
    expect "$1" "$2" 0 report "${@:3}" --format md --output refused.md
    [ ! -e refused.md ] || fail "report $*: a refused input leaves a page"
}
refuse 2 'expected a folder'
refuse 3 'missing): No such file' missing
refuse 3 'not recognised (.*report.md)' report.md
mkdir none
refuse 3 'not recognised (none)' none
expect 2 'expected html, md or tex' 0 report run --format pdf

# damaged FILE SED-SCRIPT PART: a copy of the run or the study with that change is refused
damaged() {
    rm -rf copy
    cp -r "$([ "${1%%/*}" = study ] && echo "$study" || echo run)" copy
    sed -i "$2" "copy/${1#*/}"
    cmp -s "copy/${1#*/}" "$([ "${1%%/*}" = study ] && echo "$study" || echo run)/${1#*/}" && fail "\"$2\" changes nothing"
    refuse 3 "$3" copy
}
damaged run/summary.json '0,/"accuracy": [0-9.]*/s//"accuracy": 1.5/' 'summary.json: groups 1): "accuracy" is 1.5'
damaged run/summary.json '0,/"layers": \[1, 8\]/s//"layers": 8/' 'summary.json: groups 1): "layers" is a number'
damaged run/run.json 's/"fingerprint": "./"fingerprint": "x/' 'run.json): "fingerprint" is "x'
damaged run/results.jsonl 2d 'found 11 lines of task "word_length", policy "full", expected 12'
damaged run/results.jsonl '2s/"exit_layer":16/"exit_layer":17/' 'results.jsonl:2): "exit_layer" is 17'
damaged run/results.jsonl '2s/"full"/"other"/' 'policy "other" is not in summary.json'
damaged run/timeline.json '$d' 'timeline.json:[0-9]*): the file ends'
damaged run/timeline.json '0,/"dur": /s//"dur": -/' '"dur" is -'
damaged study/study.json 's/study-1/study-2/' '"format" is "offramp-study-2"'
damaged study/study.json '0,/"shots": 2/s//"shots": -2/' 'study.json: results 1): "shots" is -2'
damaged study/study.json 's/"group": "sentiment", //' 'study.json: results 9): "group" is nothing'
damaged study/study.json '0,/"tested_on": "rules"/s//"tested_on": 7/' 'generalisation 1): "tested_on" is a number'
damaged study/study.json 's/"model": "tiny", "policy"/"model": "other", "policy"/' 'model "other" is not among'
damaged study/traces/word_length-2-test.csv '5s/,0.5/,x/' 'trace refused (.*word_length-2-test.csv:5)'
cp -r run copy-open && rm copy-open/summary.json
refuse 3 'not complete (copy-open): found no summary.json' copy-open
sed 's/"tokens_per_second": /&-/' bench.json >copy.json
refuse 3 'copy.json: row 1): "tokens_per_second" is -' copy.json
head -c 300 bench.json >copy.json
refuse 3 'not JSON (copy.json)' copy.json
mkdir without
env PATH="$scratch/without" "$OFFRAMP" report "$study" --output "$page" >out 2>err </dev/null
[ $? -eq 1 ] && grep -q 'install the package gnuplot-nox' err && [ ! -e "$page" ] || fail "without gnuplot: $(cat out err)"

# ---- the page ----
command -v gnuplot >/dev/null || skip "pages need gnuplot (gnuplot-nox)"
cp -r "$study" weird
jq --arg odd "<b>&\"x'\`date\`" '(.results[] | select(.task == "next_item")).task = $odd' "$study/study.json" >weird/study.json
on 0 report weird run bench.json bench.jsonl trace.csv --output "$page" --quiet || fail "html: code $?"
on 0 report weird run bench.json bench.jsonl trace.csv --output again.html --quiet || fail "html: code $?"
same "$page" again.html
on 0 report run --quiet || fail "no --output: code $?"
[ -s run/report.html ] || fail "the page does not lie in its folder"
for title in 'Accuracy against compute' 'Exit layers by task' Survivors 'Features by depth' Generalisation 'Stages over time' \
    'Accuracy @ compute' Results Policies Features Throughput Stages Inputs; do
    grep -qF "<h2>$title" "$page" || fail "the page has no \"$title\""
done
grep -qE 'https?:|src=|@import|<link|url\((&quot;|["'\'' ])?[^#]' "$page" && fail "the page refers to something outside"
grep -qF "$scratch" "$page" && fail "the page names a folder of this machine"
grep -q '<b>' "$page" && fail "a task's name is HTML"
grep -qF '&lt;b&gt;&amp;' "$page" || fail "the odd task's name is missing"
[ -z "$(grep -oE " id=[\"'][^\"']*" "$page" | sort | uniq -d)" ] || fail "ids are there twice"
grep -oE "href=[\"']#[^\"']*" "$page" | sed "s/.*#//" | sort -u | while read -r id; do
    grep -qE " id=[\"']${id}[\"']" "$page" || fail "nothing has the id $id"
done || exit 1
grep -qE "=[\"']black[\"']|rgb\( *0, *0, *0\)" "$page" && fail "black stays black on a dark page"

# ---- in a browser ----
command -v chromium >/dev/null || skip "the browser's checks need chromium; all others passed"
browse() {
    HOME=$scratch timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
        --user-data-dir="$scratch/profile" "$@" 2>browser.log
}
# Clicking a head twice sorts by it, falling; rows that are equal in it stay in their order.
cat "$page" - >sorted.html <<'END'
<script>
const section = [...document.querySelectorAll('section')].find(s => s.querySelector('h2')?.textContent === 'Results');
const table = section.querySelector('table'), heads = [...table.tHead.rows[0].cells];
const at = heads.findIndex(head => head.textContent === 'compute');
const rows = () => [...table.tBodies[0].rows].map(row => ({key: +row.cells[at].dataset.v, text: row.textContent}));
const text = list => list.map(row => row.text).join('|');
const before = rows(), wanted = [...before].sort((a, b) => b.key - a.key);
heads[at].querySelector('button').click();
heads[at].querySelector('button').click();
document.title = text(rows()) === text(wanted) && text(wanted) !== text(before) ? 'sorted' : 'not sorted';
</script>
END
browse --dump-dom "file://$scratch/sorted.html" >dom.html || fail "chromium: $(tail -3 browser.log)"
grep -q '<title>sorted</title>' dom.html || fail "the table does not sort: $(grep -o '<title>[^<]*' dom.html | head -1)"
# light, and dark
for scheme in 1 0; do
    browse --window-size=1200,3000 --blink-settings=preferredColorScheme=$scheme --screenshot="$scratch/shot-$scheme.png" \
        "file://$page" >/dev/null || fail "chromium: $(tail -3 browser.log)"
    [ "$(head -c 4 "shot-$scheme.png" | tail -c 3)" = PNG ] || fail "no picture of the page"
    [ "$(stat -c %s "shot-$scheme.png")" -gt 40000 ] || fail "the picture of the page is blank"
done
if command -v convert >/dev/null; then
    light=$(convert shot-1.png -colorspace Gray -format '%[fx:round(100*mean)]' info:)
    dark=$(convert shot-0.png -colorspace Gray -format '%[fx:round(100*mean)]' info:)
    [ "$light" -gt 80 ] && [ "$dark" -lt 30 ] || fail "light is $light % bright, dark $dark %"
fi
