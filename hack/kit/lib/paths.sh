# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables here are read by the other files
# Where things lie, and which addresses belong to which cluster.

STATE_ROOT=$(realpath -m "${DITTOFS_STATE_DIR:-/var/lib/dittofs-kit}")
CACHE_ROOT=$(realpath -m "${DITTOFS_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/dittofs-operator}")

# Number of clusters that fit into the address plan below.
MAX_CLUSTERS=16

# use_cluster NAME: check the name and set STATE; creates nothing.
use_cluster() {
  [[ $1 =~ ^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$ ]] ||
    die "cluster name '$1': use up to 30 of a-z, 0-9 and '-'"
  NAME=$1
  STATE=$STATE_ROOT/clusters/$NAME
  NODE_NAME=$NAME-node
  CGROUP=dittofs-kit-$NAME
  # Cgroups are shared by the whole machine, names only by one state root.
  [[ $STATE_ROOT == /var/lib/dittofs-kit ]] || CGROUP+=-$(cksum <<<"$STATE_ROOT" | cut -d' ' -f1)
  INDEX=
  if [[ -s $STATE/index ]]; then
    INDEX=$(<"$STATE/index")
    plan_addresses "$INDEX"
  fi
}

# plan_addresses INDEX: the subnets and loopback ports of the cluster with this index.
#   10.99.2i.0/24    node network: .1 is the node, .254 the machine's end, .253 leads nowhere
#   10.99.2i+1.0/24  load-balancer addresses
#   10.96.16i.0/20   Services: .1 is the API server, .10 the DNS
#   10.244.i.0/24    pods
plan_addresses() {
  local i=$1
  NODE_NET=10.99.$((2 * i)).0/24
  NODE_IP=10.99.$((2 * i)).1
  HOST_IP=10.99.$((2 * i)).254
  NOWHERE_IP=10.99.$((2 * i)).253
  LB_NET=10.99.$((2 * i + 1)).0/24
  LB_PREFIX=10.99.$((2 * i + 1))
  SERVICE_NET=10.96.$((16 * i)).0/20
  API_SERVICE_IP=10.96.$((16 * i)).1
  DNS_IP=10.96.$((16 * i)).10
  POD_NET=10.244.$i.0/24
  LINK=dfskit$i
  # Only used at level control-plane, where everything shares the machine's loopback.
  local base=$((16400 + 10 * i))
  LOCAL_ETCD_PORT=$base
  LOCAL_ETCD_PEER_PORT=$((base + 1))
  LOCAL_API_PORT=$((base + 3))
  LOCAL_KCM_PORT=$((base + 7))
}

# set_level LEVEL: the endpoints that depend on the level.
set_level() {
  LEVEL=$1
  case $LEVEL in
    control-plane)
      API_HOST=127.0.0.1 API_BIND=127.0.0.1 API_PORT=$LOCAL_API_PORT
      ETCD_PORT=$LOCAL_ETCD_PORT ETCD_PEER_PORT=$LOCAL_ETCD_PEER_PORT KCM_PORT=$LOCAL_KCM_PORT
      ;;
    node)
      API_HOST=$NODE_IP API_BIND=0.0.0.0 API_PORT=6443
      ETCD_PORT=2379 ETCD_PEER_PORT=2380 KCM_PORT=10257
      ;;
    *) die "level '$LEVEL': use control-plane or node" ;;
  esac
  API_URL=https://$API_HOST:$API_PORT
}

# current_level: the level this cluster was last brought to, empty when there is none.
current_level() { cat "$STATE/level" 2>/dev/null || true; }

# cluster_names: every cluster that has left a state folder.
cluster_names() {
  local dir
  for dir in "$STATE_ROOT"/clusters/*/; do
    [[ -d $dir ]] && basename "$dir"
  done
  return 0
}

# render TEMPLATE: print a file with every @VARIABLE@ replaced by that shell variable.
render() {
  local text name
  text=$(<"$1")
  while [[ $text =~ @([A-Z_]+)@ ]]; do
    name=${BASH_REMATCH[1]}
    text=${text//"@$name@"/${!name}}
  done
  printf '%s\n' "$text"
}

# render_to FILE TEMPLATE: write it only when it changes, as kube-proxy ends when its file is touched.
render_to() {
  local text
  text=$(render "$2")
  [[ -f $1 && $(<"$1") == "$text" ]] || printf '%s\n' "$text" >"$1"
}
