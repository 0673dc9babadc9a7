# shellcheck shell=bash
# job.sh - what the sbatch files share, sourced by them with $launch set to this folder. `offramp_job ARGS...` runs
# offramp in the allocation, goes on with what is in its output, and ends the batch script:
#   code 75 (stopped in good order, before the time limit): the job is queued again
#   code 76 (a rank, node or the network was lost): queued again, at most OFFRAMP_RETRIES times
#   else: the job ends with offramp's code
# A cancelled job stops in good order and is not queued again. Settings come from site.conf (configs/cluster).

: "${launch:?}"
for file in "${OFFRAMP_SITE:-}" "${SLURM_SUBMIT_DIR:-.}/site.conf" "$launch/site.conf"; do
    # shellcheck source=/dev/null
    if [ -n "$file" ] && [ -r "$file" ]; then . "$file"; break; fi
done
: "${OFFRAMP_LAUNCH:=mpirun}" "${OFFRAMP_RETRIES:=3}" "${OFFRAMP_RETRY_WAIT:=30}"

# Of an array's tasks one has the number of the whole array, which scontrol would take for all of them.
me=${SLURM_ARRAY_TASK_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
me=${me:-$SLURM_JOB_ID}

note() { printf 'offramp: job %s: %s\n' "$SLURM_JOB_ID" "$*" >&2; }

# output ARGS...: where the results go, by the command line or else its --config
output() {
    local previous='' argument from='' name=''
    for argument in "$@"; do
        case $argument in --output=*) name=${argument#*=} ;; --config=*) from=${argument#*=} ;; esac
        case $previous in --output) name=$argument ;; --config) from=$argument ;; esac
        previous=$argument
    done
    if [ -z "$name" ] && [ -n "$from" ]; then
        name=$(sed -n 's/.*"output"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$from" 2>/dev/null | head -n 1)
    fi
    echo "$name"
}
# finished ARGS...: how much is on disk: results in the journal of eval (in a folder) or run (beside a file), traces of a study
finished() {
    local name
    name=$(output "$@")
    if [ -z "$name" ]; then
        echo 0
    elif [ -e "$name/journal.jsonl" ]; then
        wc -l <"$name/journal.jsonl"
    elif [ -e "$name.journal" ]; then
        wc -l <"$name.journal"
    else
        find "$name/traces" -name '*.csv' 2>/dev/null | wc -l
    fi
}

# run ARGS...: under offramp-mpirun; signals to the batch script are handed to it.
cancelled=0
run() {
    local options=() code child
    [ "$OFFRAMP_LAUNCH" != srun ] || options+=(--srun)
    [ -z "${OFFRAMP:-}" ] || options+=(--offramp "$OFFRAMP")
    [ -z "${OFFRAMP_TIMEOUT:-}" ] || options+=(--timeout "$OFFRAMP_TIMEOUT")
    [ -z "${OFFRAMP_INTERFACE:-}" ] || options+=(--interface "$OFFRAMP_INTERFACE")
    [ -z "${OFFRAMP_PER:-}" ] || options+=(--per "$OFFRAMP_PER")
    [ -z "${OFFRAMP_MPIRUN_ARGS:-}" ] || options+=(--mpirun-args "$OFFRAMP_MPIRUN_ARGS")
    [ -z "${OFFRAMP_STAGE:-}" ] || set -- "$@" --stage-to "$OFFRAMP_STAGE"
    "$launch/offramp-mpirun" "${options[@]}" "$@" </dev/null &
    child=$!
    # shellcheck disable=SC2064
    trap "kill -USR1 $child 2>/dev/null" USR1
    # shellcheck disable=SC2064
    trap "kill -USR2 $child 2>/dev/null" USR2
    # shellcheck disable=SC2064
    trap "cancelled=1; kill -TERM $child 2>/dev/null" TERM
    [ "${early:-0}" -eq 0 ] || { sleep 1; kill -USR1 "$child" 2>/dev/null; } # it came just before the trap
    while :; do # a wait that a signal ended
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    return "$code"
}

# Retries are counted in the job's comment, which outlives a requeue.
retries() { scontrol show job "$me" | sed -n 's/^ *Comment=offramp-retries:\([0-9]*\).*/\1/p'; }

# again CODE WHY COUNTS: back to the queue. COUNTS 1: one of the retries.
again() {
    local done_before=0
    if [ "$3" -eq 1 ]; then
        done_before=$(retries)
        done_before=${done_before:-0}
        if [ "$done_before" -ge "$OFFRAMP_RETRIES" ]; then
            note "$2; not queued again after $done_before retries"
            exit "$1"
        fi
        scontrol update "JobId=$me" "Comment=offramp-retries:$((done_before + 1))"
        # Slurm needs its time to see that a node is gone; then it queues the job again itself, without the node
        sleep $((OFFRAMP_RETRY_WAIT * (done_before + 1)))
        [ "$cancelled" -eq 0 ] || exit "$1"
    fi
    note "$2; back to the queue"
    scontrol requeue "$me" || note "Slurm does not queue the job again; submit it once more, it goes on where it was"
    exit "$1"
}

offramp_job() {
    local began code before after k resume
    if [ "$OFFRAMP_LAUNCH" = srun ]; then
        # When a node comes back, what is left there of an earlier start kills the step of that number, which would be
        # this one's: those numbers, two for each start, are used up.
        for ((k = 0; k < 2 * ${SLURM_RESTART_COUNT:-0}; k++)); do srun -Q -N1 -n1 true </dev/null; done
    fi
    before=$(finished "$@")
    [ "${early:-0}" -eq 0 ] || again 75 "stopped before it had begun" 1 # Slurm's signal may come a minute before its time
    began=$SECONDS
    # --resume begins what is not there yet
    case $1 in eval | run) resume=(--resume) ;; *) resume=() ;; esac
    run "$@" "${resume[@]}"
    code=$?
    after=$(finished "$@")
    if [ "$OFFRAMP_LAUNCH" = srun ] && [ "$code" -eq 76 ] && [ "$before" = "$after" ] && [ "$cancelled" -eq 0 ] &&
        [ $((SECONDS - began)) -lt 300 ]; then
        note "lost before the first result; started once more" # MPI_Init under srun sometimes crashes
        run "$@" "${resume[@]}"
        code=$?
        after=$(finished "$@")
    fi
    [ "$cancelled" -eq 0 ] || exit "$code"
    case $code in
    75) again 75 "stopped in good order" $((before == after)) ;;
    76) again 76 "a rank, a node or the network was lost" 1 ;;
    esac
    exit "$code"
}
