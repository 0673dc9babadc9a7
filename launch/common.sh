# shellcheck shell=bash
# common.sh - what the launch scripts share; sourced by them, from any folder. Needs bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n== %s\n' "$*"; }
die() { printf 'offramp: %s\n' "$*" >&2; exit 1; }

# Runs a command as root: as it is for root, by sudo for others, saying so.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        echo "with sudo: $*"
        sudo "$@"
    else
        die "root is needed for \"$*\" and there is no sudo; ask your administrator to run launch/install-deps.sh"
    fi
}

# Open MPI refuses to start as root unless told twice; in a container root is the usual user.
allow_root_mpi() {
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
}

# build FOLDER [cmake options...]: configures and compiles the project into FOLDER.
build() {
    local folder=$1
    shift
    cmake -S "$root" -B "$folder" "$@" >"$folder.log" 2>&1 || { tail -n 20 "$folder.log"; die "cmake failed, see $folder.log"; }
    cmake --build "$folder" --parallel "$(nproc)" >>"$folder.log" 2>&1 ||
        { grep -E 'error|warning' "$folder.log" | head -n 20; die "the build failed, see $folder.log"; }
}
