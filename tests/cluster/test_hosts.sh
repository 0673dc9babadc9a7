#!/usr/bin/env bash
# offramp-mpirun over TCP on four hosts (namespaces of this machine): results are those of one rank, also over slow links,
# where more waves are sent ahead; a rank that is killed or frozen, a host that cannot be reached: the job ends with code
# 76 in bounded time, leaves nothing on any host, and goes on with --resume at another number of ranks; a cable that is
# out for a while is waited for.
# shellcheck source-path=SCRIPTDIR source=support.sh
. "$(dirname "$0")/support.sh"

"$cluster/hosts.sh" up 4 || fail "the hosts do not come up"
args=(eval --config "$demo/job.json" --limit "${ROWS:-40}" --threads 1 --quiet)
"$OFFRAMP" "${args[@]}" --output "$scratch/whole" </dev/null || fail "undisturbed run: code $?"
total=$(wc -l <"$scratch/whole/results.jsonl")

what="four hosts"
start 4 "$scratch/four" 0 || fail "$what: ended at once"
ended 0 120
same "$scratch/whole/results.jsonl" "$scratch/four/results.jsonl"
jq -e '[.ranks[].host] == ["h1", "h2", "h3", "h4"]' "$scratch/four/run.json" >/dev/null || fail "$what: not one rank per host"
no_orphans 2

what="a rank killed"
start 4 "$scratch/killed" 20 || fail "$what: the job was over"
pid=$(rank_pid 2) || fail "$what: rank 2 is not there"
kill -9 "$pid"
ended 76 10
grep -q '^offramp: .*rank' "$scratch/err" && [ "$(grep -c '^offramp: ' "$scratch/err")" -eq 1 ] ||
    { cat "$scratch/err"; fail "$what: expected one message"; }
no_orphans 3
finishes 3 "$scratch/killed"

what="a cable out for 5 s"
start 3 "$scratch/waited" 20 || fail "$what: the job was over"
"$cluster/net.sh" cut h3
sleep 5
"$cluster/net.sh" join h3
ended 0 120
same "$scratch/whole/results.jsonl" "$scratch/waited/results.jsonl"

what="a cable out for good"
start 4 "$scratch/cut" 20 || fail "$what: the job was over"
"$cluster/net.sh" cut h3
ended 76 25
grep -q '^offramp: .*h3' "$scratch/err" || { cat "$scratch/err"; fail "$what: the message does not name the host"; }
no_orphans 20 # also on h3, which is still cut off
"$cluster/net.sh" join h3
finishes 2 "$scratch/cut"
no_orphans 2

what="50 ms between the hosts"
"$cluster/net.sh" wan 50 || fail "$what: no delay"
start 4 "$scratch/far" 0 || fail "$what: ended at once"
ended 0 120
same "$scratch/whole/results.jsonl" "$scratch/far/results.jsonl"
# Two waves at a time, as between neighbours, would have every rank wait: more are on their way to each.
launch_on_hosts 4 bench --model "$demo/model" -p 64 -b 300 -r 1 -t 1 --wave-tokens 256 --verbose </dev/null >"$scratch/out" 2>"$scratch/err" ||
    { code=$?; cat "$scratch/err"; fail "$what: bench: code $code"; }
for k in 1 2 3; do
    grep -q "rank $k: waves are long under way: 16 at a time" "$scratch/err" ||
        { grep "under way" "$scratch/err"; fail "$what: not more waves on their way to rank $k"; }
done
"$cluster/net.sh" wan off

what="orderly stop by SIGTERM"
start 4 "$scratch/stopped" 20 || fail "$what: the job was over"
kill -TERM "$(pgrep -f "^[^ ]*bash $source/launch/offramp-mpirun .*$scratch" | head -n 1)"
ended 75 12
no_orphans 2
finishes 4 "$scratch/stopped"

what="a rank frozen"
if has_timeout; then
    start 4 "$scratch/frozen" 20 || fail "$what: the job was over"
    pid=$(rank_pid 2) || fail "$what: rank 2 is not there"
    kill -STOP "$pid"
    ended 76 25
    grep -q '^offramp: rank 2 lost (h3)' "$scratch/err" || { cat "$scratch/err"; fail "$what: the message does not name the rank"; }
    no_orphans 3
    finishes 3 "$scratch/frozen"
else
    echo "not tried: a frozen rank, this binary has no --timeout"
fi
