# shellcheck shell=bash
# shellcheck disable=SC2153 # NAME and LEVEL are set in paths.sh
# The verbs `status`, `env`, `logs` and `kubeconfig`.

# require_cluster: stop unless the cluster exists; sets its level.
require_cluster() {
  local level
  level=$(current_level)
  [[ -n $level && -n $INDEX ]] || die "there is no cluster $NAME; make it with: hack/cluster up --name $NAME"
  set_level "$level"
}

# components: what has to run at this level.
components() {
  [[ $LEVEL == node ]] && echo init
  printf '%s\n' etcd kube-apiserver kube-controller-manager
  [[ $LEVEL == node ]] && printf '%s\n' kube-scheduler containerd kubelet kube-proxy coredns load-balancer volume-modes
  return 0
}

status() {
  require_cluster
  local component pid healthy=0
  echo "cluster $NAME, level $LEVEL, API $API_URL"
  for component in $(components); do
    if pid=$(pid_of "$component"); then
      printf '  %-24s %-8s alive\n' "$component" "$pid"
    else
      printf '  %-24s %-8s dead\n' "$component" -
      healthy=1
    fi
  done
  if api_ready; then
    echo '  API server answers'
  else
    echo '  API server does not answer'
    healthy=1
  fi
  if ((healthy == 0)) && [[ $LEVEL == node ]]; then
    if node_ready; then
      echo "  node $NODE_NAME is Ready"
    else
      echo "  node $NODE_NAME is not Ready"
      healthy=1
    fi
  fi
  return "$healthy"
}

print_env() {
  require_cluster
  printf 'export KUBECONFIG=%q\nexport DITTOFS_CLUSTER_STATE=%q\n' "$STATE/kubeconfig" "$STATE"
}

# logs COMPONENT FOLLOW
logs() {
  require_cluster
  local file=$STATE/logs/$1.log
  [[ -n $1 && -f $file ]] || die "logs of what? one of: $(components | paste -sd' ')"
  if [[ $2 == 1 ]]; then
    exec tail -n 100 -F "$file"
  fi
  cat "$file"
}

# user_kubeconfig OUT USER [GROUP...]
user_kubeconfig() {
  require_cluster
  write_kubeconfig "$@"
  say "wrote $1 for user $2"
}
