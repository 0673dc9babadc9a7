#!/usr/bin/env bash
# start.sh [RANKS] - how long a job on RANKS ranks (16) of four hosts takes to start, beyond what one rank takes for the same: a single
# instance, REPEATS (5) times; seconds, of offramp-mpirun from its start to its end.
# shellcheck source-path=SCRIPTDIR source=support.sh
. "$(dirname "$0")/support.sh"
ranks=${1:-16}

"$cluster/hosts.sh" up 4 || fail "the hosts do not come up"
args=(eval --model "$demo/model" --task "$demo/tasks/word_length.json" --limit 1 --threads 1 --quiet)
took() { # COMMAND...: milliseconds
    local begun
    begun=$(now_ms)
    "$@" </dev/null >&2 || fail "$*: code $?"
    echo $(($(now_ms) - begun))
}
for ((k = 1; k <= ${REPEATS:-5}; k++)); do
    alone=$(took "$OFFRAMP" "${args[@]}" --output "$scratch/alone$k") || exit 1
    all=$(took launch_on_hosts "$ranks" "${args[@]}" --output "$scratch/all$k") || exit 1
    same "$scratch/alone$k/results.jsonl" "$scratch/all$k/results.jsonl"
    printf '%d ranks on four hosts %d ms, one rank without mpirun %d ms: %d ms more\n' "$ranks" "$all" "$alone" $((all - alone))
done
