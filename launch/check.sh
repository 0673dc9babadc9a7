#!/usr/bin/env bash
# Command two: builds with warnings as errors and passes all tests, then once more under AddressSanitizer and
# UBSan; then fuzzes what reads model files, a minute each (clang's libFuzzer). Installs what it needs. Ends with code
# 0 when everything passed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ -f "$root/CMakeLists.txt" ] || die "check.sh needs the source tree, this is an installed copy"
"$root/launch/install-deps.sh" shellcheck clang libclang-rt-14-dev
allow_root_mpi

# run_tests FOLDER LABEL: skipped tests are named, with what they need. More at a time than there are cores, as many wait
# for Open MPI to end what has failed.
run_tests() {
    say "tests ($2)"
    ctest --test-dir "$1" --output-on-failure --parallel "$(($(nproc) * 3 / 2))"
    grep -hE '^skipped: ' "$1/Testing/Temporary/LastTest.log" | sort | uniq -c || true
}

say "building $root/build (Release)"
build "$root/build" -DCMAKE_BUILD_TYPE=Release -DOFFRAMP_WERROR=ON
say "building $root/build-sanitize (AddressSanitizer, UBSan)"
build "$root/build-sanitize" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DOFFRAMP_WERROR=ON -DOFFRAMP_SANITIZE=ON

say "shellcheck"
find "$root/launch" "$root/tests" "$root/configs" "$root/benchmarks" \( -name '*.sh' -o -name '*.sbatch' \
    -o -name offramp-mpirun \) -print0 |
    xargs -0 shellcheck -x -S warning
run_tests "$root/build" "Release"
run_tests "$root/build-sanitize" "AddressSanitizer, UBSan"
say "building $root/build-fuzz (clang, libFuzzer)"
build "$root/build-fuzz" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DOFFRAMP_FUZZ=ON
say "fuzzing"
"$root/tests/fuzz/run.sh" "$root/build-fuzz" 60
say "all checks passed"
