#!/usr/bin/env bash
# Process 1 of a node: lays private folders over the machine's, then adopts and reaps the node's daemons.
# Called inside fresh mount, net, pid, uts and ipc namespaces with: STATE CACHE NODE_NAME
set -euo pipefail
state=$1 cache=$2 node_name=$3

hostname "$node_name" 2>/dev/null || echo "$node_name" >/proc/sys/kernel/hostname

# Held open: the folders below may be covered by the mounts that follow.
exec 3<"$state" 4<"$cache"

# What kubelet, containerd, CNI and runc write outside their configured folders must not reach the machine.
for dir in /run /var/lib /var/log; do
  mount -t tmpfs -o mode=755 tmpfs "$dir"
done
mkdir -p /run/lock "$state"
mount --no-canonicalize --bind /proc/self/fd/3 "$state"
# Volumes of the hostPath provisioner lie below /tmp; they need room on the disk.
mount --bind "$state/node/tmp" /tmp
# The state or the cache may itself lie below /tmp.
for pair in "3 $state" "4 $cache"; do
  read -r fd dir <<<"$pair"
  mkdir -p "$dir"
  mount --no-canonicalize --bind "/proc/self/fd/$fd" "$dir"
done
mkdir -p /var/lib/kubelet
mount --bind "$state/node/kubelet" /var/lib/kubelet
exec 3<&- 4<&-

# The kubelet needs mounts made in pods to be seen by other pods.
mount --make-rshared /

: >"$state/node/initialised"
while :; do
  sleep 3600 &
  # Wakes for every child, adopted ones included, and so reaps them.
  wait -n || true
done
