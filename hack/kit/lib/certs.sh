# shellcheck shell=bash
# The cluster's certificate authority, its certificates and kubeconfigs. P-256 keys: made in milliseconds.

CERT_DAYS=3650

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null && chmod 600 "$1"; }

# new_ca FILE_BASE COMMON_NAME
new_ca() {
  [[ -s $1.crt ]] && return 0
  new_key "$1.key"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days $CERT_DAYS -out "$1.crt.new" \
    -addext 'keyUsage=critical,digitalSignature,keyCertSign,cRLSign' 2>/dev/null
  mv "$1.crt.new" "$1.crt"
}

# new_cert CA_BASE FILE_BASE SUBJECT [ALT_NAMES]: a certificate that can serve and call.
new_cert() {
  local ca=$1 base=$2 subject=$3 names=${4:-}
  [[ -s $base.crt ]] && return 0
  new_key "$base.key"
  openssl req -new -key "$base.key" -subj "$subject" -out "$base.csr" 2>/dev/null
  {
    echo 'keyUsage=critical,digitalSignature'
    echo 'extendedKeyUsage=serverAuth,clientAuth'
    [[ -z $names ]] || echo "subjectAltName=$names"
  } >"$base.ext"
  # A random serial spares the serial file, which two commands at once would fight over.
  openssl x509 -req -in "$base.csr" -CA "$ca.crt" -CAkey "$ca.key" -days $CERT_DAYS \
    -set_serial "0x$(openssl rand -hex 8)" -extfile "$base.ext" -out "$base.crt.new" 2>/dev/null
  mv "$base.crt.new" "$base.crt"
  rm -f "$base.csr" "$base.ext"
}

# make_certs: everything the control plane and the node need, for both levels at once.
make_certs() {
  local pki=$STATE/pki
  mkdir -p "$pki"
  new_ca "$pki/ca" "dittofs-kit-$NAME"
  new_ca "$pki/front-proxy-ca" "dittofs-kit-$NAME-front-proxy"
  new_cert "$pki/ca" "$pki/apiserver" /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$API_SERVICE_IP,IP:$NODE_IP"
  new_cert "$pki/ca" "$pki/apiserver-kubelet-client" /O=system:masters/CN=kube-apiserver-kubelet-client
  new_cert "$pki/front-proxy-ca" "$pki/front-proxy-client" /CN=front-proxy-client
  new_cert "$pki/ca" "$pki/kubelet" "/O=system:nodes/CN=system:node:$NODE_NAME" "DNS:$NODE_NAME,IP:$NODE_IP"
  [[ -s $pki/service-account.key ]] || new_key "$pki/service-account.key"
  install -m 644 "$pki/ca.crt" "$STATE/ca.crt"
  install -m 600 "$pki/ca.key" "$STATE/ca.key"
}

# write_kubeconfig OUT USER [GROUP...]: a kubeconfig with a fresh client certificate for that user.
write_kubeconfig() {
  local out=$1 user=$2 subject='' group scratch
  shift 2
  for group in "$@"; do subject+=/O=${group//\//\\/}; done
  subject+=/CN=${user//\//\\/}
  scratch=$(mktemp -d "$STATE/pki/new.XXXXXX")
  new_cert "$STATE/pki/ca" "$scratch/user" "$subject"
  (
    umask 077
    cat >"$out.new" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: $NAME
  cluster:
    server: $API_URL
    certificate-authority-data: $(base64 -w0 "$STATE/pki/ca.crt")
users:
- name: $user
  user:
    client-certificate-data: $(base64 -w0 "$scratch/user.crt")
    client-key-data: $(base64 -w0 "$scratch/user.key")
contexts:
- name: $NAME
  context: {cluster: $NAME, user: "$user"}
current-context: $NAME
EOF
  )
  mv "$out.new" "$out"
  rm -rf "$scratch"
}

# keep_kubeconfig FILE USER [GROUP...]: write_kubeconfig, unless the file is there and the API address the same.
keep_kubeconfig() { grep -qsF "server: $API_URL" "$1" || write_kubeconfig "$@"; }
