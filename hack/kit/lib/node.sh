# shellcheck shell=bash
# What makes the control plane a node: scheduler, containerd, kubelet, kube-proxy, DNS and the kit's helpers.

start_node() {
  start_scheduler
  start_containerd
  import_base_images
  start_kubelet
  start_kube_proxy
  start_dns
  start_helpers
  wait_for 180 node_ready || {
    show_log kubelet
    die "node $NODE_NAME was not Ready after 180 s"
  }
  say "node $NODE_NAME is Ready"
  wait_for 180 name_resolves kubernetes.default.svc.cluster.local || {
    show_log coredns
    die "cluster DNS did not answer after 180 s"
  }
  say 'cluster DNS answers'
  require_alive
}

# require_alive: a component may have ended after it was started.
require_alive() {
  local component
  for component in $(components); do
    alive "$component" || {
      show_log "$component"
      die "$component does not run"
    }
  done
}

start_scheduler() {
  keep_kubeconfig "$STATE/kubeconfigs/kube-scheduler" system:kube-scheduler
  start_component kube-scheduler "$(bin_dir kubernetes)/kube-scheduler" \
    --kubeconfig="$STATE/kubeconfigs/kube-scheduler" \
    --authentication-kubeconfig="$STATE/kubeconfigs/kube-scheduler" \
    --authorization-kubeconfig="$STATE/kubeconfigs/kube-scheduler" \
    --bind-address=127.0.0.1 --cert-dir="$STATE/pki/kube-scheduler" --leader-elect=false \
    --kube-api-qps=300 --kube-api-burst=600
}

start_containerd() {
  mkdir -p "$STATE/node/cni"
  render_to "$STATE/node/containerd.toml" "$KIT/config/containerd.toml"
  render_to "$STATE/node/cni/10-kit.conflist" "$KIT/config/cni.conflist"
  start_component containerd containerd --config "$STATE/node/containerd.toml"
  wait_for 120 containerd_ctr version || {
    show_log containerd
    die "containerd did not answer after 120 s"
  }
  say 'containerd ready'
}

# containerd_ctr ARGS...: ctr in the namespace that the kubelet's images live in.
containerd_ctr() { enter_node ctr -a /run/containerd/containerd.sock -n k8s.io "$@"; }

start_kubelet() {
  keep_kubeconfig "$STATE/kubeconfigs/kubelet" "system:node:$NODE_NAME" system:nodes
  # No name server: names outside the cluster fail at once instead of timing out.
  printf 'nameserver %s\n' "$NODE_IP" >"$STATE/node/resolv.conf"
  render_to "$STATE/node/kubelet.yaml" "$KIT/config/kubelet.yaml"
  start_component kubelet "$(bin_dir kubernetes)/kubelet" --config="$STATE/node/kubelet.yaml" \
    --kubeconfig="$STATE/kubeconfigs/kubelet" --hostname-override="$NODE_NAME" --node-ip="$NODE_IP"
}

start_kube_proxy() {
  keep_kubeconfig "$STATE/kubeconfigs/kube-proxy" system:kube-proxy
  render_to "$STATE/node/kube-proxy.yaml" "$KIT/config/kube-proxy.yaml"
  start_component kube-proxy "$(bin_dir kubernetes)/kube-proxy" --config="$STATE/node/kube-proxy.yaml" \
    --hostname-override="$NODE_NAME"
}

start_dns() {
  keep_kubeconfig "$STATE/kubeconfigs/coredns" kit:coredns
  render_to "$STATE/node/Corefile" "$KIT/config/Corefile"
  start_component coredns "$(bin_dir coredns)/coredns" -conf "$STATE/node/Corefile"
  apply_manifest dns
}

# start_helpers: what a cloud and a storage driver would do.
start_helpers() {
  [[ -s $STATE/pki/load-balancer.crt ]] || new_cert "$STATE/pki/ca" "$STATE/pki/load-balancer" /CN=kit:load-balancer
  # Copies, as the node does not see a checkout that lies below /tmp.
  install -D -t "$STATE/node/helpers" "$KIT/load_balancer.py" "$KIT/volume_modes.py"
  start_component load-balancer python3 "$STATE/node/helpers/load_balancer.py" \
    --state "$STATE" --server "$API_URL" --prefix "$LB_PREFIX"
  start_component volume-modes python3 "$STATE/node/helpers/volume_modes.py"
}

node_ready() {
  [[ $(kube get node "$NODE_NAME" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}

# name_resolves NAME: asked at the DNS Service's address, so it proves kube-proxy too.
name_resolves() { enter_node timeout 5 busybox nslookup "$1" "$DNS_IP"; }
