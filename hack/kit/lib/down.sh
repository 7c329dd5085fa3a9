# shellcheck shell=bash
# shellcheck disable=SC2153 # NAME and LEVEL are set in paths.sh
# The verb `down`: works from any state, a half-made or crashed one included.

# down: remove everything of the cluster NAME.
down() {
  if [[ ! -d $STATE && ! -e $STATE_ROOT/locks/$NAME && -z $(marked_pids) ]]; then
    say "cluster $NAME: nothing to remove"
    return 0
  fi
  lock_cluster "$NAME"
  kill_processes
  remove_network
  remove_cgroups
  remove_mounts
  rm -rf --one-file-system "$STATE"
  unlock_cluster "$NAME"
  remove_empty_root
  say "cluster $NAME is removed"
}

# remove_empty_root: the last cluster takes the folders with it; whoever is just coming up holds a lock file.
remove_empty_root() {
  rmdir "$STATE_ROOT/clusters" 2>/dev/null || [[ ! -d $STATE_ROOT/clusters ]] || return 0
  [[ $(ls -A "$STATE_ROOT/locks") != .index ]] || rm -f "$STATE_ROOT/locks/.index"
  rmdir "$STATE_ROOT/locks" "$STATE_ROOT" 2>/dev/null || true
}

# kill_processes: the node's init takes its pid namespace with it; the mark finds whatever is left.
kill_processes() {
  local pids pid tries
  if pid=$(pid_of init); then kill -9 "$pid" 2>/dev/null || true; fi
  for tries in {1..100}; do
    pids=$(marked_pids)
    [[ -n $pids ]] || return 0
    # etcd and the API server need no time to say goodbye: their data goes too.
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    sleep 0.1
  done
  warn "processes that do not end: $(paste -sd' ' <<<"$pids") (after ${tries} tries)"
}

# remove_mounts: mounts live in the node's own mount namespace; this is for anything seen here all the same.
remove_mounts() {
  local target
  awk -v state="$STATE/" 'index($5, state) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
    while read -r target; do umount -l "$target" || true; done
}

# down_all: every cluster that has a state folder or a process.
down_all() {
  local name
  for name in $({ cluster_names; marked_clusters; } | sort -u); do
    (use_cluster "$name" && down)
  done
  [[ -n $(cluster_names) ]] || say "no clusters left"
}
