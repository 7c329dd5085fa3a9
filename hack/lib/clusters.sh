# shellcheck shell=bash
# Which cluster a command works on: one of the kit's, or one that the user brings along.

# use_kit_cluster NAME: export KUBECONFIG and DITTOFS_CLUSTER_STATE of a cluster made by hack/cluster.
use_kit_cluster() {
  local lines
  lines=$("$ROOT/hack/cluster" env --name "$1") || return 1
  eval "$lines"
  # A proxy for downloads knows no way to the kit's addresses.
  export NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,10.96.0.0/16,10.99.0.0/16,10.244.0.0/16
  export no_proxy=$NO_PROXY
  need_kubectl
}

# use_own_cluster FILE CONTEXT OUT: write a kubeconfig of just that context to OUT and export it, so
# that every tool below sees the same cluster, whatever the user's current context is or becomes.
# FILE and CONTEXT may be empty: then $KUBECONFIG or ~/.kube/config, and its current context.
use_own_cluster() {
  local file=$1 context=$2 out=$3 view=(kubectl config view --minify --flatten)
  command -v kubectl >/dev/null || die 'kubectl is missing: install it and put it on the PATH'
  if [[ -n $file ]]; then
    [[ -r $file ]] || die "cannot read the kubeconfig $file"
    view+=(--kubeconfig "$file")
  fi
  [[ -z $context ]] || view+=(--context "$context")
  (umask 077 && "${view[@]}" >"$out") || die "no such context: ${context:-the current one}"
  [[ -z $context ]] || kubectl --kubeconfig "$out" config use-context "$context" >/dev/null
  export KUBECONFIG=$out
  # Only of use when it belongs to this very cluster, one of the kit's.
  [[ -n ${DITTOFS_CLUSTER_STATE:-} && $(api_server "$out") == "$(api_server "$DITTOFS_CLUSTER_STATE/kubeconfig" 2>/dev/null)" ]] ||
    unset DITTOFS_CLUSTER_STATE
  kubectl version --request-timeout=15s >/dev/null 2>&1 ||
    die "the cluster of ${file:-your kubeconfig}${context:+, context $context,} does not answer: try kubectl version with it"
}

# api_server FILE: the address in a kubeconfig.
api_server() { kubectl --kubeconfig "$1" config view --minify -o jsonpath='{.clusters[0].cluster.server}'; }

# install_crds: apply our CRDs and wait until the API server serves them.
install_crds() {
  local tries
  kubectl apply -f "$ROOT/deploy/crds" || return 1
  # kubectl gives up at once on a CRD so new that its conditions are still null.
  for tries in {1..20}; do
    kubectl wait --for=condition=Established --timeout=30s -f "$ROOT/deploy/crds" && return 0
    sleep 0.5
  done
  echo "the API server does not serve our resources ($tries tries)" >&2
  return 1
}
