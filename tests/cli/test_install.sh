#!/usr/bin/env bash
# cmake --install puts everything in place; the installed binary finds its configs, also when it has been moved,
# and a program builds against the installed library by pkg-config.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

cmake --install "$BUILD" --prefix "$scratch/prefix" >/dev/null || fail "cmake --install"
for file in bin/offramp bin/offramp-mpirun include/offramp/offramp.h share/offramp/configs/demo/job.json \
    share/offramp/launch/quickstart.sh share/doc/offramp/README.md; do
    [ -e "$scratch/prefix/$file" ] || fail "$file was not installed"
done
mv "$scratch/prefix" "$scratch/moved"
cd "$scratch" || exit 1
mkdir empty && cd empty || exit 1
env -u SOURCE "$scratch/moved/bin/offramp" eval --config demo/job.json --limit 2 --output out --threads 1 >table 2>err ||
    { cat err; fail "installed eval: code $?"; }
grep -q 'all tasks' table || fail "no table"
env -u OFFRAMP "$scratch/moved/bin/offramp-mpirun" --quiet --dry-run eval | grep -q "^mpirun .*$scratch/moved/bin/offramp eval" ||
    fail "offramp-mpirun does not find the offramp beside it"
[ "$(jq '.command | length' out/run.json)" -gt 3 ] || fail "run.json has no command line"

case $(jq -r '[.[] | select(.file | endswith("status.c"))][0].command' "$BUILD/compile_commands.json") in
*-fsanitize*) exit 0 ;; # the library needs the sanitizers' flags then
esac
pc=$(find "$scratch/moved" -name offramp.pc)
[ -n "$pc" ] || fail "no pkg-config file"
cat >program.c <<'C'
#include <offramp/offramp.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    or_checkpoint *checkpoint;
    or_status status = or_checkpoint_open(argc > 1 ? argv[1] : ".", &checkpoint);
    if (status != OR_OK) return printf("%s\n", or_status_message()), (int)status;
    printf("%d layers\n", or_checkpoint_hparams(checkpoint)->n_layers);
    or_checkpoint_close(checkpoint);
    return 0;
}
C
export PKG_CONFIG_PATH=${pc%/*}
# shellcheck disable=SC2046
gcc -std=c11 program.c -o program $(pkg-config --define-variable=prefix="$scratch/moved" --static --cflags --libs offramp) ||
    fail "a program does not build against the installed library"
[ "$(./program "$demo/model")" = "16 layers" ] || fail "the program does not see the demo model"
