# shellcheck shell=bash
# What the commands say while they work. Everything goes to stderr.

# say TEXT: a progress line with the seconds since the start of the command.
say() { printf '%4ss  %s\n' "$SECONDS" "$*" >&2; }

# die TEXT: stop with one line that says what to do.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
