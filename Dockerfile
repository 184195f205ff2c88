# syntax=docker/dockerfile:1
# The gateway as a static binary, and nothing else: docker build --tag tidewater .
#
# It is built as `cargo xtask release` builds it, on the builder's own platform; --platform linux/arm64 emulates nothing.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/zig \
    && /opt/zig/bin/pip install --no-cache-dir cargo-zigbuild==0.24.1 ziglang==0.17.1
ENV PATH=/opt/zig/bin:$PATH
RUN rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
WORKDIR /src
COPY . .
ARG TARGETARCH
# The commit, for `tidewater --version`: --build-arg TIDEWATER_COMMIT="$(git rev-parse HEAD)"
ARG TIDEWATER_COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    case "$TARGETARCH" in amd64) arch=x86_64 ;; arm64) arch=aarch64 ;; *) exit 1 ;; esac \
    && cargo xtask release --binary --target "$arch-unknown-linux-musl" --output /out

FROM scratch
LABEL org.opencontainers.image.title="Tidewater" \
      org.opencontainers.image.description="Broker topics to browsers, as Server-Sent Events" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="https://github.com/tidewater-rs/tidewater"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY docs/deploy/container/tidewater.toml /etc/tidewater/tidewater.toml
COPY --from=build /out/tidewater /usr/local/bin/tidewater
ENV TIDEWATER_CONFIG=/etc/tidewater/tidewater.toml \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# Of nobody, in this image and on its host.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
    CMD ["/usr/local/bin/tidewater", "health", "http://127.0.0.1:9090/health/ready"]
ENTRYPOINT ["/usr/local/bin/tidewater"]
CMD ["serve"]
