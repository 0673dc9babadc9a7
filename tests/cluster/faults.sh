#!/usr/bin/env bash
# faults.sh N SEED - N times: a job of about 2,000 instances on four ranks of two to four hosts, one fault of a random kind at a
# random moment (the start included), the fault healed, --resume until the job is through, at any number of ranks, and
# results.jsonl compared with the undisturbed job's. Prints what each fault did and a table; ends with code 1 if a result was
# lost, was there twice or was another, a job hung (HANG seconds, 100), something was left behind, or a code was wrong. A job
# that was over before its fault is run again and not counted.
#   kill      kill -9 of a rank            usr1      SIGUSR1 to offramp-mpirun
#   freeze    SIGSTOP of a rank            term      SIGTERM to offramp-mpirun
#   cut       a host's cable, for good     walltime  SIGTERM to all of the job at once, SIGKILL 5 s later
#   full      no room where the results go
# LIMIT: rows of a task (112).
# shellcheck source-path=SCRIPTDIR source=support.sh
. "$(dirname "$0")/support.sh"
count=${1:-10} RANDOM=${2:-1}

mkdir "$LAB/disk" # all hosts see it, since it is there before them
mount -t tmpfs -o size=8m tmpfs "$LAB/disk" || skip "no tmpfs can be mounted"
trap 'umount -l "$LAB/disk"; clean_up' EXIT
"$cluster/hosts.sh" up 4 || fail "the hosts do not come up"
# Four shots and no prefix cache: so that most of a job's time is work, not its start.
args=(eval --config "$demo/job.json" --limit "${LIMIT:-112}" --shots 4 --no-prefix-cache --threads 1 --quiet)
"$OFFRAMP" "${args[@]}" --output "$scratch/whole" </dev/null || fail "undisturbed run: code $?"
total=$(wc -l <"$scratch/whole/results.jsonl")

kinds=(kill cut full usr1 term walltime)
if has_timeout; then kinds+=(freeze); else echo "not tried: freeze, this binary has no --timeout"; fi

# job_pids: every process of the job that runs, on all hosts
job_pids() { pgrep -f "^([^ ]*bash [^ ]*/offramp-mpirun|[^ ]*mpirun|[^ ]*orted|$OFFRAMP) .*$LAB/"; } # of this lab: mpirun's daemons have its temporary folder
# the wrapper itself, not the processes that lead to it
wrapper() { pgrep -of "^[^ ]*bash $source/launch/offramp-mpirun .*$LAB/disk"; }
disk_rank() { scratch=$LAB/disk rank_pid "$1"; }

begun=$(now_ms)
launch_on_hosts 4 "${args[@]}" --output "$LAB/disk/first" </dev/null || fail "four hosts: code $?"
length=$(($(now_ms) - begun))
same "$scratch/whole/results.jsonl" "$LAB/disk/first/results.jsonl"
rm -rf "$LAB/disk/first"
printf 'undisturbed: %d results in %d.%d s\n' "$total" $((length / 1000)) $((length % 1000 / 100))

# inject KIND: sets what it was done to; false: it was not done
inject() {
    local k pid=''
    case $1 in
    kill | freeze)
        target=$((RANDOM % 4))
        for ((k = 0; k < 50; k++)); do
            pid=$(disk_rank "$target") && break
            [ -e "/proc/$job" ] || return 1
            sleep 0.1
        done
        fault=$(now_ms) # there it may have had to come first
        kill -"$([ "$1" = kill ] && echo KILL || echo STOP)" "$pid" 2>/dev/null || return 1
        target="rank $target"
        ;;
    cut) target=h$((1 + RANDOM % hosts)); "$cluster/net.sh" cut "$target" ;;
    full) target=disk; dd if=/dev/zero of="$LAB/disk/ballast" bs=64k status=none 2>/dev/null; true ;;
    usr1) target=wrapper; pid=$(wrapper) && kill -USR1 "$pid" ;;
    term) target=wrapper; pid=$(wrapper) && kill -TERM "$pid" ;;
    walltime)
        target=all
        # shellcheck disable=SC2046
        kill -TERM $(job_pids) 2>/dev/null
        # shellcheck disable=SC2046
        (sleep 5; kill -KILL $(job_pids)) 2>/dev/null &
        killer=$!
        ;;
    esac
}
heal() {
    [[ $target != h? ]] || "$cluster/net.sh" join "$target"
    rm -f "$LAB/disk/ballast"
    if [ -n "$killer" ]; then wait "$killer"; killer=; fi
}
# within SECONDS: the job ends; false: it had to be ended
within() {
    local k
    for ((k = 0; k < $1 * 20; k++)); do
        kill -0 "$job" 2>/dev/null || return 0
        sleep 0.05
    done
    # shellcheck disable=SC2046
    kill -KILL $(job_pids) 2>/dev/null
    return 1
}
wrong=0
is_wrong() { wrong=$((wrong + 1)) remark+=" WRONG: $*;"; }

results=$LAB/disk/job
for ((round = 1; round <= count;)); do
    kind=${kinds[RANDOM % ${#kinds[@]}]} hosts=$((2 + RANDOM % 3)) target='' killer='' remark='' hung=0 doubled=0
    head -n "$hosts" "$LAB/hosts/hostfile" >"$scratch/hosts"
    moment=$(((RANDOM * 32768 + RANDOM) % length))
    HOSTFILE=$scratch/hosts launch_on_hosts 4 "${args[@]}" --output "$results" </dev/null >"$scratch/out" 2>&1 &
    job=$!
    sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
    fault=
    if ! kill -0 "$job" 2>/dev/null || ! inject "$kind"; then
        wait "$job" 2>/dev/null
        rm -rf "$results"
        continue
    fi
    [ -n "$fault" ] || fault=$(now_ms)
    within "${HANG:-100}" || hung=1
    wait "$job" 2>/dev/null
    code=$?
    took=$(($(now_ms) - fault))
    [ "$hung" -eq 0 ] || is_wrong "hung"
    case $kind:$code in
    *:0 | kill:76 | freeze:76 | cut:76 | usr1:75 | term:75 | full:1 | full:76 | walltime:*) ;;
    usr1:138 | term:143) [ "$moment" -lt 1000 ] || is_wrong "code $code" ;; # before the wrapper's first line
    usr1:76 | term:76) has_timeout && is_wrong "code $code" ;; # without signs of life it may come before MPI has started
    *) is_wrong "code $code" ;;
    esac
    said=$(grep -m 1 '^offramp: ' "$scratch/out" | cut -c1-90)
    done_then=$(lines "$results")
    heal
    for ((k = 0; k < 150; k++)); do [ -n "$(left)" ] || break; sleep 0.2; done
    if [ -n "$(left)" ]; then
        is_wrong "left behind: $(left | head -n 2 | paste -sd ';')"
        # shellcheck disable=SC2046
        kill -KILL $(job_pids) 2>/dev/null
    fi
    for ((tries = 1; tries <= 3; tries++)); do
        resume=()
        [ ! -e "$results/journal.jsonl" ] || resume=(--resume)
        launch_on_hosts $((1 + RANDOM % 4)) "${args[@]}" --output "$results" "${resume[@]}" </dev/null >"$scratch/again" 2>&1 && break
    done
    [ "$tries" -le 3 ] || is_wrong "does not go on: $(grep -m 1 '^offramp: ' "$scratch/again")"
    cmp -s "$scratch/whole/results.jsonl" "$results/results.jsonl" || is_wrong "results differ"
    lost=$(comm -23 <(sort "$scratch/whole/results.jsonl") <(sort "$results/results.jsonl" 2>/dev/null) | wc -l)
    [ ! -e "$results/journal.jsonl" ] || doubled=$(sort "$results/journal.jsonl" | uniq -d | wc -l)
    [ "$doubled" -eq 0 ] || is_wrong "$doubled twice in the journal"
    printf '%3d %-8s at %2d.%d s, %s of %d hosts: code %d after %d.%d s, %d results then; %s%s\n' "$round" "$kind" \
        $((moment / 1000)) $((moment % 1000 / 100)) "$target" "$hosts" "$code" $((took / 1000)) $((took % 1000 / 100)) \
        "$done_then" "$said" "$remark"
    echo "$kind $took $code $lost $doubled $hung" >>"$scratch/table"
    rm -rf "$results"
    round=$((round + 1))
done

printf '\nfault        n  code 0  75  76  other   ended after: min  median   max s   lost  twice  hung\n'
sort -k1,1 -k2,2n "$scratch/table" | awk '
    function flush() {
        if (n) printf "%-9s %4d    %4d %3d %3d   %4d               %5.1f   %5.1f %5.1f   %4d   %4d  %4d\n", kind, n, c[0], c[75], c[76],
            n - c[0] - c[75] - c[76], t[1] / 1000, t[int((n + 1) / 2)] / 1000, t[n] / 1000, lost, twice, hung
    }
    $1 != kind { flush(); kind = $1; n = lost = twice = hung = 0; delete c; delete t }
    { t[++n] = $2; c[$3]++; lost += $4; twice += $5; hung += $6 }
    END { flush() }'
printf '%d faults, %d of them with something wrong\n' "$count" "$wrong"
[ "$wrong" -eq 0 ]
