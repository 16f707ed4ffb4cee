# Shared by the scripts: sourced, not run. Packages, configuring and building.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cores=$(nproc)
# shellcheck disable=SC2034  # used by the scripts that source this
packages=(g++ cmake ninja-build libopenblas-dev libtbb-dev libhwy-dev libbenchmark-dev catch2
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev zlib1g-dev)

say() { echo "${0##*/}: $*" >&2; }
die() {
  say "$@"
  exit 1
}

# need PACKAGE...: installs what is missing; does nothing, and needs no network, when all are there.
need() {
  command -v dpkg-query >/dev/null || {
    say "no dpkg here, so this cannot check or install packages; needed, by their Debian names: $*"
    return 0
  }
  # Packages of another architecture do not count, unless asked for as package:architecture.
  local package missing=() native
  native="all|$(dpkg --print-architecture)"
  for package in "$@"; do
    dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "$package" 2>/dev/null |
      grep -qxE "($([[ $package = *:* ]] && echo '.*' || echo "$native")) installed" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]}; there is no apt-get here, install them by other means"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "missing: ${missing[*]}; run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing with apt-get: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    die "apt-get failed (whole log: $log); try: apt-get install ${missing[*]}"
  fi
  rm -f "$log"
}

# build PRESET [cmake option...]: configures and builds build/PRESET. On a terminal it shows the progress, elsewhere
# one line; errors always, and the whole output stays in build/PRESET/build.log.
build() {
  local preset=$1 folder=$root/build/$1 start=$SECONDS
  shift
  mkdir -p "$folder"
  (cd "$root" && cmake --preset "$preset" "$@") >"$folder/configure.log" 2>&1 || {
    cat "$folder/configure.log" >&2
    die "configuring the preset '$preset' failed"
  }
  if [ -t 1 ]; then
    cmake --build "$folder" -j "$cores"
  else
    cmake --build "$folder" -j "$cores" >"$folder/build.log" 2>&1 || {
      grep -v '^\[[0-9]*/[0-9]*\] ' "$folder/build.log" | head -n 100 >&2
      die "building the preset '$preset' failed (whole output: build/$preset/build.log)"
    }
  fi
  say "build/$preset is up to date ($((SECONDS - start)) s)"
}
