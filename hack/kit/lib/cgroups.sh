# shellcheck shell=bash
# The cluster's own cgroup root: two kubelets on one root would kill each other's pods.

# cgroup_roots: the folder of this cluster in every mounted hierarchy.
cgroup_roots() {
  awk -v name="$CGROUP" '{
    for (i = 7; i <= NF; i++) if ($i == "-") {
      if ($(i + 1) ~ /^cgroup2?$/) print $5 "/" name
    }
  }' /proc/self/mountinfo | sort -u
}

make_cgroups() {
  local root file
  for root in $(cgroup_roots); do
    [[ -d $root ]] || mkdir "$root" 2>/dev/null || {
      warn "cannot make $root"
      continue
    }
    # A cgroup v1 cpuset takes no processes before it has processors and memory.
    if [[ $root == */cpuset/* ]]; then
      for file in cpuset.cpus cpuset.mems; do
        cat "${root%/*}/$file" >"$root/$file"
      done
    fi
    # A cgroup v2 parent has to hand its controllers down.
    if [[ -f $root/cgroup.subtree_control && $root == "/sys/fs/cgroup/$CGROUP" ]]; then
      for file in cpu cpuset memory pids io hugetlb; do
        echo "+$file" >"${root%/*}/cgroup.subtree_control" 2>/dev/null || true
        echo "+$file" >"$root/cgroup.subtree_control" 2>/dev/null || true
      done
    fi
  done
}

# remove_cgroups: deepest first; a killed process may hold its folder for a moment.
remove_cgroups() {
  local root tries
  for root in $(cgroup_roots); do
    for tries in {1..50}; do
      [[ -d $root ]] || break
      find "$root" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [[ -d $root ]] && sleep 0.1
    done
    [[ ! -d $root ]] || warn "could not remove $root (after $tries tries)"
  done
}
