# Everyday verbs. Each is one line that works without just as well: "$1" is its first argument, "$@" are all of them.

set shell := ["bash", "-uc"]
set positional-arguments := true

# list the verbs
default:
    @just --list --unsorted

# compile everything, tests included
build:
    cargo build --workspace --all-targets --locked

# run the checks, such as: just test --only fast; just test --only node --keep NAME
test *ARGS:
    hack/test "$@"

# formatting and lints only
lint:
    cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings

# measure speed and cost, and write docs/benchmarks.md
bench *ARGS:
    hack/bench "$@"

# format the code
fmt:
    cargo fmt --all

# write the generated files (deploy/crds, deploy/rbac, docs/api.md, docs/api-share.md)
crds:
    hack/generate

# start a cluster for daily work, then: eval "$(hack/cluster env)"; kubectl apply -f deploy/crds
cluster *ARGS:
    hack/cluster up "$@"

# remove that cluster
cluster-down *ARGS:
    hack/cluster down "$@"

# run one controller here against the cluster of $KUBECONFIG, such as: just run server-controller --namespace mine
run CONTROLLER *ARGS:
    cargo run --locked --bin "$1" -- --log-format text --http-address 127.0.0.1:0 "${@:2}"

# run one controller here in place of the one in the cluster: it takes the lease once that is free (docs/development.md)
run-as-leader CONTROLLER *ARGS:
    cargo run --locked --bin "$1" -- --log-format text --http-address 127.0.0.1:0 --leader-elect --lease-namespace dittofs-system "${@:2}"

# install the operator in the cluster of $KUBECONFIG, from the image localhost/dittofs-operator:dev
install OVERLAY="deploy/overlays/dev":
    kubectl apply --server-side -k "$1"

# remove the operator from it; file servers and data stay
uninstall *ARGS:
    hack/uninstall "$@"

# from nothing to a running file server
demo *ARGS:
    hack/demo "$@"

# remove the demo
demo-down:
    hack/demo --down
