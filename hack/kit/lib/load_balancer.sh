# shellcheck shell=bash
# The verb `lb`: orders for the load-balancer stand-in (load_balancer.py reads the file within half a second).

# control_load_balancer MODE NAMESPACE/SERVICE|all [IP]
control_load_balancer() {
  local mode=${1:-} service=${2:-} ip=${3:-} file=$STATE/load-balancer.json current
  require_cluster
  case $mode in
    allow | withhold | drop) [[ -z $ip ]] || die "lb $mode takes no address" ;;
    set) [[ -n $ip ]] || die "lb set needs an address" ;;
    *) die "usage: hack/cluster lb allow|withhold|drop|set NAMESPACE/SERVICE|all [IP]" ;;
  esac
  [[ $service == all || $service == */* ]] || die "name the Service as NAMESPACE/SERVICE, or say all"
  [[ $mode != set || $service != all ]] || die "one address cannot be set for all Services"
  lock_cluster "$NAME"
  current=$(cat "$file" 2>/dev/null || echo '{}')
  jq --arg mode "$mode" --arg service "$service" --arg ip "$ip" '
    ({mode: $mode} + (if $ip == "" then {} else {ip: $ip} end)) as $order
    | if $service == "all" then .all = $order else .services[$service] = $order end' \
    <<<"$current" >"$file.new"
  mv "$file.new" "$file"
}
