#!/usr/bin/env bash
# The sbatch files on a Slurm of four nodes (hosts.sh, slurm.sh): a job completes by mpirun and by srun; is cancelled, and goes on
# when submitted again; is queued again from outside, as a preempted one is; reaches its time limit, stops with code 75
# and finishes by itself; loses a node and finishes by itself. An array, one of which one task is queued again, and a study.
# Results are the same bytes each time.
# shellcheck source-path=SCRIPTDIR source=support.sh
. "$(dirname "$0")/support.sh"
for program in munged slurmctld slurmd sbatch; do command -v "$program" >/dev/null || skip "$program is missing"; done

"$cluster/hosts.sh" up 4 || fail "the hosts do not come up"
"$cluster/slurm.sh" up 4 || fail "Slurm does not come up"
. "$LAB/slurm/env"
export OFFRAMP_INTERFACE=10.77.0.0/24 OFFRAMP_TIMEOUT=15 OFFRAMP_RETRY_WAIT=5
args=(eval --config "$demo/job.json" --limit "${ROWS:-40}" --threads 1 --quiet)
"$OFFRAMP" "${args[@]}" --output "$scratch/whole" </dev/null || fail "undisturbed run: code $?"
total=$(wc -l <"$scratch/whole/results.jsonl")

slurm() { "$LAB/on" h1 timeout 10 "$@" </dev/null; }
job_state() { slurm squeue -h -t all -j "$1" -o %T 2>/dev/null | sort -u | paste -sd ' '; }
# submit FILE ARGS...: its id in $job, its output in scratch/log.ID; options of sbatch stand in SBATCH
SBATCH=()
submit() {
    job=$(slurm sbatch --parsable -o "$scratch/log.%A" "${SBATCH[@]}" "$source/launch/$1" "${@:2}") || fail "$what: sbatch: code $?"
}
show_logs() { tail -n 20 "$scratch/log.$job"; slurm scontrol show job "$job"; tail -n 5 "$LAB/slurm/log/slurmctld.log"; }
# until_state STATE SECONDS: all of the job is in this state
until_state() {
    local k
    for ((k = 0; k < $2 * 2; k++)); do
        state=$(job_state "$job")
        [ "$state" = "$1" ] && return
        case $state in # it does not become any other
        FAILED | CANCELLED | TIMEOUT | NODE_FAIL | COMPLETED) sleep 1; [ "$state" = "$(job_state "$job")" ] && break ;;
        esac
        sleep 0.5
    done
    show_logs
    fail "$what: the job is $state, expected $1 within $2 s"
}
# results FOLDER: of the undisturbed run, each once in the journal
results() {
    same "$scratch/whole/results.jsonl" "$1/results.jsonl"
    [ "$(lines "$1")" -eq $((total + 1)) ] || fail "$what: the journal does not hold every result once"
}
# under_way FOLDER SHARE: so many per cent are in the journal, and the job is not through
under_way() {
    local k
    for ((k = 0; k < 1200; k++)); do
        [ "$(lines "$1")" -lt $(($2 * total / 100)) ] || break
        sleep 0.05
    done
    [ "$k" -lt 1200 ] && [ ! -e "$1/results.jsonl" ] || { show_logs; fail "$what: the job is not under way"; }
}
passed() { printf '%s: %s after %d s\n' "$what" "$1" $((SECONDS - begun)); }

for by in mpirun srun; do
    what="a job by $by" begun=$SECONDS
    export OFFRAMP_LAUNCH=$by
    submit offramp.sbatch "${args[@]}" --output "$scratch/$by"
    until_state COMPLETED 90
    results "$scratch/$by"
    passed completed
done

what="a cancelled job" begun=$SECONDS
export OFFRAMP_LAUNCH=mpirun
SBATCH=(--nodes=2)
submit offramp.sbatch "${args[@]}" --output "$scratch/cancelled"
under_way "$scratch/cancelled" 20
slurm scancel "$job"
until_state CANCELLED 30
no_orphans 10
submit offramp.sbatch "${args[@]}" --output "$scratch/cancelled"
until_state COMPLETED 90
results "$scratch/cancelled"
passed "cancelled, and completed when submitted again"

what="a job that comes to its time limit" begun=$SECONDS
# Slurm looks at limits every half minute or so, and signals up to a minute before its time; meanwhile its rank is frozen,
# so that the job is not through before, and the other tests go on beside it.
SBATCH=(--nodes=1 --nodelist=h1 --time=2 --signal=B:USR1@45)
OFFRAMP_TIMEOUT=120 submit offramp.sbatch "${args[@]}" --output "$scratch/limited"
under_way "$scratch/limited" 10
limited=$job limited_begun=$SECONDS
frozen=$(rank_pid 0) || fail "$what: rank 0 is not there"
kill -STOP "$frozen"
# SIGUSR1 waits at the frozen rank (bit 10 of what is pending)
(while [ -e "/proc/$frozen/status" ]; do
    (((0x$(sed -n 's/^ShdPnd:[[:space:]]*//p' "/proc/$frozen/status") >> 9) & 1)) && break
    sleep 0.5
done
kill -CONT "$frozen") 2>/dev/null &

SBATCH=(--nodes=2 --exclude=h1)
for by in mpirun srun; do
    what="a job that is queued again from outside, by $by" begun=$SECONDS
    export OFFRAMP_LAUNCH=$by
    submit offramp.sbatch "${args[@]}" --output "$scratch/preempted-$by"
    under_way "$scratch/preempted-$by" 20
    slurm scontrol requeue "$job" || fail "$what: scontrol: code $?"
    until_state COMPLETED 90
    results "$scratch/preempted-$by"
    passed completed
done
export OFFRAMP_LAUNCH=mpirun

what="a node that is lost" begun=$SECONDS
submit offramp.sbatch "${args[@]}" --output "$scratch/lost"
under_way "$scratch/lost" 20
node=$(slurm scontrol show hostnames "$(slurm squeue -h -j "$job" -o %N)" | tail -n 1) # not the one of the batch script
case $node in h[34]) "$cluster/slurm.sh" kill "$node" ;; *) fail "$what: the job runs on $node" ;; esac
until_state COMPLETED 120
results "$scratch/lost"
passed "completed on other nodes"

what="an array" begun=$SECONDS
SBATCH=(--array=0-2 --exclude=h1 --nodes=1)
tasks=(color_v_animal_3 word_length next_item)
suite=(eval --model "$demo/model" --limit 20 --threads 1 --quiet)
submit offramp-array.sbatch "${suite[@]}" --task "$demo/tasks/${tasks[0]}.json" --task "$demo/tasks/${tasks[1]}.json" \
    --task "$demo/tasks/${tasks[2]}.json" --output "$scratch/suite"
until_state COMPLETED 120
for task in "${tasks[@]}"; do
    "$OFFRAMP" "${suite[@]}" --task "$demo/tasks/$task.json" --output "$scratch/alone/$task" </dev/null || fail "$task: code $?"
    same "$scratch/alone/$task/results.jsonl" "$scratch/suite/$task/results.jsonl"
done
passed completed

what="a task of an array that is queued again" begun=$SECONDS
SBATCH=(--array=0-1 --exclude=h1 --nodes=1)
submit offramp-array.sbatch "${suite[@]}" --task "$demo/tasks/${tasks[0]}.json" --task "$demo/tasks/${tasks[1]}.json" \
    --output "$scratch/again"
frozen=()
for task in "${tasks[@]:0:2}"; do
    for ((k = 0; k < 600; k++)); do
        pid=$(pgrep -of "^$OFFRAMP .*$scratch/again/$task") && break
        sleep 0.05
    done
    kill -STOP "$pid" || fail "$what: no rank of $task"
    frozen+=("$pid")
done
restarts() { slurm scontrol show job "${job}_$1" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p'; }
own= # the one that Slurm gives the number of the array
for k in 0 1; do slurm scontrol show job "${job}_$k" | grep -q "^ *JobId=$job " && own=$k; done
slurm scancel --batch --signal=USR1 "${job}_${own:?}" || fail "$what: scancel: code $?"
sleep 1
kill -CONT "${frozen[@]}"
for ((k = 0; k < 120; k++)); do [ "$(restarts "$own")" -eq 1 ] && break; sleep 0.5; done
until_state COMPLETED 120
for k in 0 1; do
    [ "$(restarts $k)" -eq $((k == own)) ] || { show_logs; fail "$what: task $k was started $(restarts $k) times more"; }
    same "$scratch/alone/${tasks[k]}/results.jsonl" "$scratch/again/${tasks[k]}/results.jsonl"
done
passed completed

what="a study in two parts" begun=$SECONDS
jq -n --arg demo "$demo" '{models: {demo: "\($demo)/model"}, groups: {word: ["\($demo)/tasks/word_length.json"]}, shots: [0],
    train_rows: 100, test_rows: 20, check: 4, policies: {gap: {classifier: "gap", target_agreement: 0.9}}}' >"$scratch/study.json"
study=("$scratch/study.json" --threads 1 --quiet)
"$OFFRAMP" study "${study[@]}" --output "$scratch/alone/study" </dev/null || fail "study: code $?"
SBATCH=(--array=1-2 --exclude=h1 --nodes=1 --time=10)
submit offramp-study.sbatch "${study[@]}" --output "$scratch/study"
until_state COMPLETED 120
job=$(sed -n 's/.*: job \([0-9]*\) finishes the study$/\1/p' "$scratch/log.$job")
[ -n "$job" ] || fail "$what: no last job"
until_state COMPLETED 60
same "$scratch/alone/study/results.csv" "$scratch/study/results.csv"
passed completed

what="a job that comes to its time limit" job=$limited begun=$limited_begun
until_state COMPLETED 120
grep -q 'stopped in good order; back to the queue' "$scratch/log.$job" || { show_logs; fail "$what: not stopped in good order"; }
results "$scratch/limited"
passed "stopped, queued again and completed"
no_orphans 5
