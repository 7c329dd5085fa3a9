# shellcheck shell=bash
# Progress and errors. Everything goes to stderr, so that stdout stays usable by scripts.

# say TEXT: a progress line with the seconds since the start of the command.
say() { printf '%4ss  %s\n' "$SECONDS" "$*" >&2; }

# warn TEXT: something the user should know, but that does not stop the command.
warn() { printf 'warning: %s\n' "$*" >&2; }

# die TEXT: stop with one line that says what to do.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# show_log COMPONENT: the end of a log, to go with an error.
show_log() {
  printf -- '--- last lines of %s ---\n' "$STATE/logs/$1.log" >&2
  tail -n 15 "$STATE/logs/$1.log" >&2 || true
}

# wait_for SECONDS COMMAND...: try a command every 0.2 s until it succeeds.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}
