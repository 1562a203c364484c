#!/usr/bin/env bash
# install-postgres.sh: makes sure that Debian's PostgreSQL 15 is here, server and tools, and prints
# the folder of its programs. The major version is pinned here; Debian's signed archive says which
# fixes of it are current. No cluster is made and no service is started.
set -euo pipefail

MAJOR=15
BIN=/usr/lib/postgresql/$MAJOR/bin

complete() {
  for program in initdb postgres psql pg_dump pg_dumpall pg_restore; do
    [ -x "$BIN/$program" ] || return 1
  done
}

if ! complete; then
  [ "$(id -u)" = 0 ] || { echo "PostgreSQL $MAJOR is missing, and only root can install it" >&2; exit 1; }
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends \
    "postgresql-$MAJOR" "postgresql-client-$MAJOR" >&2
  complete || { echo "PostgreSQL $MAJOR was installed, and is not complete in $BIN" >&2; exit 1; }
fi

"$BIN/postgres" --version | grep -q " $MAJOR\." ||
  { echo "the server in $BIN is not PostgreSQL $MAJOR" >&2; exit 1; }
echo "$BIN"
