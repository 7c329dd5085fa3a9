# shellcheck shell=bash
# Checks before anything is changed, each with a plain message.

# preflight LEVEL: can a cluster of that level run here?
preflight() {
  [[ $1 == control-plane ]] || ((EUID == 0)) ||
    die "level node needs root (namespaces, mounts, cgroups): use sudo, or --level control-plane"
  preflight_build
  [[ $1 == node ]] || return 0
  unshare --mount --net --pid --uts --ipc --fork --mount-proc true 2>/dev/null ||
    die "this machine does not let us make network, mount and pid namespaces (a container without privileges?)"
  require_cgroups
  require_watches
}

# preflight_build: can the programs be built here? Needs no root.
preflight_build() {
  [[ $(uname -s) == Linux ]] || die "this kit runs on Linux only; use kind instead, see docs/kind.md"
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) die "this kit runs on amd64 and arm64 only, this is $(uname -m)" ;;
  esac
  mkdir -p "$STATE_ROOT" "$CACHE_ROOT" 2>/dev/null || true
  [[ -w $STATE_ROOT && -w $CACHE_ROOT ]] ||
    die "cannot write to $STATE_ROOT and $CACHE_ROOT: be root, or set DITTOFS_STATE_DIR and DITTOFS_CACHE_DIR"
  require_room
}

# require_room: disk for the builds (module cache, build cache, programs) and memory for the compiler.
require_room() {
  local free_kib need_kib=$((12 * 1024 * 1024)) dir memory_kib
  # With the programs built, a cluster needs little.
  [[ -x $(bin_dir kubernetes)/kube-apiserver ]] && need_kib=$((2 * 1024 * 1024))
  for dir in "$STATE_ROOT" "$CACHE_ROOT"; do
    free_kib=$(df --output=avail -k "$dir" | tail -n 1)
    ((free_kib >= need_kib)) || die "$dir: $((free_kib / 1024 / 1024)) GiB free, $((need_kib / 1024 / 1024)) GiB needed"
  done
  memory_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  ((memory_kib >= 2 * 1024 * 1024)) || die "$((memory_kib / 1024)) MiB of memory available, 2048 MiB needed"
}

require_cgroups() {
  local controller
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    warn "cgroup v2 only: this kit was tested with cgroup v1; trying"
    for controller in cpu memory pids; do
      grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || die "cgroup controller '$controller' is missing"
    done
    return 0
  fi
  for controller in cpu cpuacct cpuset memory pids; do
    mountpoint -q "/sys/fs/cgroup/$controller" || [[ -d /sys/fs/cgroup/$controller ]] ||
      die "cgroup controller '$controller' is not mounted below /sys/fs/cgroup"
  done
}

# require_watches: every cluster's kubelet, containerd and controllers watch files. With the usual limit of 128
# instances for each user the fifth cluster fails with "too many open files".
require_watches() {
  local limit=/proc/sys/fs/inotify/max_user_instances wanted=1024 found
  found=$(<"$limit")
  ((found < wanted)) || return 0
  { echo "$wanted" >"$limit"; } 2>/dev/null ||
    warn "fs.inotify.max_user_instances is $found and cannot be raised here: more than about $((found / 30)) clusters at once will fail"
}

# require_go: called only when something has to be built.
require_go() {
  local version
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null ||
    die "Go is missing: install Go 1.26 or later from the Go project (Debian's is too old) and put it on the PATH"
  version=$(GOTOOLCHAIN=local go env GOVERSION)
  [[ $(printf '%s\n' go1.26 "$version" | sort -V | head -n 1) == go1.26 ]] ||
    die "Go 1.26 or later is needed, this is $version: install a newer one from the Go project"
}

# free_index: the lowest index that no cluster has and whose subnets and ports nobody else uses.
free_index() {
  local i net taken
  for ((i = 0; i < MAX_CLUSTERS; i++)); do
    grep -qsx "$i" "$STATE_ROOT"/clusters/*/index && continue
    plan_addresses "$i"
    taken=$(for net in "$NODE_NET" "$LB_NET" "$SERVICE_NET" "$POD_NET"; do
      ip -4 route show to root "$net"
      ip -4 route show to match "$net" | grep -v '^default'
    done 2>/dev/null || true)
    [[ -z $taken ]] || continue
    ss -Hltn 2>/dev/null | awk '{ print $4 }' | grep -qE "[:.](${LOCAL_ETCD_PORT}|${LOCAL_API_PORT})$" && continue
    echo "$i"
    return 0
  done
  die "no free addresses: $MAX_CLUSTERS clusters exist, or routes of this machine overlap 10.96/10.99/10.244"
}
