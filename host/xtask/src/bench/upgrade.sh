# The upgrade of the sample application from 1.0.0 to 2.0.0 as a careful person would script it: the
# commands that vaultup runs for it, in its order, each once where it is needed, with the same
# checks in between, stopping at the first that fails. What vaultup does besides is what is being
# measured: it keeps a journal and a lock, decides, asks sandboxed plugins, and can go back.
#
# Arguments: recipient, identity file, address of the application, an empty folder for the backups.
set -euo pipefail
recipient=$1 identity=$2 address=$3 backups=$4
program=current/bin/vaultup-sample
pack=(--create --file=- --format=posix --sort=name --numeric-owner --acls --xattrs)
unpack=(--extract --file=- --numeric-owner --preserve-permissions --acls --xattrs)

says() {
  [[ $1 == *"$2"* ]] || { echo "expected '$2' in '$1'" >&2; exit 1; }
}

status() {
  "$program" status --pid-file run/api.pid --listen "$address"
}

health() {
  exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
  printf 'GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$address" >&3
  cat <&3
}

digest() {
  (cd "$1" && find . -type f -print0 | sort --zero-terminated | xargs --null sha256sum | sha256sum)
}

# Nobody may have changed the data while it was copied.
back_up() {
  local before
  before=$(digest "data/$1")
  tar "${pack[@]}" --directory="data/$1" . | zstd --quiet |
    age --encrypt --recipient "$recipient" > "$backups/$1.partial"
  says "$(digest "data/$1")" "$before"
  sync "$backups/$1.partial"
  mv "$backups/$1.partial" "$backups/$1"
  sync "$backups"
  echo "$before" > "$backups/$1.digest"
}

# Only a restore proves a backup.
prove() {
  mkdir "data/$1.proof"
  age --decrypt --identity "$identity" "$backups/$1" | zstd --decompress --quiet |
    tar "${unpack[@]}" --directory="data/$1.proof"
  says "$(digest "data/$1.proof")" "$(< "$backups/$1.digest")"
}

# Before: everything is well, and the releases are what they should be.
answer=$(status)
says "$answer" '"ready":true'
says "$answer" '"version":"1.0.0"'
answer=$(health)
says "$answer" '200 OK'
says "$answer" '"status":"ok"'
says "$("$program" schema --data data/orders)" '"version":1'
test -x releases/2.0.0/bin/vaultup-sample

# Hold, back up, prove.
"$program" stop --pid-file run/api.pid
says "$(status)" '"running":false'
back_up keys
back_up orders
prove keys
rm -r data/keys.proof
prove orders
says "$("$program" check --data data/orders.proof)" '"ok":true'
rm -r data/orders.proof

# Migrate.
releases/2.0.0/bin/vaultup-sample migrate --data data/orders
answer=$("$program" schema --data data/orders)
says "$answer" '"version":2'
says "$answer" '"dirty":false'

# Deploy.
ln -s releases/2.0.0 current.new
mv --no-target-directory current.new current
sync .
"$program" start --data data/orders --key data/keys/signing.key --listen "$address" \
  --pid-file run/api.pid --log run/api.log

# Verify.
until answer=$(status) && [[ $answer == *'"ready":true'* ]]; do sleep 0.05; done
says "$answer" '"version":"2.0.0"'
answer=$(health)
says "$answer" '200 OK'
says "$answer" '"version":"2.0.0"'
says "$answer" '"status":"ok"'
