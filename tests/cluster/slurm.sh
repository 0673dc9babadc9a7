#!/usr/bin/env bash
# slurm.sh up N | kill hK | down - Slurm on the N hosts of hosts.sh, which must be up: a controller on h1, a node on each
# host, of two cores; no systemd, cgroups or database. `kill hK` is a node's crash: its slurmd and all that it runs end at
# once, and no connection is closed in good order. Then:
#   . $LAB/slurm/env; $LAB/on h1 sbatch ...
# All of it lies in $LAB/slurm, which `down` removes. Needs root, slurm-wlm, munge.
set -uo pipefail
lab=${LAB:-/tmp/offramp-lab}
slurm=$lab/slurm
clean=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "SLURM_CONF=$slurm/slurm.conf")
fail() { printf 'slurm.sh: %s\n' "$*" >&2; exit 1; }
alive() { [ -s "$1" ] && grep -qazs "$slurm" "/proc/$(cat "$1")/cmdline"; }

configure() { # COUNT
    local k
    mkdir -p "$slurm"/{munge,state,log,run}
    chmod 755 "$slurm" "$slurm/munge"
    [ -s "$slurm/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$slurm/munge/key")
    cat >"$slurm/slurm.conf" <<CONFIG
ClusterName=lab
SlurmctldHost=h1(10.77.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# a job that was queued again waits until its credential has expired; 120 s without this
AuthInfo=socket=$slurm/munge/socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,defer_batch=0
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=20
SlurmdTimeout=15
BatchStartTimeout=10
MessageTimeout=10
TCPTimeout=2
KillWait=5
InactiveLimit=0
MinJobAge=600
JobRequeue=1
PropagateResourceLimits=NONE
MailProg=/bin/true
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool/%n
TmpFS=$slurm/tmp/%n
SlurmctldPidFile=$slurm/run/slurmctld.pid
SlurmdPidFile=$slurm/run/slurmd.%n.pid
SlurmctldLogFile=$slurm/log/slurmctld.log
SlurmdLogFile=$slurm/log/slurmd.%n.log
NodeName=h[1-$1] CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=h[1-$1] Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
CONFIG
    # slurmd loads a cgroup plugin although nothing uses cgroups, and finds none by itself where they are not mounted
    echo "CgroupPlugin=cgroup/v1" >"$slurm/cgroup.conf"
    cat >"$slurm/env" <<ENV
export SLURM_CONF=$slurm/slurm.conf
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ENV
    for ((k = 1; k <= $1; k++)); do
        mkdir -p "$slurm/spool/h$k" "$slurm/tmp/h$k"
        chmod 1777 "$slurm/tmp/h$k"
    done
}

# start HOST NAME COMMAND...: a daemon in the foreground of a process of its own; its id goes to run/NAME.pid
start() {
    local host=$1 file=$slurm/run/$2.pid outer pid='' k
    alive "$file" && return
    setsid "$lab/on" "$host" "${clean[@]}" "${@:3}" </dev/null >>"$slurm/log/$2.out" 2>&1 &
    outer=$!
    for ((k = 0; k < 100; k++)); do
        pid=$(pgrep -P "$outer" -x "$3") && break
        sleep 0.05
    done
    echo "${pid:-$outer}" >"$file"
}

# end FILE: the daemon, and what it has begun where it does not go by itself
end() {
    local pid k
    if alive "$1"; then
        pid=$(cat "$1")
        kill "$pid" 2>/dev/null
        for ((k = 0; k < 50; k++)); do
            alive "$1" || break
            sleep 0.1
        done
        alive "$1" && kill -KILL "$pid"
    fi
    rm -f "$1"
}
steps() { # the step daemons of HOST (all), and what they run
    local pid
    for pid in $(pgrep -x slurmstepd); do
        grep -qzs "^SLURM_CONF=$slurm/" "/proc/$pid/environ" || continue
        [ -z "${1:-}" ] || [ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink "/proc/$(cat "$lab/hosts/run/$1.pid")/ns/pid")" ] || continue
        pgrep -P "$pid"
        echo "$pid"
    done
}

case "${1:-}" in
up)
    count=${2:-4}
    for program in munged slurmctld slurmd scontrol; do
        command -v "$program" >/dev/null || fail "$program is missing (slurm-wlm, munge)"
    done
    [ -x "$lab/on" ] || fail "hosts.sh up $count first"
    configure "$count"
    if ! alive "$slurm/run/munged.pid"; then # one for all: its socket is a file that all hosts see
        rm -f "$slurm/munge/socket" "$slurm/munge/socket.lock"
        setsid munged -F --force --key-file="$slurm/munge/key" --socket="$slurm/munge/socket" --pid-file="$slurm/munge/pid" \
            --log-file="$slurm/log/munged.log" --seed-file="$slurm/munge/seed" </dev/null >>"$slurm/log/munged.out" 2>&1 &
        echo $! >"$slurm/run/munged.pid"
    fi
    for ((k = 0; k < 100; k++)); do
        munge -S "$slurm/munge/socket" -n 2>/dev/null | unmunge -S "$slurm/munge/socket" >/dev/null 2>&1 && break
        sleep 0.1
    done
    [ "$k" -lt 100 ] || { cat "$slurm/log/munged.out" >&2; fail "munged does not answer"; }
    start h1 slurmctld slurmctld -D -f "$slurm/slurm.conf"
    for ((k = 1; k <= count; k++)); do start "h$k" "h$k" slurmd -D -f "$slurm/slurm.conf" -N "h$k"; done
    for ((k = 0; k < 300; k++)); do
        up=$("$lab/on" h1 "${clean[@]}" timeout 2 sinfo -h -N -t idle,alloc,mix,comp -o %N 2>/dev/null | sort -u | wc -l)
        [ "$up" -eq "$count" ] && exit 0
        # a node that has been marked down
        [ $((k % 20)) -ne 10 ] || "$lab/on" h1 "${clean[@]}" timeout 2 scontrol update "nodename=h[1-$count]" state=resume 2>/dev/null
        sleep 0.1
    done
    tail -n 5 "$slurm"/log/* >&2
    fail "only $up of $count nodes are up"
    ;;
kill)
    pid=$(cat "$slurm/run/$2.pid") || exit 1
    # shellcheck disable=SC2046
    kill -KILL "$pid" $(steps "$2") 2>/dev/null
    rm -f "$slurm/run/$2.pid"
    ;;
down)
    [ -d "$slurm" ] || exit 0
    if alive "$slurm/run/slurmctld.pid"; then
        "$lab/on" h1 "${clean[@]}" timeout 5 scancel -u root 2>/dev/null
        for ((k = 0; k < 20; k++)); do
            [ -n "$("$lab/on" h1 "${clean[@]}" timeout 3 squeue -h 2>/dev/null)" ] || break
            sleep 0.2
        done
    fi
    for file in "$slurm"/run/h*.pid "$slurm/run/slurmctld.pid"; do end "$file"; done
    # shellcheck disable=SC2046
    kill -KILL $(steps) 2>/dev/null
    end "$slurm/run/munged.pid"
    rm -rf "$slurm"
    ;;
*) fail "slurm.sh up N | kill hK | down" ;;
esac
