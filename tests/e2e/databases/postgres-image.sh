#!/usr/bin/env bash
# postgres-image.sh OUT.tar NAME:TAG ...
# Writes one `docker save`-format archive with an image of PostgreSQL 15 under each name, made of what
# Debian's own packages have put on this machine: the server, its tools, what they are linked
# against, a shell and a handful of small programs. No image is pulled and no engine is needed.
# The server listens on its socket alone, which it trusts: it is reached from inside only.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
out=$1; shift
bin=$("$here/install-postgres.sh")
home=$(dirname "$bin")
share=/usr/share/postgresql/$(basename "$home")
user=$(id -u postgres) group=$(id -g postgres)

w=$(mktemp -d); trap 'rm -rf "$w"' EXIT
root=$w/root
mkdir -p "$root"/{bin,etc,tmp,proc,data,usr/local/bin,usr/lib/locale,var/run/postgresql}
mkdir -p "$root$home" "$root$(dirname "$share")" "$root/usr/share"
cp -a "$home/bin" "$root$home/"
mkdir "$root$home/lib"
# Just-in-time compilation would bring all of LLVM.
find "$home/lib" -maxdepth 1 -name '*.so' ! -name 'llvmjit*' -exec cp -a {} "$root$home/lib/" \;
cp -a "$share" "$root$share"
cp -a /usr/share/zoneinfo "$root/usr/share/"
cp -a /usr/lib/locale/C.utf8 "$root/usr/lib/locale/"
programs=(cat chmod cp head ls mkdir mv rm sleep true)
for program in "${programs[@]}"; do cp -L "$(type -P "$program")" "$root/bin/"; done
cp -L "$(type -P dash)" "$root/bin/sh"
find "$root" -type f \( -perm -u+x -o -name '*.so' \) -exec ldd {} + 2>/dev/null |
  grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r library; do
  case $library in "$root"*) continue ;; esac
  [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"; }
done
printf 'root:x:0:0::/:/bin/sh\npostgres:x:%s:%s::/data:/bin/sh\n' "$user" "$group" >"$root/etc/passwd"
printf 'root:x:0:\npostgres:x:%s:\n' "$group" >"$root/etc/group"
cat >"$root/usr/local/bin/serve" <<'SH'
#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # Complete or not there: whoever is killed in between begins anew.
  rm -rf "$PGDATA.new"
  initdb -D "$PGDATA.new" -U postgres --auth=trust --no-sync -E UTF8 --locale=C.UTF-8
  mv "$PGDATA.new" "$PGDATA"
fi
exec postgres -D "$PGDATA" -c listen_addresses= -c unix_socket_directories=/var/run/postgresql \
  -c fsync=off -c shared_buffers=32MB
SH
chmod 755 "$root/usr/local/bin/serve"; chmod 1777 "$root/tmp"
chown -R 0:0 "$root"; chown "$user:$group" "$root/data" "$root/var/run/postgresql"

tarflags=(--sort=name --mtime=@0 --numeric-owner)
tar -C "$root" "${tarflags[@]}" -cf "$w/layer.tar" .
diff=$(sha256sum "$w/layer.tar" | cut -d' ' -f1)
path=$bin:/usr/local/bin:/usr/bin:/bin
printf '{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{"User":"%s:%s","Env":["PATH=%s","PGDATA=/data/main","LANG=C.UTF-8"],"Entrypoint":["/usr/local/bin/serve"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created_by":"postgres-image.sh"}]}' \
  "$user" "$group" "$path" "$diff" >"$w/c.json"
config=$(sha256sum "$w/c.json" | cut -d' ' -f1).json
mv "$w/c.json" "$w/$config"
entries=()
for name; do entries+=("{\"Config\":\"$config\",\"RepoTags\":[\"$name\"],\"Layers\":[\"layer.tar\"]}"); done
(IFS=,; echo "[${entries[*]}]") >"$w/manifest.json"
tar -C "$w" "${tarflags[@]}" -cf "$out" layer.tar "$config" manifest.json
