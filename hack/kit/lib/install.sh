# shellcheck shell=bash
# Debian packages the kit runs or calls.

CONTROL_PLANE_PACKAGES=(etcd-server openssl curl jq)
NODE_PACKAGES=(containerd runc containernetworking-plugins iptables nftables conntrack ipset socat busybox-static
  iproute2 util-linux procps ca-certificates)

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# install_packages LEVEL: install what is missing; apt is not touched when nothing is.
install_packages() {
  local wanted=("${CONTROL_PLANE_PACKAGES[@]}") missing=() package
  [[ $1 == node ]] && wanted+=("${NODE_PACKAGES[@]}")
  if ! command -v dpkg-query >/dev/null; then
    warn "this is no Debian: install by hand what these packages hold: ${wanted[*]}"
    return 0
  fi
  for package in "${wanted[@]}"; do
    installed "$package" || missing+=("$package")
  done
  # Any Python 3 will do, it need not be Debian's.
  command -v python3 >/dev/null || missing+=(python3)
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || die "missing packages: ${missing[*]}; install them as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  local log=$STATE_ROOT/apt.log
  { apt-get update && forbid_service_starts apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 9>&- || {
    tail -n 15 "$log" >&2
    die "apt-get failed, see $log"
  }
  rm -f "$log"
}

# forbid_service_starts COMMAND...: run it with a policy that keeps packages from starting their services.
forbid_service_starts() {
  local policy=/usr/sbin/policy-rc.d ours=0 rc=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    ours=1
  fi
  DEBIAN_FRONTEND=noninteractive "$@" || rc=$?
  ((ours == 0)) || rm -f "$policy"
  # The policy stops the start now; this stops it at the next boot, where the packages enabled themselves.
  if ((ours)) && [[ -d /run/systemd/system ]]; then
    systemctl disable --quiet etcd containerd 2>/dev/null || true
  fi
  return "$rc"
}
