# The images of both tiers, `--target api` and `--target worker`, and of the local S3 and SQS of compose.yaml,
# `--target local-cloud`. All build steps run on the builder's own platform and install packages for the target platform,
# so an image for Graviton needs no emulation.

ARG NODE=node:24.21.0-trixie-slim

# jemalloc returns memory that image libraries have freed to the system; glibc's malloc keeps it.
FROM --platform=$BUILDPLATFORM $NODE AS jemalloc
ARG TARGETARCH
WORKDIR /jemalloc
ENV APT="apt-get -qq -o APT::Architecture=$TARGETARCH -o APT::Architectures=$TARGETARCH"
RUN $APT update && $APT download libjemalloc2 && dpkg -x libjemalloc2_*.deb . && cp usr/lib/*/libjemalloc.so.2 .

# A font for the text of SVG files. Without one, its letters are boxes.
FROM --platform=$BUILDPLATFORM $NODE AS fonts
WORKDIR /fonts
RUN apt-get -qq update && apt-get -qq download fonts-dejavu-core && dpkg -x fonts-dejavu-core_*.deb .
COPY packages/worker/fonts.conf etc/fonts/

# ffmpeg decodes one key frame of a video, through pipes. Debian's package needs 500 MB and can do much more. This one is made of
# Debian's source, has some 5 MB, and contains no network protocol, one demuxer, and the decoders that posters need (LGPL).
FROM --platform=$BUILDPLATFORM $NODE AS ffmpeg
ARG TARGETARCH
WORKDIR /ffmpeg
RUN sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources \
  && dpkg --add-architecture "$TARGETARCH" && apt-get -qq update \
  && apt-get -qq install -y --no-install-recommends dpkg-dev gcc libc6-dev make nasm pkg-config "crossbuild-essential-$TARGETARCH" \
    "libdav1d-dev:$TARGETARCH" \
  && apt-get -qq source ffmpeg
RUN cd ffmpeg-*/ && system=$(dpkg-architecture -a"$TARGETARCH" -qDEB_HOST_GNU_TYPE) \
  && PKG_CONFIG_LIBDIR="/usr/lib/$system/pkgconfig" ./configure --target-os=linux \
    --arch="${system%%-*}" --enable-cross-compile --cross-prefix="$system-" --pkg-config=pkg-config \
    --disable-everything --disable-autodetect --disable-network --disable-doc --disable-debug \
    --disable-programs --enable-ffmpeg --enable-protocol=pipe --enable-demuxer=matroska --enable-libdav1d \
    --enable-decoder=h264,hevc,vp8,vp9,libdav1d,prores --enable-parser=h264,hevc,vp8,vp9,av1 \
    --enable-filter=scale,transpose,hflip,vflip --enable-encoder=ppm --enable-muxer=image2pipe \
    --extra-ldflags=-Wl,-rpath,/usr/local/lib \
  && make -s -j"$(nproc)" ffmpeg && mkdir /ffmpeg/built && cp ffmpeg "/usr/lib/$system/"libdav1d.so.? /ffmpeg/built/

FROM --platform=$BUILDPLATFORM $NODE AS workspaces
ARG TARGETARCH
ENV TARGETARCH=$TARGETARCH
WORKDIR /millrace
COPY <<"EOF" /usr/local/bin/install-for
# install-for <package>: installs its production dependencies, without docs, types and source maps.
set -eu
case $TARGETARCH in amd64) cpu=x64 ;; *) cpu=$TARGETARCH ;; esac
npm ci --omit=dev --ignore-scripts --os=linux --cpu="$cpu" --libc=glibc --workspace="packages/$1"
find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.[cm]ts' -o -name '*.md' \) -delete
find node_modules -path '*/prebuilds/*' -type d ! -name "linux-$cpu" -prune -exec rm -r {} +
EOF
COPY package.json package-lock.json .npmrc ./
COPY packages/shared/package.json packages/shared/

FROM workspaces AS api-packages
COPY packages/api/package.json packages/api/
RUN --mount=type=cache,target=/root/.npm sh /usr/local/bin/install-for api

FROM workspaces AS worker-packages
COPY packages/worker/package.json packages/worker/
RUN --mount=type=cache,target=/root/.npm sh /usr/local/bin/install-for worker

FROM workspaces AS local-packages
COPY packages/local/package.json packages/local/
COPY packages/local-s3/package.json packages/local-s3/
RUN --mount=type=cache,target=/root/.npm sh /usr/local/bin/install-for local && mkdir /data

FROM workspaces AS console
COPY tsconfig.json ./
COPY packages/client packages/client
COPY packages/console packages/console
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --workspace=packages/console \
  && npm run build --workspace=packages/console

FROM $NODE AS runtime
COPY --from=jemalloc /jemalloc/libjemalloc.so.2 /usr/local/lib/
ENV NODE_ENV=production LD_PRELOAD=/usr/local/lib/libjemalloc.so.2
WORKDIR /millrace
COPY packages/shared packages/shared
USER 1000:1000

FROM runtime AS api
COPY --from=api-packages /millrace/node_modules node_modules
COPY --from=console /millrace/packages/console/dist console
COPY packages/api packages/api
ENV HOST=0.0.0.0 PORT=3000 CONSOLE_DIRECTORY=/millrace/console
EXPOSE 3000
HEALTHCHECK --start-period=60s --start-interval=1s --interval=30s --timeout=5s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health').then(({ ok }) => process.exit(ok ? 0 : 1))"]
CMD ["node", "packages/api/src/main.ts"]

FROM runtime AS worker
COPY --from=worker-packages /millrace/node_modules node_modules
COPY --from=fonts /fonts/usr/share/fonts /usr/share/fonts
COPY --from=fonts /fonts/etc/fonts /etc/fonts
COPY --from=ffmpeg /ffmpeg/built/ffmpeg /usr/local/bin/
COPY --from=ffmpeg /ffmpeg/built/libdav1d.so.* /usr/local/lib/
COPY packages/worker packages/worker
ENV HEALTH_PORT=3001
HEALTHCHECK --start-period=60s --start-interval=1s --interval=30s --timeout=5s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.HEALTH_PORT + '/health').then(({ ok }) => process.exit(ok ? 0 : 1))"]
CMD ["node", "packages/worker/src/main.ts"]

# For development only. It stores its data in /data.
FROM runtime AS local-cloud
COPY --from=local-packages /millrace/node_modules node_modules
COPY packages/local packages/local
COPY packages/local-s3 packages/local-s3
COPY --from=local-packages --chown=1000:1000 /data /data
VOLUME /data
EXPOSE 9000 9324
HEALTHCHECK --start-period=60s --start-interval=1s --interval=30s --timeout=5s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9324/health').then(({ ok }) => process.exit(ok ? 0 : 1))"]
CMD ["node", "packages/local/src/cloud-main.ts"]
