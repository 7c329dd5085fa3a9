# shellcheck shell=bash
# shellcheck disable=SC2153 # NAME and LEVEL are set in paths.sh
# The verb `up`.

# up LEVEL: bring the cluster NAME to that level; what already runs is left alone.
up() {
  local level=$1 before
  trap 'interrupted' INT TERM
  preflight "$level"
  lock_cluster "$NAME"
  before=$(current_level)
  if [[ $before == node && $level == control-plane ]]; then
    say "cluster $NAME is at level node, which includes control-plane"
    level=node
  fi
  install_packages "$level"
  build_level "$level"
  make_state "$level" "$before"
  make_certs
  [[ $level == node ]] && start_node_namespaces
  start_control_plane
  [[ $level == node ]] && start_node
  summary
}

interrupted() {
  trap - INT TERM
  printf '\ninterrupted; go on with "up" or remove what is there: hack/cluster down --name %s\n' "$NAME" >&2
  exit 130
}

# make_state LEVEL BEFORE: the state folder, the index and the level; stops what the old level ran.
make_state() {
  local level=$1 before=$2 component
  mkdir -p "$STATE"/{logs,pids,kubeconfigs,pki}
  chmod 755 "$STATE"
  if [[ -z $INDEX ]]; then
    # Two clusters that come up at once must not take the same index.
    exec 7>"$STATE_ROOT/locks/.index"
    flock 7
    INDEX=$(free_index)
    echo "$INDEX" >"$STATE/index"
    exec 7>&-
  fi
  plan_addresses "$INDEX"
  echo "$NODE_IP" >"$STATE/node-ip"
  if [[ $before == control-plane && $level == node ]]; then
    say "raising cluster $NAME from control-plane to node; the API objects are kept"
    for component in kube-controller-manager kube-apiserver etcd; do stop_component "$component"; done
  fi
  echo "$level" >"$STATE/level"
  set_level "$level"
}

summary() {
  local suffix=''
  [[ $NAME == dittofs ]] || suffix=" --name $NAME"
  cat >&2 <<EOF

Cluster $NAME is up at level $LEVEL after $SECONDS s.
  export KUBECONFIG=$STATE/kubeconfig
  look:    hack/cluster status$suffix; kubectl get all -A
  remove:  hack/cluster down$suffix
EOF
}
