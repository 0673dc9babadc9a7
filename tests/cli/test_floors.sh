#!/usr/bin/env bash
# A floor sees the headers of its own and of the floors below: including one of a higher floor, or mpi.h outside
# of pipeline and cli, does not compile.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# flags FLOOR: the include flags with which the build compiles that floor
flags() {
    jq -r --arg floor "/src/$1/" '[.[] | select(.file | contains($floor))][0].command' "$BUILD/compile_commands.json" |
        grep -oE '(-I|-isystem )[^ ]+' | tr '\n' ' '
}

# compiles FLOOR HEADER
compiles() {
    # shellcheck disable=SC2046
    printf '#include <%s>\n' "$2" | gcc -std=c11 -D_GNU_SOURCE -fsyntax-only $(flags "$1") -x c - 2>/dev/null
}

# check FLOOR yes|no HEADER...
check() {
    local floor=$1 wanted=$2 header found
    shift 2
    [ -n "$(flags "$floor")" ] || fail "no compile command of floor $floor"
    for header in "$@"; do
        found=no
        compiles "$floor" "$header" && found=yes
        [ "$found" = "$wanted" ] || fail "floor $floor, header $header: compiles: $found, expected $wanted"
    done
}

check base yes offramp/status.h json.h
check base no offramp/checkpoint.h offramp/tokenizer.h offramp/model.h compute.h mpi.h
check formats yes offramp/checkpoint.h
check formats no offramp/tokenizer.h compute.h offramp/model.h mpi.h
check text yes offramp/tokenizer.h
check text no offramp/checkpoint.h compute.h offramp/model.h mpi.h
check compute yes compute.h
check compute no offramp/checkpoint.h offramp/tokenizer.h offramp/model.h offramp/policy.h mpi.h
check model yes compute.h offramp/checkpoint.h offramp/model.h
check model no offramp/policy.h offramp/pipeline.h offramp/task.h mpi.h
check exit yes offramp/model.h offramp/policy.h
check exit no offramp/pipeline.h offramp/task.h mpi.h
check pipeline yes offramp/policy.h offramp/pipeline.h mpi.h
check pipeline no offramp/task.h offramp/eval.h cli.h
check eval yes offramp/pipeline.h offramp/task.h
check eval no cli.h options.h

# MPI is called in the transport and in main.c, and nowhere else.
others=$(grep -lE '\bMPI_[A-Z][a-z]+ *\(' -r "$SOURCE/src" | grep -vE 'src/pipeline/transport|src/cli/main\.c')
[ -z "$others" ] || fail "MPI is called in $others"
