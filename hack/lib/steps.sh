# shellcheck shell=bash
# Steps: each is announced, timed, logged and listed at the end. A step that fails does not stop the others.

STEP_NAMES=() STEP_SECONDS=() STEP_RESULTS=()
STEP_JOB=
TESTS_PASSED=0 TESTS_FAILED=0

# start_steps FOLDER: where each step's output goes.
start_steps() {
  STEP_LOGS=$1
  mkdir -p "$STEP_LOGS"
  rm -rf "${STEP_LOGS:?}"/*
}

# step NAME TIME COMMAND...: run it; its output is shown when it fails. TIME is how long it usually takes.
# COMMAND must not count on `set -e`: bash turns it off below `step ... || ...`.
step() { run_step quiet "$@"; }

# test_step NAME TIME COMMAND...: run cargo test; its output is shown, and it must have run tests.
test_step() { run_step live "$@"; }

# skip_step NAME REASON: a step that cannot run because another one failed.
skip_step() {
  printf '\n== %s: not run, %s\n' "$1" "$2"
  record_step "$1" 0 "not run: $2"
}

# run_step quiet|live NAME TIME COMMAND...: returns the command's success.
run_step() {
  local mode=$1 name=$2 time=$3 log began=$SECONDS rc=0
  shift 3
  log=$STEP_LOGS/${name//[^a-zA-Z0-9]/-}.log
  printf '\n== %s (%s): %s\n' "$name" "$time" "$*"
  # A process group of its own: an interrupt can end all of it, and nothing in it reads the terminal.
  # Descriptor 6 is the lock of hack/test: what a step leaves running must not hold it.
  set -m
  if [[ $mode == live ]]; then
    { "$@" 2>&1 | tee "$log"; } </dev/null 6>&- &
  else
    { "$@" >"$log" 2>&1; } </dev/null 6>&- &
  fi
  STEP_JOB=$! STEP_NAME=$name STEP_BEGAN=$began
  set +m
  wait "$STEP_JOB" || rc=$?
  STEP_JOB=
  if ((rc != 0)); then
    [[ $mode == live ]] || tail -n 200 "$log"
    record_step "$name" "$((SECONDS - began))" "FAILED (exit $rc, see $log)"
    [[ $mode == live ]] && count_tests "$log" >/dev/null
    return 1
  fi
  if [[ $mode == live ]] && ! count_tests "$log"; then
    record_step "$name" "$((SECONDS - began))" "FAILED (see $log)"
    return 1
  fi
  record_step "$name" "$((SECONDS - began))" ok
}

record_step() {
  STEP_NAMES+=("$1")
  STEP_SECONDS+=("$2")
  STEP_RESULTS+=("$3")
}

# count_tests LOG: add up cargo's result lines. Fails when nothing ran (unless a filter was given) or a
# test was ignored: a test that is not run proves nothing.
count_tests() {
  local passed failed ignored
  read -r passed failed ignored < <(awk '/^test result:/ { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$1")
  TESTS_PASSED=$((TESTS_PASSED + passed))
  TESTS_FAILED=$((TESTS_FAILED + failed))
  if ((ignored)); then
    echo "$ignored tests are ignored; tests either run or do not exist"
    return 1
  fi
  if ((passed + failed == 0)) && [[ -z ${FILTER:-} ]]; then
    echo 'no test was run'
    return 1
  fi
}

# stop_step: end the step that runs, and everything it started.
stop_step() {
  [[ -n $STEP_JOB ]] || return 0
  kill -TERM -- "-$STEP_JOB" 2>/dev/null || true
  wait "$STEP_JOB" 2>/dev/null || true
  STEP_JOB=
  record_step "$STEP_NAME" "$((SECONDS - STEP_BEGAN))" interrupted
}

# summarize: the table. Fails when a step failed or no test was run at all.
summarize() {
  local i bad=0
  printf '\n%-24s %8s  %s\n' step seconds result
  for ((i = 0; i < ${#STEP_NAMES[@]}; i++)); do
    printf '%-24s %8s  %s\n' "${STEP_NAMES[i]}" "${STEP_SECONDS[i]}" "${STEP_RESULTS[i]}"
    [[ ${STEP_RESULTS[i]} == ok ]] || bad=$((bad + 1))
  done
  printf '%-24s %8s  %s\n\n' total "$SECONDS" "$((${#STEP_NAMES[@]} - bad)) of ${#STEP_NAMES[@]} steps ok"
  sed -n 's/^test \(.*\) \.\.\. FAILED$/  failed: \1/p' "$STEP_LOGS"/*.log | sort -u
  if ((TESTS_PASSED + TESTS_FAILED == 0)); then
    echo "no test was run${FILTER:+: none has a name with \"$FILTER\" in it}"
    bad=$((bad + 1))
  fi
  printf 'tests: %s passed, %s failed\n' "$TESTS_PASSED" "$TESTS_FAILED"
  ((bad == 0 && TESTS_FAILED == 0))
}
