#!/usr/bin/env bash
# Command two: builds with warnings as errors and passes all tests, then once more under AddressSanitizer and
# UBSan; then, where clang with libFuzzer is, fuzzes what reads model files, a minute each. Needs what
# install-deps.sh installs. Ends with code 0 when everything passed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ -f "$root/CMakeLists.txt" ] || die "check.sh needs the source tree, this is an installed copy"
"$root/launch/install-deps.sh"
allow_root_mpi

# run_tests FOLDER LABEL: skipped tests are named, with what they need.
run_tests() {
    say "tests ($2)"
    ctest --test-dir "$1" --output-on-failure --parallel "$(nproc)"
    grep -hE '^skipped: ' "$1/Testing/Temporary/LastTest.log" | sort | uniq -c || true
}

has_libfuzzer() {
    local program code=0
    program=$(mktemp)
    echo 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }' |
        clang -fsanitize=fuzzer,address,undefined -x c -o "$program" - >/dev/null 2>&1 || code=1
    rm -f "$program"
    return $code
}

say "building $root/build (Release)"
build "$root/build" -DCMAKE_BUILD_TYPE=Release -DOFFRAMP_WERROR=ON
say "building $root/build-sanitize (AddressSanitizer, UBSan)"
build "$root/build-sanitize" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DOFFRAMP_WERROR=ON -DOFFRAMP_SANITIZE=ON

if command -v shellcheck >/dev/null 2>&1; then
    say "shellcheck"
    find "$root/launch" "$root/tests" "$root/configs" -name '*.sh' -print0 | xargs -0 shellcheck -x -S warning
fi
run_tests "$root/build" "Release"
run_tests "$root/build-sanitize" "AddressSanitizer, UBSan"
if has_libfuzzer; then
    say "building $root/build-fuzz (clang, libFuzzer)"
    build "$root/build-fuzz" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DOFFRAMP_FUZZ=ON
    say "fuzzing"
    "$root/tests/fuzz/run.sh" "$root/build-fuzz" 60
else
    say "skipped: fuzzing needs clang with libFuzzer (Debian: clang, libclang-rt-14-dev)"
fi
say "all checks passed"
