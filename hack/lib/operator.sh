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

# load_operator_image CLUSTER FOLDER [TAG]: what the Dockerfile puts together, made of the programs in FOLDER without a
# container engine, and given to the node of a cluster of the kit as localhost/dittofs-operator:TAG (dev). Without the
# symbols of a debug build, which are most of it.
load_operator_image() {
  local folder controller rc=0
  folder=$(mktemp -d)
  for controller in "${CONTROLLERS[@]}"; do
    strip --strip-all -o "$folder/$controller" "$2/$controller" || rc=1
  done
  ((rc)) || "$ROOT/hack/cluster" load-image --name "$1" "$ROOT/hack/images/operator.json" "programs=$folder" "tag=${3:-dev}" || rc=1
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
    kubectl rollout status deployment "dittofs-$controller" -n "$OPERATOR_NAMESPACE" --timeout=300s || return 1
  done
}

# previous_commit: the newest commit whose controllers are other ones than those of the checkout.
previous_commit() {
  local product=(crates Cargo.toml Cargo.lock) last
  git -C "$ROOT" rev-parse --verify --quiet HEAD >/dev/null || {
    echo 'no git repository: what an upgrade starts from is its previous commit' >&2
    return 1
  }
  if ! git -C "$ROOT" diff --quiet HEAD -- "${product[@]}"; then
    git -C "$ROOT" rev-parse HEAD
    return 0
  fi
  last=$(git -C "$ROOT" rev-list -n 1 HEAD -- "${product[@]}")
  git -C "$ROOT" rev-parse --verify --quiet "$last^" || {
    echo "the commit before $last is not there, such as in a shallow clone: git fetch --deepen 50" >&2
    return 1
  }
}

# build_previous FOLDER TARGET: the sources of that commit in FOLDER/source and its programs in FOLDER/debug. What both commits
# depend on is built once, in the target folder TARGET of this one.
build_previous() {
  local folder=$1 target=$2 commit options=() controller
  commit=$(previous_commit) || return 1
  echo "the controllers of commit $commit"
  if [[ $(cat "$folder/commit" 2>/dev/null) != "$commit" ]]; then
    rm -rf "${folder:?}"
    mkdir -p "$folder/source"
    # With the times of now: cargo judges by them what it must build.
    git -C "$ROOT" archive "$commit" | tar -xmC "$folder/source" || return 1
    echo "$commit" >"$folder/commit"
  fi
  for controller in "${CONTROLLERS[@]}"; do options+=(--bin "$controller"); done
  (cd "$folder/source" && CARGO_BUILD_BUILD_DIR=$target CARGO_TARGET_DIR=$folder cargo build --locked --workspace "${options[@]}")
}
