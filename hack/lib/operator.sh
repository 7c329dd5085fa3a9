# shellcheck shell=bash
# The operator in a cluster: its image, its installation.

OPERATOR_NAMESPACE=dittofs-system
CONTROLLERS=(server-controller adapter-controller share-controller)

# build_controllers: the programs, for this machine; prints their folder.
build_controllers() {
  local options=() controller
  for controller in "${CONTROLLERS[@]}"; do options+=(--bin "$controller"); done
  cargo build --locked --workspace "${options[@]}" || return 1
  echo "$(cargo metadata --no-deps --format-version 1 --locked | jq -r .target_directory)/debug"
}

# load_operator_image CLUSTER FOLDER: what the Dockerfile puts together, made of the programs in FOLDER without a
# container engine, and given to the node of a cluster of the kit. Without the symbols of a debug build, which are
# most of it.
load_operator_image() {
  local folder controller rc=0
  folder=$(mktemp -d)
  for controller in "${CONTROLLERS[@]}"; do
    strip --strip-all -o "$folder/$controller" "$2/$controller" || rc=1
  done
  ((rc)) || "$ROOT/hack/cluster" load-image --name "$1" "$ROOT/hack/images/operator.json" "programs=$folder" || rc=1
  rm -rf "$folder"
  return "$rc"
}

# install_operator OVERLAY [IMAGE]: apply it, with another image than its own where one is named, and wait until every
# replica is ready.
install_operator() {
  local controller before manifest
  before=$(kubectl get deployment -n "$OPERATOR_NAMESPACE" --ignore-not-found -o name) || return 1
  manifest=$(kubectl kustomize "$1") || return 1
  [[ -z ${2:-} ]] || manifest=$(sed -E "s|^( *image: )[^ ]*dittofs-operator:.*|\1$2|" <<<"$manifest")
  # On the server's side: the definitions are too large for the copy that kubectl otherwise keeps in an annotation
  # of each object, should they grow.
  kubectl apply --server-side --force-conflicts -f - <<<"$manifest" || return 1
  # The image may be another one under the same name.
  [[ -z $before ]] || kubectl rollout restart deployment -n "$OPERATOR_NAMESPACE" -l app.kubernetes.io/name=dittofs-operator
  for controller in "${CONTROLLERS[@]}"; do
    kubectl rollout status deployment "dittofs-$controller" -n "$OPERATOR_NAMESPACE" --timeout=120s || return 1
  done
}
