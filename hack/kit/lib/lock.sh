# shellcheck shell=bash
# Locks. File descriptor 9 is the cluster's lock, 8 the build's; daemons are started with both closed.

# lock_cluster NAME: one verb at a time changes a cluster.
lock_cluster() {
  local file=$STATE_ROOT/locks/$1
  while :; do
    mkdir -p "$STATE_ROOT/locks" 2>/dev/null || true
    [[ -w $STATE_ROOT/locks ]] || die "cannot write to $STATE_ROOT: be root, or set DITTOFS_STATE_DIR"
    exec 9>"$file"
    if ! flock -n 9; then
      say "waiting for another command that works on cluster $1"
      flock 9
    fi
    # A `down` may have removed the file while we waited: then the lock is worth nothing.
    [[ $file -ef /proc/self/fd/9 ]] && return 0
  done
}

# unlock_cluster NAME: give the lock back and remove its file.
unlock_cluster() {
  rm -f "$STATE_ROOT/locks/$1"
  exec 9>&-
}
