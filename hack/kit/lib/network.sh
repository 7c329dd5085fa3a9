# shellcheck shell=bash
# The link between the machine and the node, and the routes over it.

# connect_node: one end of a veth pair stays here, the other becomes the node's eth0.
connect_node() {
  local init net
  init=$(pid_of init)
  ip link show "$LINK" >/dev/null 2>&1 && ip link delete "$LINK"
  ip link add "$LINK" type veth peer name eth0 netns "$init"
  ip address add "$HOST_IP/24" dev "$LINK"
  ip link set "$LINK" up
  enter_node sh -euc "
    ip link set lo up
    ip address add $NODE_IP/24 dev eth0
    ip link set eth0 up
    ip route add default via $NOWHERE_IP
    echo 1 >/proc/sys/net/ipv4/ip_forward"
  for net in "$SERVICE_NET" "$POD_NET" "$LB_NET"; do
    ip route replace "$net" via "$NODE_IP" dev "$LINK"
  done
}

# remove_network: the routes go with the link.
remove_network() {
  [[ -n $INDEX ]] || return 0
  ip link delete "$LINK" 2>/dev/null || true
}
