#!/usr/bin/env bash
# The seeds of the fuzz targets in the source tree are what make_corpus writes, byte by byte. That they open is
# checked by test_header_fields.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

"$BUILD/tests/make_corpus" "$scratch/corpus" || fail "make_corpus ended with $?"
diff -r "$scratch/corpus" "$SOURCE/tests/fuzz/corpus" ||
    fail "seeds have changed: run $BUILD/tests/make_corpus $SOURCE/tests/fuzz/corpus if they should"
