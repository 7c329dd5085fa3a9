# shellcheck shell=bash
# What must be on the machine: found, installed, or named with what to do.

CACHE=${DITTOFS_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/dittofs-operator}
CARGO_DENY_VERSION=0.20.2

# need_packages PROGRAM=PACKAGE...: install the Debian packages of the programs that are not there.
need_packages() {
  local pair log missing=() apt=(apt-get -o DPkg::Lock::Timeout=300 -q)
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (Debian's names); install them and try again"
  ((EUID == 0)) || die "missing: ${missing[*]}; install them as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  log=$(mktemp)
  { "${apt[@]}" update && DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    die "apt-get could not install ${missing[*]}; all it said: $log"
  }
  rm -f "$log"
}

# need_rust: a Rust toolchain that is new enough, and a linker for it.
need_rust() {
  local wanted found
  [[ -z ${HOME:-} ]] || PATH=$PATH:$HOME/.cargo/bin
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
  command -v cargo >/dev/null || die "Rust is missing: install Rust $wanted or later with rustup, then open a new shell"
  found=$(rustc --version | cut -d' ' -f2)
  [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
    die "Rust $wanted or later is needed, this is $found: rustup update stable"
  need_packages cc=build-essential
}

# need_rust_component NAME PROGRAM: a part of the toolchain.
need_rust_component() {
  "$2" --version >/dev/null 2>&1 && return 0
  command -v rustup >/dev/null || die "$2 is missing, and so is rustup: install the toolchain's $1"
  say "installing the Rust component $1"
  rustup component add "$1" >&2
}

# need_cargo_deny: sets CARGO_DENY; built once into the cache.
need_cargo_deny() {
  local folder=$CACHE/tools/cargo-deny-$CARGO_DENY_VERSION
  CARGO_DENY=$folder/bin/cargo-deny
  [[ -x $CARGO_DENY ]] && return 0
  say "building cargo-deny $CARGO_DENY_VERSION, once (about 3 minutes)"
  # Outside the checkout: this repository's settings are not meant for it.
  (cd / && env -u CARGO_TARGET_DIR -u RUSTFLAGS cargo install --quiet --locked --root "$folder" \
    "cargo-deny@$CARGO_DENY_VERSION") >&2 || die 'cargo-deny could not be built'
}

# need_kubectl: put the kit's own kubectl on the PATH (and set KUBECTL_FOLDER) when the machine has none. Call it after `hack/cluster up`.
need_kubectl() {
  command -v kubectl >/dev/null && return 0
  local program
  program=$(
    KIT=$ROOT/hack/kit
    # shellcheck source=/dev/null
    source "$KIT/lib/paths.sh"
    # shellcheck source=/dev/null
    source "$KIT/lib/build.sh"
    kubectl_program
  )
  [[ -x $program ]] || die 'kubectl is missing: install it and put it on the PATH'
  KUBECTL_FOLDER=${program%/*}
  PATH=$KUBECTL_FOLDER:$PATH
}
