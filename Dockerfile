# syntax=docker/dockerfile:1
#
# The three controllers in one image: a node that runs one of them has all, each a program of its own. Why one and not
# three: docs/operations.md.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t localhost/dittofs-operator:dev .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/dittofs-operator:0.1.0 --push .
#
# The bases are pinned by tag. For builds that must be the same to the byte give them with their digests, which
# `docker buildx imagetools inspect IMAGE` prints:
#
#   --build-arg RUST_IMAGE=rust:1.95-bookworm@sha256:... --build-arg BASE_IMAGE=...@sha256:...
ARG RUST_IMAGE=rust:1.95-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

# On the machine's own architecture, for the wanted one.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
ARG BUILDARCH
ARG TARGETARCH
WORKDIR /source
RUN <<'SH'
set -eu
case $TARGETARCH in
  amd64) target=x86_64-unknown-linux-gnu gcc=x86-64-linux-gnu ;;
  arm64) target=aarch64-unknown-linux-gnu gcc=aarch64-linux-gnu ;;
  *) echo "no build for $TARGETARCH" >&2 && exit 1 ;;
esac
echo "$target" >/target
rustup target add "$target"
if [ "$BUILDARCH" != "$TARGETARCH" ]; then
  apt-get update
  apt-get install -y --no-install-recommends "gcc-$gcc" "libc6-dev-$TARGETARCH-cross"
  # Of the compiler's own name: x86_64 is written with another sign in Debian's package.
  compiler=$(echo "$target" | cut -d- -f1)-linux-gnu-gcc
  variable=$(echo "$target" | tr a-z- A-Z_)
  echo "export CARGO_TARGET_${variable}_LINKER=$compiler CC_$(echo "$target" | tr - _)=$compiler" >/cross
else
  touch /cross
fi
SH
COPY . .
# What the metric dittofs_operator_build_info shows as its commit.
ARG REVISION=unknown
ENV DITTOFS_OPERATOR_COMMIT=${REVISION}
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target,sharing=locked <<'SH'
set -eu
. /cross
target=$(cat /target)
mkdir /out
cargo build --locked --release --target "$target" -p server-controller -p adapter-controller -p share-controller \
  --bin server-controller --bin adapter-controller --bin share-controller
for program in server-controller adapter-controller share-controller; do
  cp "target/$target/release/$program" /out/
done
SH

# glibc and libgcc. Any base that has them does: one without a shell is smaller.
FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="DittoFS operator" \
  org.opencontainers.image.description="server-controller, adapter-controller and share-controller" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /
# It writes no file: the root file system may be read-only.
USER 65532:65532
EXPOSE 8080
# The Deployments name theirs.
ENTRYPOINT ["/server-controller"]
