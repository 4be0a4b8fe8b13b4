# docker build -t microbatch .
# docker run --rm -p 127.0.0.1:8080:8080 -e MICROBATCH_UPSTREAM__URL=http://host:9000/batch microbatch

FROM docker.io/library/rust:1-bookworm AS build
WORKDIR /src

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
    && cargo build --release --locked --bin microbatch

FROM docker.io/library/debian:bookworm-slim

# The roots that https:// upstreams are verified against: one file of the build's image. To install
# their package here would bring openssl along, and where the base does not clean up after apt also
# apt's caches, 70 MB and more.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt

COPY --from=build /src/target/release/microbatch /usr/local/bin/microbatch

# For `later.store = "sqlite:/var/lib/microbatch/later.db"`: mount a volume here, which takes over whose it
# is. Without one the file goes with the container.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/microbatch

# Inside a container the loopback interface would be out of everyone's reach. Publish both ports
# with care: the admin listener has no password. The environment goes before a mounted file, so the
# two `listen` of a file have no effect here; set these two variables instead.
ENV MICROBATCH_SERVER__LISTEN=0.0.0.0:8080 \
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
