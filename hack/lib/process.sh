# shellcheck shell=bash
# Programs that go on running when the command has ended. A pid file holds "PID START_TIME", so that
# a number which the kernel gave to another process since is never taken for ours.

# start_time PID: the kernel's start time of a process (field 22 of stat; field 2 may contain spaces).
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  cut -d' ' -f20 <<<"$stat"
}

# running_pid FILE: the pid in a pid file, or failure when that process has ended.
running_pid() {
  local pid start
  read -r pid start 2>/dev/null <"$1" || return 1
  [[ -n $start && $(start_time "$pid") == "$start" ]] || return 1
  echo "$pid"
}

# start_program FILE LOG COMMAND...: start it in a session of its own; a Ctrl-C does not reach it.
start_program() {
  local file=$1 log=$2
  shift 2
  # shellcheck disable=SC2016 # expanded by the inner shell, which becomes the program
  setsid bash -c '
    stat=$(</proc/$$/stat) && stat=${stat##*) } && read -ra field <<<"$stat"
    echo "$$ ${field[19]}" >"$0"
    exec "$@"' "$file" "$@" >>"$log" 2>&1 </dev/null 9>&- &
  # The inner shell writes the file: there is no moment in which a program runs that no file knows.
  local tries
  for tries in {1..50}; do
    [[ -s $file ]] && return 0
    sleep 0.1
  done
  die "$1 did not start ($tries tries), see $log"
}

# stop_program FILE: ask it to end, insist after 15 s.
stop_program() {
  local pid tries
  pid=$(running_pid "$1") || {
    rm -f "$1"
    return 0
  }
  kill -TERM "$pid" 2>/dev/null || true
  for tries in {1..150}; do
    running_pid "$1" >/dev/null || break
    sleep 0.1
    ((tries < 150)) || kill -KILL "$pid" 2>/dev/null || true
  done
  rm -f "$1"
}

# free_port FIRST: the first TCP port from there that nobody listens on at 127.0.0.1.
free_port() {
  local port
  for ((port = $1; port < $1 + 100; port++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
      echo "$port"
      return 0
    }
  done
  return 1
}
