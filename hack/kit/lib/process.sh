# shellcheck shell=bash
# shellcheck disable=SC2153 # STATE is set in paths.sh
# Daemons: start, look at and stop them. A pid file holds "PID START_TIME", so a reused pid is never taken for ours.

# Every daemon carries this variable; `down` finds daemons by it even when no pid file was written.
MARK=DITTOFS_KIT_CLUSTER

# read_stat PID: sets STAT to the fields of /proc/PID/stat from the third on (the second may contain spaces).
read_stat() {
  local line
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra STAT <<<"${line##*) }"
}

# record_pid COMPONENT PID: fields 3 and 22 of stat are the state and the start time.
record_pid() {
  read_stat "$2" || return 0
  printf '%s %s\n' "$2" "${STAT[19]}" >"$STATE/pids/$1"
}

# pid_of COMPONENT: its pid, or failure when it does not run.
pid_of() {
  local pid start
  { read -r pid start <"$STATE/pids/$1"; } 2>/dev/null || return 1
  read_stat "$pid" || return 1
  [[ ${STAT[19]} == "$start" && ${STAT[0]} != Z ]] || return 1
  echo "$pid"
}

alive() { pid_of "$1" >/dev/null; }

# daemon_environment: sets DAEMON_ENV; proxies and AWS_CA_BUNDLE of the caller must not reach the cluster.
daemon_environment() {
  # Background jobs of a script ignore INT, and a child would inherit that.
  DAEMON_ENV=(env -i --default-signal=INT --default-signal=QUIT "PATH=$PATH:/usr/sbin:/sbin" HOME=/root "$MARK=$STATE")
}

# start_component NAME COMMAND...: start a daemon where this cluster's level wants it, unless it runs.
start_component() {
  local name=$1
  shift
  alive "$name" && return 0
  daemon_environment
  if [[ $LEVEL == node ]]; then
    start_inside "$name" "$@"
  else
    start_outside "$name" "$@"
  fi
}

# start_outside NAME COMMAND...: a daemon in the machine's own namespaces.
start_outside() {
  local name=$1
  shift
  daemon_environment
  setsid "${DAEMON_ENV[@]}" "$@" >>"$STATE/logs/$name.log" 2>&1 </dev/null 8>&- 9>&- &
  record_pid "$name" $!
}

# start_inside NAME COMMAND...: a daemon in the node's namespaces, adopted by the node's init.
start_inside() {
  local name=$1 inner pid
  shift
  # shellcheck disable=SC2016 # expanded by the inner shell
  inner=$(enter_node bash -c 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null 8>&- 9>&- & echo $!' \
    start "$STATE/logs/$name.log" "${DAEMON_ENV[@]}" "$@")
  pid=$(outer_pid "$inner") || {
    show_log "$name"
    die "$name ended at once"
  }
  record_pid "$name" "$pid"
}

# outer_pid PID: translate a pid of the node's pid namespace to the machine's.
outer_pid() {
  local inner=$1 pid
  for pid in $(pgrep --ns "$(pid_of init)" --nslist pid .); do
    if [[ $(awk '/^NSpid:/ { print $NF }' "/proc/$pid/status" 2>/dev/null) == "$inner" ]]; then
      echo "$pid"
      return 0
    fi
  done
  return 1
}

# stop_component NAME: ask it to end, insist after 10 s.
stop_component() {
  local pid
  if pid=$(pid_of "$1"); then
    kill "$pid" 2>/dev/null || true
    wait_for 10 dead "$1" || kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$STATE/pids/$1"
}

dead() { ! alive "$1"; }

# marked_pids: every process on the machine that carries this cluster's mark.
marked_pids() {
  grep -lzxsF "$MARK=$STATE" /proc/[0-9]*/environ | cut -d/ -f3 || true
}

# marked_clusters: the names of all clusters of this state root that have a process.
marked_clusters() {
  grep -hzsa "^$MARK=$STATE_ROOT/clusters/" /proc/[0-9]*/environ | tr '\0' '\n' | sed 's#.*/##' | sort -u || true
}
