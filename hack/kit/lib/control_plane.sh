# shellcheck shell=bash
# shellcheck disable=SC2153 # NAME and LEVEL are set in paths.sh
# etcd, kube-apiserver and kube-controller-manager: the same for both levels, only addresses differ.

start_control_plane() {
  require_free_ports
  start_etcd
  start_apiserver
  start_controller_manager
  apply_manifest rbac storage
  wait_for 180 kube -n default get serviceaccount default || {
    show_log kube-controller-manager
    die "no default service account after 180 s"
  }
  say "control plane ready at $API_URL"
}

# require_free_ports: another program on our loopback ports would look like our own component.
require_free_ports() {
  [[ $LEVEL == control-plane ]] || return 0
  alive kube-apiserver && return 0
  local port
  for port in "$ETCD_PORT" "$API_PORT" "$KCM_PORT"; do
    if ss -Hltn 2>/dev/null | awk '{ print $4 }' | grep -q "[:.]$port\$"; then
      alive etcd && [[ $port == "$ETCD_PORT" ]] && continue
      alive kube-controller-manager && [[ $port == "$KCM_PORT" ]] && continue
      die "port $port is in use by another program: hack/cluster down --name $NAME, then up again"
    fi
  done
}

start_etcd() {
  local fsync=()
  # Tests do not survive a power cut anyway; not every etcd knows the flag.
  [[ $(etcd --help 2>&1) == *unsafe-no-fsync* ]] && fsync=(--unsafe-no-fsync)
  mkdir -p "$STATE/etcd" && chmod 700 "$STATE/etcd"
  start_component etcd etcd --name "$NAME" --data-dir "$STATE/etcd" "${fsync[@]}" \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "$NAME=http://127.0.0.1:$ETCD_PEER_PORT" --logger zap
}

start_apiserver() {
  local pki=$STATE/pki
  install -m 644 "$KIT/config/audit-policy.yaml" "$STATE/audit-policy.yaml"
  # Blocking audit: the line is in the file before the client has its answer.
  start_component kube-apiserver "$(bin_dir kubernetes)/kube-apiserver" \
    --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --bind-address="$API_BIND" --secure-port="$API_PORT" --advertise-address="$NODE_IP" \
    --service-cluster-ip-range="$SERVICE_NET" --allow-privileged=true \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --client-ca-file="$pki/ca.crt" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$pki/apiserver-kubelet-client.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/service-account.key" \
    --service-account-signing-key-file="$pki/service-account.key" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key" \
    --audit-policy-file="$STATE/audit-policy.yaml" --audit-log-path="$STATE/audit.log" \
    --audit-log-mode=blocking --audit-log-maxsize=100000
  keep_kubeconfig "$STATE/kubeconfig" kubernetes-admin system:masters
  wait_for 180 api_ready || {
    show_log kube-apiserver
    die "the API server was not ready after 180 s"
  }
  say "kube-apiserver ready"
}

# api_ready: the API server is alive and says so itself.
api_ready() {
  alive kube-apiserver &&
    curl -fsS -m 5 --noproxy '*' --cacert "$STATE/pki/ca.crt" "$API_URL/readyz" >/dev/null 2>&1
}

start_controller_manager() {
  local pki=$STATE/pki
  # At the default 20 requests per second the controllers alone take 5 s to start.
  keep_kubeconfig "$STATE/kubeconfigs/kube-controller-manager" system:kube-controller-manager
  start_component kube-controller-manager "$(bin_dir kubernetes)/kube-controller-manager" \
    --kubeconfig="$STATE/kubeconfigs/kube-controller-manager" \
    --authentication-kubeconfig="$STATE/kubeconfigs/kube-controller-manager" \
    --authorization-kubeconfig="$STATE/kubeconfigs/kube-controller-manager" \
    --bind-address=127.0.0.1 --secure-port="$KCM_PORT" --cert-dir="$STATE/pki/kube-controller-manager" \
    --cluster-cidr="$POD_NET" --node-cidr-mask-size=24 --allocate-node-cidrs=true \
    --service-cluster-ip-range="$SERVICE_NET" --use-service-account-credentials=true \
    --controllers='*' --leader-elect=false --kube-api-qps=300 --kube-api-burst=600 \
    --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-account.key" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --client-ca-file="$pki/ca.crt" \
    --enable-hostpath-provisioner=true
}

# apply_manifest NAME...: apply manifests/NAME.yaml with the cluster's addresses filled in.
apply_manifest() {
  local name
  for name in "$@"; do
    render "$KIT/manifests/$name.yaml"
    echo ---
  done | kube apply -f - >/dev/null
}
