# shellcheck shell=bash
# Go components, built once into a content-addressed cache: bin/<component>-<key>/<program>.

K8S_VERSION=v1.36.2

# build_flags: sets BUILD_FLAGS. The stamped version is what /version and `kubectl version` report.
build_flags() {
  local package stamp=''
  if [[ $1 == kubernetes ]]; then
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      stamp+=" -X $package.gitVersion=$K8S_VERSION -X $package.gitMajor=1 -X $package.gitMinor=36 -X $package.gitTreeState=clean"
    done
  fi
  BUILD_FLAGS=(-mod=readonly -trimpath -buildvcs=false "-ldflags=-s -w$stamp")
}

# bin_dir COMPONENT: the cache folder of this exact source and these flags.
bin_dir() {
  local dir=$KIT/components/$1 key
  build_flags "$1"
  key=$({
    cat "$dir"/go.mod
    cat "$dir"/go.sum "$dir"/*.go 2>/dev/null || true
    printf '%s\n' "${BUILD_FLAGS[@]}" "$(uname -m)"
  } | sha256sum | cut -c1-16)
  echo "$CACHE_ROOT/bin/$1-$key"
}

# ensure_programs COMPONENT COLD_TIME PACKAGE...: build those programs that the cache does not hold.
ensure_programs() {
  local component=$1 cold=$2 dir package scratch missing=()
  shift 2
  dir=$(bin_dir "$component")
  mkdir -p "$dir"
  exec 8>"$CACHE_ROOT/bin/lock"
  flock -n 8 || {
    say "waiting for another build"
    flock 8
  }
  for package in "$@"; do
    [[ -x $dir/$(program_name "$package") ]] || missing+=("$package")
  done
  if ((${#missing[@]})); then
    require_go
    say "building $component: $(for package in "${missing[@]}"; do program_name "$package"; done | paste -sd' ') (cold: $cold, cached afterwards)"
    build_flags "$component"
    # What an interrupted build left; with the lock held it belongs to nobody.
    rm -rf "$CACHE_ROOT"/bin/new.*
    scratch=$(mktemp -d "$CACHE_ROOT/bin/new.XXXXXX")
    if ! (cd "$KIT/components/$component" &&
      GOWORK=off GOFLAGS='' CGO_ENABLED=0 go build "${BUILD_FLAGS[@]}" -o "$scratch/" "${missing[@]}") \
      >"$scratch.log" 2>&1 8>&- 9>&-; then
      grep -v '^go: downloading' "$scratch.log" | tail -n 20 >&2
      rm -rf "$scratch" "$scratch.log"
      die "building $component failed"
    fi
    mv "$scratch"/* "$dir/"
    rm -rf "$scratch" "$scratch.log"
  fi
  exec 8>&-
}

# program_name PACKAGE: the name `go build` gives its program; `.` is the module's own folder.
program_name() {
  local name=${1##*/}
  [[ $1 == . ]] && name=pause
  echo "$name"
}

# build_level LEVEL: all programs of a level, one component at a time.
build_level() {
  local k8s=k8s.io/kubernetes/cmd wanted
  wanted=("$k8s/kube-apiserver" "$k8s/kube-controller-manager")
  command -v kubectl >/dev/null || wanted+=("$k8s/kubectl")
  [[ $1 == node ]] && wanted+=("$k8s/kube-scheduler" "$k8s/kubelet" "$k8s/kube-proxy")
  ensure_programs kubernetes 'about 7 minutes' "${wanted[@]}"
  [[ $1 == node ]] || return 0
  ensure_programs pause 'seconds' .
  ensure_programs coredns 'about 4 minutes' github.com/coredns/coredns
  ensure_dfs
}

# ensure_dfs: the file server.
ensure_dfs() { ensure_programs dfs 'about 2 minutes' github.com/marmos91/dittofs/cmd/dfs; }

# ensure_versitygw: an S3 server, for tests of remote stores.
ensure_versitygw() { ensure_programs versitygw 'about 2 minutes' github.com/versity/versitygw/cmd/versitygw; }

# kubectl_program: the kubectl of the PATH, else our own build.
kubectl_program() { command -v kubectl || echo "$(bin_dir kubernetes)/kubectl"; }

# kube ARGS...: kubectl as the cluster's admin.
kube() {
  env -u HTTPS_PROXY -u HTTP_PROXY -u https_proxy -u http_proxy "$(kubectl_program)" --kubeconfig "$STATE/kubeconfig" "$@"
}
