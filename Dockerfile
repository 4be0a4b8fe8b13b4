# docker build -t microbatch .
# docker run --rm -p 127.0.0.1:8080:8080 -e MICROBATCH_UPSTREAM__URL=http://host:9000/batch microbatch
#
# For both architectures: docker buildx build --platform linux/amd64,linux/arm64 -t microbatch .

# The build's own architecture, whatever that of the image: it compiles across.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1-bookworm AS build
WORKDIR /src
ARG TARGETARCH

# A compiler and musl for the architecture of the image: the binary needs no library of a system. Debian's
# musl-dev has the specs that make any gcc of that architecture a compiler for musl.
RUN case "$TARGETARCH" in \
        amd64) cpu=x86_64 package=gcc-x86-64-linux-gnu ;; \
        arm64) cpu=aarch64 package=gcc-aarch64-linux-gnu ;; \
        *) echo "no such architecture here: '$TARGETARCH'" >&2; exit 1 ;; \
    esac \
    && dpkg --add-architecture "$TARGETARCH" \
    && apt-get update \
    && apt-get install --yes --no-install-recommends "$package" "musl-dev:$TARGETARCH" \
    && rm -rf /var/lib/apt/lists/* \
    && printf '#!/bin/sh\nexec %s-linux-gnu-gcc "$@" -specs /usr/lib/%s-linux-musl/musl-gcc.specs\n' \
        "$cpu" "$cpu" > /usr/local/bin/musl-cc \
    && chmod +x /usr/local/bin/musl-cc \
    && rustup target add "$cpu-unknown-linux-musl" \
    && printf '[build]\ntarget = "%s-unknown-linux-musl"\n[target.%s-unknown-linux-musl]\nlinker = "%s-linux-gnu-gcc"\n' \
        "$cpu" "$cpu" "$cpu" > /usr/local/cargo/config.toml
# Of the dependencies in C: the TLS library, SQLite and the allocator. What runs while it is built has the host's.
ENV CC_x86_64_unknown_linux_musl=musl-cc \
    CC_aarch64_unknown_linux_musl=musl-cc

# The dependencies, built with empty crates in place of ours: this layer is built again only when
# one of these files changes.
COPY Cargo.toml Cargo.lock ./
COPY crates/batcher/Cargo.toml crates/batcher/
RUN mkdir src crates/batcher/src \
    && touch src/lib.rs crates/batcher/src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin microbatch

COPY crates ./crates
COPY src ./src
COPY config ./config
# Cargo compares times of modification, and ours may be older than the build of the empty crates.
RUN touch src/lib.rs src/main.rs crates/batcher/src/lib.rs \
    && cargo build --release --locked --bin microbatch \
    && cp target/*-unknown-linux-musl/release/microbatch /microbatch \
    && install -d /empty/var/lib/microbatch /empty/tmp

# Nothing but the binary, and what it needs of a system.
FROM scratch

# The roots that https:// upstreams are verified against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt

COPY --from=build /microbatch /usr/local/bin/microbatch

# For `later.store = "sqlite:/var/lib/microbatch/later.db"`: mount a volume here, which takes over whose it
# is. Without one the file goes with the container.
COPY --from=build --chown=65532:65532 --chmod=0700 /empty/var/lib/microbatch /var/lib/microbatch
COPY --from=build --chown=65532:65532 /empty/tmp /tmp

# Inside a container the loopback interface would be out of everyone's reach. Publish both ports
# with care: neither listener has a password or TLS unless you give it some. The environment goes before a
# mounted file, so the two `listen` of a file have no effect here; set these two variables instead.
ENV PATH=/usr/local/bin \
    MICROBATCH_SERVER__LISTEN=0.0.0.0:8080 \
    MICROBATCH_ADMIN__LISTEN=0.0.0.0:8081
EXPOSE 8080 8081

# A number, so that Kubernetes' `runAsNonRoot` can see that it isn't root.
USER 65532:65532

# SIGTERM drains, and reaches the process because no shell stands between. Give it
# `shutdown.delay` + `shutdown.timeout` and 2 s more before it is killed: 7 s by default, docker
# grants 10 s.
STOPSIGNAL SIGTERM

# Settings come from the environment, or the file that MICROBATCH_CONFIG names, which the check
# shares; it does not see the flags of the process it checks. `microbatch upstream` has no admin
# listener: run it with `--no-healthcheck`. Builders of OCI images, such as podman's by default, drop
# this line: docs/operations.md has the same check for compose, podman and Kubernetes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s CMD ["microbatch", "healthcheck"]

ENTRYPOINT ["microbatch"]
