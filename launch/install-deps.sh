#!/usr/bin/env bash
# Installs the Debian packages that offramp is built and tested with, and those named as arguments; does nothing when
# all are there.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(build-essential cmake pkg-config libopenmpi-dev openmpi-bin libopenblas-dev libsvm-dev libcjson-dev
    liblbfgs-dev libcmocka-dev libxxhash-dev libpcre2-dev jq gnuplot-nox "$@")

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ "${#missing[@]}" -eq 0 ] && exit 0

command -v apt-get >/dev/null 2>&1 || die "this script knows Debian only; install by hand: ${missing[*]}"
say "installing ${missing[*]}"
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
