# shellcheck shell=bash
# Container images: written by image.py, cached by content, imported into the node's containerd.

# import_base_images: what every node has: the pod sandbox and the DittoFS server.
import_base_images() {
  import_spec "$KIT/images/pause.json" "pause=$(bin_dir pause)/pause"
  import_spec "$KIT/images/dittofs.json" "dfs=$(bin_dir dfs)/dfs" "busybox=$(command -v busybox)"
  say "images: $(containerd_ctr images list -q | grep '^localhost/' | paste -sd' ')"
}

# import_spec SPEC [KEY=PATH...]: write the image unless the cache has it, import it unless the node has it.
import_spec() {
  local spec=$1 key tar setting settings=()
  shift
  for setting in "$@"; do settings+=(--set "$setting"); done
  key=$(image_key "$spec" "$@")
  tar=$CACHE_ROOT/images/$(basename "$spec" .json)-$key.tar
  if [[ ! -s $tar ]]; then
    mkdir -p "$CACHE_ROOT/images"
    python3 "$KIT/image.py" "$spec" "$tar" "${settings[@]}"
  fi
  grep -qsx "$key" "$STATE/node/containerd/imported" && return 0
  import_tar "$tar"
  echo "$key" >>"$STATE/node/containerd/imported"
}

# image_key SPEC [KEY=PATH...]: the content of everything the image is made of.
image_key() {
  local spec=$1 setting
  shift
  {
    cat "$KIT/image.py" "$spec"
    for setting in "$@"; do sha256sum <"${setting#*=}"; done
  } | sha256sum | cut -c1-16
}

# import_tar FILE: over stdin, as the file may lie where the node sees another folder.
import_tar() { containerd_ctr images import - <"$1" >/dev/null; }

# load_image FILE [KEY=PATH...]: the verb.
load_image() {
  local file=${1:-}
  [[ -f $file ]] || die "load-image needs a file: a tar (docker save, OCI layout) or a spec for hack/kit/image.py"
  require_cluster
  [[ $LEVEL == node ]] || die "cluster $NAME has no node: hack/cluster up --level node --name $NAME"
  if [[ $file == *.json ]]; then
    # Not through the cache: a spec may name files that the key does not cover.
    local scratch setting settings=()
    scratch=$(mktemp -d "$STATE/image.XXXXXX")
    for setting in "${@:2}"; do settings+=(--set "$setting"); done
    python3 "$KIT/image.py" "$file" "$scratch/image.tar" "${settings[@]}"
    import_tar "$scratch/image.tar"
    rm -rf "$scratch"
  else
    import_tar "$file"
  fi
  say "loaded $file"
}
