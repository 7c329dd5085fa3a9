# shellcheck shell=bash
# The node's own mount, net, pid, uts and ipc namespaces, held by an init process (node-init.sh).

# enter_node COMMAND...: run a command inside.
enter_node() {
  local init
  init=$(pid_of init) || die "the node of cluster $NAME does not run: hack/cluster up --name $NAME"
  nsenter -t "$init" -m -n -p -u -i -- "$@"
}

start_node_namespaces() {
  if alive init; then
    ip link show "$LINK" >/dev/null 2>&1 || connect_node
    return 0
  fi
  # What an earlier init left behind describes containers that died with it.
  rm -rf --one-file-system "$STATE/node/containerd" "$STATE/node/kubelet" "$STATE/pids"
  mkdir -p "$STATE/pids" "$STATE"/node/{containerd,kubelet,tmp,pod-logs,volume-plugins}
  chmod 1777 "$STATE/node/tmp"
  rm -f "$STATE/node/initialised"
  make_cgroups
  start_outside unshare unshare --mount --net --pid --uts --ipc --fork --kill-child --mount-proc --propagation private \
    bash "$KIT/node-init.sh" "$STATE" "$CACHE_ROOT" "$NODE_NAME"
  wait_for 60 test -e "$STATE/node/initialised" || {
    show_log unshare
    die "the node's namespaces could not be set up"
  }
  record_pid init "$(pgrep -P "$(pid_of unshare)")"
  connect_node
  say "node namespaces ready, node address $NODE_IP"
}
