//! P9: ten kinds of damage to a backup, and which level of proof sees which.
//!
//! Eight are done to what is stored. Two are older than the vault: a dump that was cut off, or that
//! lacks rows, and was stored faithfully; a tool that lies about its success is needed for that,
//! so a script stands in for `pg_dump`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stage::PostgresShop;
use tempfile::TempDir;

use crate::postgres::shop_with;
use crate::support::{expect, figure};

/// Bytes of a sector, which disks lose as a whole.
const SECTOR: usize = 512;

/// Enough for several megabytes in the vault.
const ORDERS: u32 = 20_000;

type Damage = fn(&mut Vec<u8>);

const TO_BYTES: [(&str, Damage); 6] = [
    ("one bit in the middle", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }),
    ("one bit in the header", |bytes| bytes[40] ^= 1),
    ("half of it", |bytes| bytes.truncate(bytes.len() / 2)),
    ("its last byte", |bytes| bytes.truncate(bytes.len() - 1)),
    ("a sector of zeros", |bytes| {
        let start = bytes.len() / 3;
        bytes[start..start + SECTOR].fill(0);
    }),
    ("bytes at its end", |bytes| bytes.extend([7; 100])),
];

/// Where the dump of a set lies.
fn dump_of(shop: &PostgresShop, set: &str) -> PathBuf {
    shop.folder().join("home/data/backups/shop").join(set).join("orders/database.dump.zst.age")
}

/// Cuts a stored dump in half.
pub(crate) fn truncate_dump(shop: &PostgresShop, set: &str) {
    let path = dump_of(shop, set);
    let bytes = fs::read(&path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Which of the levels 0 to 3 refuse a set.
fn refused(shop: &PostgresShop, set: &str) -> [bool; 4] {
    ["0", "1", "2", "3"].map(|level| {
        let proven = shop.vaultup(&["backup", "prove", set, "--level", level]).unwrap();
        assert!(proven.status == Some(0) || proven.shown().contains("error[VU"), "{proven:?}");
        proven.status != Some(0)
    })
}

#[test]
fn of_ten_kinds_of_damage_level_two_sees_all_that_is_done_to_bytes_and_level_three_sees_all() {
    let (shop, folder) = shop_with("1.0.0", ORDERS);
    let (set, other) = (shop.back_up().unwrap(), shop.back_up().unwrap());
    assert_eq!(refused(&shop, &set), [false; 4], "it is good before");
    let before = shop.digest().unwrap();
    let path = dump_of(&shop, &set);
    let whole = fs::read(&path).unwrap();
    let mut seen = Vec::new();
    for (name, damage) in TO_BYTES {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        seen.push((name, refused(&shop, &set), true));
        cannot_be_restored(&shop, &set, &before);
    }
    fs::write(&path, fs::read(dump_of(&shop, &other)).unwrap()).unwrap();
    seen.push(("another set's dump", refused(&shop, &set), true));
    cannot_be_restored(&shop, &set, &before);
    fs::remove_file(&path).unwrap();
    seen.push(("no dump", refused(&shop, &set), true));
    fs::write(&path, &whole).unwrap();
    assert_eq!(refused(&shop, &set), [false; 4], "it is good again");
    seen.push(("a dump cut off before it was stored", lied(&shop, &folder, CUT_OFF), true));
    seen.push(("rows missing before it was stored", lied(&shop, &folder, ROWS_MISSING), false));
    let mut by_level = [0; 4];
    for (name, levels, to_bytes) in &seen {
        println!("{name:38} {levels:?}");
        assert!(levels[3], "{name}: level 3 sees everything");
        assert!(levels[2] || !to_bytes, "{name}: level 2 sees what is done to bytes");
        for (count, seen) in by_level.iter_mut().zip(levels) {
            *count += usize::from(*seen);
        }
    }
    let of = seen.len();
    assert_eq!(of, 10);
    let [zero, one, two, three] = by_level;
    figure(&format!(
        "PostgreSQL damage seen at level 0: {zero}/{of}, 1: {one}/{of}, 2: {two}/{of}, 3: {three}/{of}"
    ));
}

/// Nothing damaged is restored over live data.
fn cannot_be_restored(shop: &PostgresShop, set: &str, before: &str) {
    let restored = shop.vaultup(&["restore", set, "--yes"]).unwrap();
    assert_ne!(restored.status, Some(0), "{}", restored.shown());
    assert_eq!(shop.digest().unwrap(), before);
    // A restore that could not begin left everything running; one that held is ended.
    if restored.status == Some(4) {
        shop.vaultup(&["rollback", "--accept-loss"]).unwrap();
        shop.vaultup(&["unlock", "--yes"]).unwrap();
    }
}

/// Half of what `pg_dump` writes, and its success.
const CUT_OFF: &str = "head -c $(( $(wc -c <\"$whole\") / 2 )) \"$whole\"";
/// A dump of a database of the same name and schema that lacks a row, and its success.
const ROWS_MISSING: &str = "cat \"$fewer\"";

/// Backs up with a `pg_dump` that lies; which levels see it.
fn lied(shop: &PostgresShop, folder: &TempDir, how: &str) -> [bool; 4] {
    let tools = folder.path().join("lying");
    fs::create_dir_all(&tools).unwrap();
    let (whole, fewer) = (tools.join("whole"), tools.join("fewer"));
    let dump = |path: &Path| {
        let mut command = shop.server.tool("pg_dump", "postgres");
        command.args(["--format=custom", "--compress=0", "--dbname=shop"]);
        let status = command.stdout(fs::File::create(path).unwrap()).status().unwrap();
        assert!(status.success());
    };
    dump(&whole);
    let values = "SELECT format('(%s, %L, %s)', id, item, quantity) FROM orders WHERE id = 7";
    let values = shop.server.psql("shop", values).unwrap();
    shop.server.psql("shop", "DELETE FROM orders WHERE id = 7").unwrap();
    dump(&fewer);
    let insert = format!("INSERT INTO orders (id, item, quantity) VALUES {values}");
    shop.server.psql("shop", &insert).unwrap();
    let real = shop.server.programs().join("pg_dump");
    let script = format!(
        "#!/bin/sh\nwhole='{}' fewer='{}'\ncase \"$*\" in *--snapshot=*) {how};; *) exec {} \"$@\";; esac\n",
        whole.display(),
        fewer.display(),
        real.display()
    );
    fs::write(tools.join("pg_dump"), script).unwrap();
    fs::set_permissions(tools.join("pg_dump"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), shop.server.programs().display());
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    let mut command = shop.command(&["backup", "create", "--format", "json"]);
    let created = command.env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&created.stderr).into_owned();
    assert!(!created.status.success(), "a proof at level 3 must refuse it: {said}");
    let sets = shop.vaultup(&["backup", "list", "--format", "json"]).unwrap();
    expect(&sets, 0);
    let newest: serde_json::Value =
        serde_json::from_str(sets.output.lines().next().unwrap()).unwrap();
    let newest = newest[0]["set"].as_str().or(newest["set"].as_str()).unwrap().to_owned();
    refused(shop, &newest)
}
