#!/bin/sh
# Makes the images that `npm run test:images` otherwise pulls, on a machine that reaches no registry of images but Debian's
# packages and npm's: `test-node`, like the Dockerfile's base, and `test-redis`. Needs root, debootstrap and Docker.
#
#   sh tests/images/make-base-images.sh
#   TEST_NODE_IMAGE=test-node TEST_REDIS_IMAGE=test-redis npm run test:images
set -eu
cd "$(dirname "$0")/../.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

debootstrap --variant=minbase --include=ca-certificates trixie "$tree" http://deb.debian.org/debian
rm -rf "$tree/etc/apt/sources.list" "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
# The Dockerfile edits this file, which Node's image has.
cat >"$tree/etc/apt/sources.list.d/debian.sources" <<'SOURCES'
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
cp -L node_modules/node/bin/node "$tree/usr/local/bin/node"
npm install --silent --global --prefix "$tree/usr/local" npm@11
chroot "$tree" groupadd --gid 1000 node
chroot "$tree" useradd --uid 1000 --gid node --create-home node
# A machine behind a proxy has further authorities, which npm in the image must trust too.
cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
tar -C "$tree" -c . | docker import --change 'CMD ["node"]' \
  --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' - test-node

docker buildx build --tag test-redis - <<'DOCKERFILE'
FROM test-node
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends redis-server \
  && mkdir -p /data && chown redis:redis /data
# Redis' own image accepts connections from other containers without a password.
RUN printf '#!/bin/sh\nexec /usr/bin/redis-server "$@" --protected-mode no\n' >/usr/local/bin/redis-server \
  && chmod +x /usr/local/bin/redis-server
WORKDIR /data
DOCKERFILE
