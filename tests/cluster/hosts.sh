#!/usr/bin/env bash
# hosts.sh up N | down - N hosts h1..hN on this machine, to test as on a cluster: each has its own network, host name,
# processes and /dev/shm (namespaces), the address 10.77.0.K, and an sshd; a bridge in a namespace of its own connects
# them. They share the file system. The machine's own network is left alone. Both may be called again and again.
# Then:  $LAB/on h1 COMMAND...   runs COMMAND on h1, where ssh to the others works
# LAB (/tmp/offramp-lab) is the folder of everything, and `down` removes it; several labs may be up at a time.
# Needs root, iproute2, openssh-server.
set -uo pipefail
lab=${LAB:-/tmp/offramp-lab}
hosts=$lab/hosts
network=10.77.0
tag=$(basename "$lab") # namespaces of two labs have different names
switch=$tag-switch
fail() { printf 'hosts.sh: %s\n' "$*" >&2; exit 1; }

# alive FILE: the process whose id is in FILE is the sshd or switch that was started here
alive() { [ -s "$1" ] && grep -qazs -e sshd -e "$lab" "/proc/$(cat "$1")/cmdline"; }

down() {
    local file name k
    for file in "$hosts"/run/wan.pid "$hosts"/run/h*.pid; do
        [ -e "$file" ] || continue
        alive "$file" && kill -KILL "$(cat "$file")" # process 1 of the host: the kernel ends all others with it
        rm -f "$file"
    done
    for file in "$hosts"/run/*.ns; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .ns)
        for ((k = 0; k < 50; k++)); do
            ip netns del "$name" 2>/dev/null
            ip netns list | grep -qw "$name" || break
            sleep 0.1
        done
        rm -f "$file"
    done
    rm -rf "$hosts" "$lab/on"
    rmdir "$lab" 2>/dev/null
    return 0
}

# A namespace of this name that is not ours is somebody else's.
new_namespace() {
    [ -e "$hosts/run/$1.ns" ] && ip netns list | grep -qw "$1" && return
    ip netns add "$1" || fail "the network namespace $1 cannot be made, or is somebody else's"
    touch "$hosts/run/$1.ns"
    ip -n "$1" link set lo up
}

configure() { # COUNT
    local etc=$hosts/ssh k
    mkdir -p "$etc" "$hosts/run"
    chmod 755 "$lab" "$hosts" "$etc"
    [ -f "$etc/id" ] || ssh-keygen -q -t ed25519 -N '' -C lab -f "$etc/id" || fail "no key"
    [ -f "$etc/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C lab -f "$etc/host_key" || fail "no key"
    cp "$etc/id.pub" "$etc/authorized_keys"
    cat >"$etc/sshd_config" <<CONFIG
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
PrintMotd no
MaxStartups 200:30:400
PidFile none
CONFIG
    cat >"$etc/ssh_config" <<CONFIG
Host *
  IdentityFile /etc/ssh/id
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
CONFIG
    printf '127.0.0.1 localhost\n' >"$hosts/hosts"
    for ((k = 1; k <= $1; k++)); do printf '%s.%d h%d\n' "$network" "$k" "$k"; done >>"$hosts/hosts"
    for ((k = 1; k <= $1; k++)); do printf 'h%d\n' "$k"; done >"$hosts/hostfile"
    # nsenter itself stays a process of the machine; its child is one of the host
    cat >"$lab/on" <<'ON'
#!/usr/bin/env bash
# on HOST COMMAND... - runs COMMAND on that host, in the same folder
pid=$(cat "$(dirname "$0")/hosts/run/$1.pid") || exit 1
shift
exec nsenter -t "$pid" -m -u -i -n -p --wdns="$PWD" -- "$@"
ON
    chmod +x "$lab/on"
}

start() { # K
    local host=h$1 outer pid='' k
    local space=$tag-$host
    new_namespace "$space"
    if ! ip -n "$space" link show eth0 >/dev/null 2>&1; then
        ip -n "$switch" link del "p$1" 2>/dev/null
        ip -n "$switch" link add "p$1" type veth peer name eth0 netns "$space" || fail "no cable for $host"
        ip -n "$switch" link set "p$1" master br0
        ip -n "$space" addr add "$network.$1/24" dev eth0
    fi
    ip -n "$switch" link set "p$1" up
    ip -n "$space" link set eth0 up
    alive "$hosts/run/$host.pid" && return
    # shellcheck disable=SC2016
    setsid ip netns exec "$space" unshare --uts --mount --ipc --pid --fork --kill-child --mount-proc bash -c '
        hostname "$1"
        mount --make-rprivate /
        mount -t tmpfs -o mode=1777 tmpfs /dev/shm && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/sshd /run/lock
        mount --bind "$2/ssh" /etc/ssh && mount --bind "$2/hosts" /etc/hosts
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/sbin/sshd -D -E "$2/run/$1.sshd.log"
        ' - "$host" "$hosts" </dev/null >>"$hosts/run/$host.log" 2>&1 &
    outer=$!
    for ((k = 0; k < 100; k++)); do
        pid=$(pgrep -P "$outer" -x sshd | head -n 1)
        [ -n "$pid" ] && break
        sleep 0.05
    done
    [ -n "$pid" ] || { cat "$hosts/run/$host.log" >&2; fail "$host did not start"; }
    echo "$pid" >"$hosts/run/$host.pid"
}

case ${1:-} in
up)
    [ "$(id -u)" -eq 0 ] || fail "root is needed"
    for program in ip nsenter unshare ssh-keygen /usr/sbin/sshd; do
        command -v "$program" >/dev/null || fail "$program is missing (iproute2, util-linux, openssh-server)"
    done
    count=${2:-4}
    configure "$count"
    new_namespace "$switch"
    ip -n "$switch" link show br0 >/dev/null 2>&1 || ip -n "$switch" link add br0 type bridge || fail "no bridge"
    ip -n "$switch" link set br0 up
    for ((k = 1; k <= count; k++)); do start "$k"; done
    for ((k = 1; k <= count; k++)); do
        for ((tries = 0; tries < 50; tries++)); do
            "$lab/on" h1 timeout 5 ssh -o ConnectTimeout=2 "h$k" true 2>/dev/null </dev/null && continue 2
            sleep 0.1
        done
        fail "ssh from h1 to h$k does not work, see $hosts/run/h$k.sshd.log"
    done
    ;;
down) down ;;
*) fail "hosts.sh up N | down" ;;
esac
