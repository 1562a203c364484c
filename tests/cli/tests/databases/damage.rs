//! P9: ten kinds of damage to a backup, and which level of proof sees which.
//!
//! Eight are done to what is stored. Two are older than the vault: a dump that was cut off, or is
//! not what is in the database, and was stored faithfully. A tool that lies about its success is
//! needed for that, so a script stands in for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stage::{PostgresShop, Ran};
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

/// A shop, as far as damage to its backups is concerned.
struct Damaged<'a> {
    vaultup: &'a dyn Fn(&[&str]) -> Ran,
    /// Where the sets lie.
    sets: PathBuf,
    /// The artifact that is damaged.
    artifact: &'static str,
    /// Everything that is live.
    live: &'a dyn Fn() -> String,
}

/// What was done, which levels saw it, and whether it was done to bytes.
type Seen = Vec<(&'static str, [bool; 4], bool)>;

/// Cuts a stored dump in half.
pub(crate) fn truncate_dump(shop: &PostgresShop, set: &str) {
    let path = sets_of(shop.folder()).join(set).join(POSTGRES);
    let bytes = fs::read(&path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

const POSTGRES: &str = "orders/database.dump.zst.age";
const MONGO: &str = "catalogue/database.archive.zst.age";

fn sets_of(folder: &Path) -> PathBuf {
    folder.join("home/data/backups/shop")
}

impl Damaged<'_> {
    fn path(&self, set: &str) -> PathBuf {
        self.sets.join(set).join(self.artifact)
    }

    /// Which of the levels 0 to 3 refuse a set.
    fn refused(&self, set: &str) -> [bool; 4] {
        ["0", "1", "2", "3"].map(|level| {
            let proven = (self.vaultup)(&["backup", "prove", set, "--level", level]);
            assert!(proven.status == Some(0) || proven.shown().contains("error[VU"), "{proven:?}");
            proven.status != Some(0)
        })
    }

    /// Eight kinds of damage to what is stored, and what sees them.
    fn stored(&self, set: &str, other: &str) -> Seen {
        assert_eq!(self.refused(set), [false; 4], "it is good before");
        let before = (self.live)();
        let path = self.path(set);
        let whole = fs::read(&path).unwrap();
        let mut seen = Seen::new();
        for (name, damage) in TO_BYTES {
            let mut bytes = whole.clone();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
            seen.push((name, self.refused(set), true));
            self.cannot_be_restored(set, &before);
        }
        fs::write(&path, fs::read(self.path(other)).unwrap()).unwrap();
        seen.push(("another set's dump", self.refused(set), true));
        self.cannot_be_restored(set, &before);
        fs::remove_file(&path).unwrap();
        seen.push(("no dump", self.refused(set), true));
        fs::write(&path, &whole).unwrap();
        assert_eq!(self.refused(set), [false; 4], "it is good again");
        seen
    }

    /// Nothing damaged is restored over live data.
    fn cannot_be_restored(&self, set: &str, before: &str) {
        let restored = (self.vaultup)(&["restore", set, "--yes"]);
        assert_ne!(restored.status, Some(0), "{}", restored.shown());
        assert_eq!((self.live)(), before);
        if restored.status == Some(4) {
            (self.vaultup)(&["rollback", "--accept-loss"]);
        }
    }

    /// Which levels refuse the set that a backup left that did not succeed.
    fn newest_refused(&self) -> [bool; 4] {
        let sets = (self.vaultup)(&["backup", "list", "--format", "json"]);
        expect(&sets, 0);
        let newest: serde_json::Value =
            serde_json::from_str(sets.output.lines().next().unwrap()).unwrap();
        let newest = newest[0]["set"].as_str().or(newest["set"].as_str()).unwrap().to_owned();
        self.refused(&newest)
    }
}

/// Prints which level saw what, and demands what P9 demands.
#[expect(clippy::print_stdout, reason = "the suite shows it")]
fn judged(database: &str, seen: &Seen) {
    let mut by_level = [0; 4];
    for (name, levels, to_bytes) in seen {
        println!("{database}: {name:38} {levels:?}");
        assert!(levels[3], "{name}: level 3 sees everything");
        assert!(levels[2] || !to_bytes, "{name}: level 2 sees what is done to bytes");
        for (count, seen) in by_level.iter_mut().zip(levels) {
            *count += usize::from(*seen);
        }
    }
    let of = seen.len();
    assert_eq!(of, 10);
    let by_level = by_level.map(|seen| format!("{seen}/{of}")).join(", ");
    figure(&format!("{database}: damage seen at levels 0 to 3: {by_level}"));
}

#[test]
fn of_ten_kinds_of_damage_to_a_dump_of_postgres_level_three_sees_all() {
    let (folder, shop) = shop_with("1.0.0", ORDERS);
    let damaged = Damaged {
        vaultup: &|arguments| shop.vaultup(arguments).unwrap(),
        sets: sets_of(shop.folder()),
        artifact: POSTGRES,
        live: &|| shop.digest().unwrap(),
    };
    let (set, other) = (shop.back_up().unwrap(), shop.back_up().unwrap());
    let mut seen = damaged.stored(&set, &other);
    for (name, how, to_bytes) in [
        ("a dump cut off before it was stored", CUT_OFF, true),
        ("rows missing before it was stored", ROWS_MISSING, false),
    ] {
        lied(&shop, &folder, how);
        seen.push((name, damaged.newest_refused(), to_bytes));
    }
    judged("PostgreSQL", &seen);
}

#[test]
fn of_ten_kinds_of_damage_to_an_archive_of_mongodump_level_three_sees_all() {
    let (folder, shop) = crate::mongo::shop_at("1.0.0", 2000);
    let damaged = Damaged {
        vaultup: &|arguments| shop.vaultup(arguments).unwrap(),
        sets: sets_of(shop.shop.folder()),
        artifact: MONGO,
        live: &|| shop.server.everything().unwrap(),
    };
    let (set, other) = (shop.back_up().unwrap(), shop.back_up().unwrap());
    let mut seen = damaged.stored(&set, &other);
    let real = shop.server.tools().join("mongodump");
    for (name, how, to_bytes) in [
        ("an archive cut off before it was stored", "head -c 20000", true),
        ("a bit flipped before it was stored", "sed 's/item-77/item-76/'", true),
    ] {
        let tools = folder.path().join("lying");
        let script = format!("#!/bin/sh\n{} \"$@\" | {how}\n", real.display());
        write_tool(&tools, "mongodump", &script);
        let path = format!("{}:{}", tools.display(), shop.server.tools().display());
        let path = format!("{path}:{}", std::env::var("PATH").unwrap());
        let mut command = shop.command(&["backup", "create"]);
        let created = command.env("PATH", path).output().unwrap();
        assert!(!created.status.success(), "{name}: {created:?}");
        seen.push((name, damaged.newest_refused(), to_bytes));
    }
    judged("MongoDB", &seen);
}

fn write_tool(folder: &Path, name: &str, script: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), script).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Half of what `pg_dump` writes, and its success.
const CUT_OFF: &str = "head -c $(( $(wc -c <\"$whole\") / 2 )) \"$whole\"";
/// A dump of a database of the same name and schema that lacks a row, and its success.
const ROWS_MISSING: &str = "cat \"$fewer\"";

/// Backs up with a `pg_dump` that lies.
fn lied(shop: &PostgresShop, folder: &TempDir, how: &str) {
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
        "#!/bin/sh\nwhole='{}' fewer='{}'\n\
         case \"$*\" in *--snapshot=*) {how};; *) exec {} \"$@\";; esac\n",
        whole.display(),
        fewer.display(),
        real.display()
    );
    write_tool(&tools, "pg_dump", &script);
    let path = format!("{}:{}", tools.display(), shop.server.programs().display());
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    let mut command = shop.command(&["backup", "create", "--format", "json"]);
    let created = command.env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&created.stderr).into_owned();
    assert!(!created.status.success(), "a proof at level 3 must refuse it: {said}");
}
