#!/usr/bin/env bash
# launch/offramp-mpirun on one host: what it makes of ranks that end, fall silent, hang or are told to stop, and that
# nothing is left behind. The ranks are a shell script, so that each does what the case is about; then the real thing.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

launcher=$SOURCE/launch/offramp-mpirun
unset OMPI_MCA_rmaps_base_oversubscribe OMPI_MCA_hwloc_base_binding_policy OMPI_MCA_btl
export OFFRAMP_MARGIN=2
fake=$scratch/offramp
cat >"$fake" <<'FAKE'
#!/usr/bin/env bash
# offramp CASE [--timeout S] [--threads N]: what a rank does in that case
[ "$2" = --help ] && { printf '  --timeout S  silence\n  --threads N  threads\n'; exit 0; }
rank=$OMPI_COMM_WORLD_RANK
case $1 in
stops) trap 'exit 75' USR1 ;;
stays) trap '' USR1 TERM ;;
state) trap 'echo "offramp: rank $rank computes" >&2' USR2 ;;
esac
[ "$rank" -ne 0 ] || sleep 0.5 # the others have come so far, as when MPI has started
[ "$OFFRAMP_ALIVE" = 1 ] || { echo "offramp: no OFFRAMP_ALIVE"; exit 1; }
say() { [ "$rank" -ne 0 ] || printf '%b' "$1" >&2; }
alive() { say '\036alive\n'; }
exec 9<> <(:)
nap() { read -r -t 0.1 -u 9; } # no child, which a signal to the rank would end, too
beat() { for ((i = 0; i < $1 * 10; i++)); do ((i % 10)) || alive; nap; done; }
case $1 in
good) alive; say 'first\n'; say '50 %'; sleep 0.6; alive; say ' 100 %\n-----\nlast'; [ "$rank" -ne 0 ] || cat ;;
args) [ "$rank" -ne 0 ] || echo "$@" ;;
code) alive; [ "$rank" -ne 1 ] || exit "$COD"; beat 5 ;;
said) alive; [ "$rank" -ne 1 ] || { echo "offramp: no such model" >&2; exit 3; }; beat 5 ;;
killed) alive; [ "$rank" -ne 1 ] || kill -"$COD" $$; beat 20 ;;
silent) trap '' TERM; alive; sleep 60 ;;
mute) trap '' TERM; sleep 60 ;;
lost) trap '' TERM; alive; say 'offramp: rank 1 lost (h3): no sign of life for 15 s\n\036lost\n'; beat 60 ;;
stops | stays) beat 60 ;;
state) beat 12 ;;
esac
exit 0
FAKE
chmod +x "$fake"

# launch NAME=VALUE... CASE ARGS: in the background; `ended` waits for it
launch() {
    begun=$(date +%s%N)
    env --default-signal=INT "$@" </dev/null >"$scratch/out" 2>"$scratch/err" &
    job=$!
}
# ended CODE SECONDS [PART]: ends with that code within so many seconds, with one message, which holds PART, and leaves
# no process of its own.
ended() {
    local code took left
    wait "$job" 2>/dev/null
    code=$?
    took=$((($(date +%s%N) - begun) / 1000000))
    [ "$code" -eq "$1" ] || { cat "$scratch/err"; fail "$what: code $code, expected $1"; }
    [ "$took" -le $(($2 * 1000)) ] || fail "$what: ended after $took ms, expected $2 s at most"
    if [ $# -gt 2 ]; then
        grep -q "^offramp: .*$3" "$scratch/err" && [ "$(grep -c '' "$scratch/err")" -eq 1 ] ||
            { cat "$scratch/err"; fail "$what: expected one line with \"$3\""; }
    else
        [ ! -s "$scratch/err" ] || { cat "$scratch/err"; fail "$what: expected no message"; }
    fi
    for ((tries = 0; tries < 30; tries++)); do
        left=$(pgrep -f "$fake") || break
        sleep 0.1
    done
    [ -z "$left" ] || { ps -f -p "$left"; fail "$what: processes are left"; }
}
fakes() { launch "${@:2}" "$launcher" --quiet -n 3 --timeout 2 --offramp "$fake" "$1"; }

# ---- what goes in and out ----
what="stdin and stdout"
printf 'from\nstdin\n' | "$launcher" --quiet -n 2 --offramp "$fake" good >"$scratch/out" 2>"$scratch/err" || fail "good: code $?"
printf 'from\nstdin\n' | cmp - "$scratch/out" || fail "$what"
printf 'first\n50 %% 100 %%\n-----\nlast' | cmp - "$scratch/err" || { cat -A "$scratch/err"; fail "stderr is not passed on as it was"; }
"$launcher" -n 2 --timeout 7 --offramp "$fake" args --threads 5 </dev/null >"$scratch/out" 2>"$scratch/err" || fail "args: code $?"
[ "$(cat "$scratch/out")" = "args --threads 5 --timeout 7" ] || fail "offramp was told: $(cat "$scratch/out")"
grep -qE '^rank 1: [^ ]+, [0-9]+ of its cores, 5 threads$' "$scratch/err" || fail "no mapping: $(cat "$scratch/err")"
"$launcher" --quiet -n 2 --offramp "$fake" args --timeout 9 </dev/null >"$scratch/out" || fail "args: code $?"
grep -qx "args --timeout 9 --threads [0-9]*" "$scratch/out" || fail "offramp was told: $(cat "$scratch/out")"

# ---- refused ----
for case in "no command" "-n x eval" "--what eval" "--hostfile $scratch/none eval" "--per 0 eval" "--offramp $scratch/none eval"; do
    # shellcheck disable=SC2086
    [ "$case" = "no command" ] && case=
    what="offramp-mpirun $case"
    # shellcheck disable=SC2086
    launch "$launcher" $case
    ended 2 5 ""
done
what="a host that is not there"
launch OFFRAMP_SSH=false "$launcher" --host nowhere,neither --offramp "$fake" good
ended 76 10 "host nowhere does not answer"

# ---- ranks that end ----
for code in 1 2 3; do what="code $code"; fakes code COD=$code; ended "$code" 8 "rank .*ended with code $code and"; done
what="code 75"; fakes code COD=75; ended 75 8
what="code 76"; fakes code COD=76; ended 76 8 "rank .*code 76"
what="another code"; fakes code COD=7; ended 76 8 "rank .*code 7"
what="a refusal"; fakes said; ended 3 8 "no such model"
for signal in KILL SEGV ABRT; do what="SIG$signal"; fakes killed COD=$signal; ended 76 8 "rank .*lost.* ended by signal"; done

# ---- ranks that hang ----
what="no sign of life"; fakes silent; ended 76 12 "rank 0 lost .* no sign of life for"
what="no start"; fakes mute; ended 76 16 "has not started"
what="a loss that mpirun does not end"; fakes lost; ended 76 12 "rank 1 lost (h3): no sign of life for 15 s"
what="a mpirun that has locked itself up when its rank died"
mkdir "$scratch/stuck"
printf '#!/usr/bin/env bash\n[ "$1" != --version ] || { echo "mpirun (Open MPI) 4.1.4"; exit; }\n(exec -a offramp sleep 1) &\nwait\nexec -a mpirun sleep 60\n' >"$scratch/stuck/mpirun"
chmod +x "$scratch/stuck/mpirun"
launch PATH="$scratch/stuck:$PATH" "$launcher" --quiet -n 2 --timeout 30 --offramp "$fake" mute
ended 76 10 "a rank lost .*ended without a word"

# ---- signals ----
alive_yet() { for ((tries = 0; tries < 100; tries++)); do pgrep -f "$fake" >/dev/null && break; sleep 0.1; done; sleep 1.5; }
for signal in USR1 TERM INT HUP; do
    what="SIG$signal"; fakes stops; alive_yet
    kill -"$signal" "$job"; ended 75 10
done
what="SIGTERM at the start"; fakes stops; sleep 0.3
kill -TERM "$job"
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/err"; fail "$what: code $code"; }
if [ -s "$scratch/err" ]; then # ranks were not there yet
    [ "$(cat "$scratch/err")" = "offramp: stopped before the job had started; go on with --resume" ] || { cat "$scratch/err"; fail "$what"; }
fi
what="SIGTERM, and no stop"
launch "$launcher" --quiet -n 3 --timeout 2 --grace 2 --offramp "$fake" stays; alive_yet
kill -TERM "$job"; ended 76 14 "ended by SIGTERM"
what="SIGTERM, and a second one"
launch "$launcher" --quiet -n 3 --timeout 2 --grace 60 --offramp "$fake" stays; alive_yet
kill -TERM "$job"; sleep 0.5; kill -TERM "$job"; ended 76 14 "ended by SIGTERM"
what="SIGUSR2"; fakes state; alive_yet
for ((tries = 0; tries < 10; tries++)); do # on a busy machine ranks may not listen yet
    kill -USR2 "$job"
    sleep 0.5
    [ "$(grep '^offramp: rank [012] computes$' "$scratch/err" | sort -u | wc -l)" -eq 3 ] && break
done
wait "$job" || { c=$?; cat "$scratch/err"; fail "$what: code $c"; }
[ "$tries" -lt 10 ] || fail "$what: $(cat "$scratch/err")"
what="SIGKILL"; fakes stays; alive_yet
kill -KILL "$job"; ended 137 10

# ---- offramp itself ----
args=(eval --config "$demo/job.json" --limit "$ROWS" --quiet)
on 1 "${args[@]}" --output "$scratch/one" --threads 1 || fail "one rank: code $?"
unset OFFRAMP_MARGIN
"$launcher" --quiet -n 3 --offramp "$OFFRAMP" "${args[@]}" --output "$scratch/three" </dev/null || fail "three ranks: code $?"
same "$scratch/one/results.jsonl" "$scratch/three/results.jsonl"
what="a bad task"
launch "$launcher" --quiet -n 2 --offramp "$OFFRAMP" eval --model "$demo/model" --task "$scratch/none.json" --output "$scratch/none"
ended 3 10 "none.json"
