//! The shop with a catalogue in MongoDB.

use stage::{MongoShop, Programs};
use tempfile::TempDir;

use crate::support::expect;

/// How many items the catalogue has.
pub(crate) const ITEMS: u32 = 2000;

/// A shop at a release, and its folder: named first, so that it goes after the shop was stopped.
pub(crate) fn shop_at(release: &str, items: u32) -> (TempDir, MongoShop) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    let shop = MongoShop::open(folder.path(), &programs, items).unwrap();
    if release != "1.0.0" {
        expect(&shop.vaultup(&["run", "--to", release]).unwrap(), 0);
    }
    (folder, shop)
}

#[test]
fn an_upgrade_succeeds_and_keeps_every_document() {
    let (_folder, shop) = shop_at("1.0.0", ITEMS);
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    let (version, count) = ("db.meta.findOne().schema_version", "db.items.countDocuments({})");
    let seen = shop.server.shell(&format!("print({version}, {count})")).unwrap();
    assert_eq!(seen, format!("2 {ITEMS}"));
    assert_eq!(shop.shop.serving().unwrap().as_deref(), Some("2.0.0"));
}

#[test]
fn a_failure_half_way_in_the_catalogue_restores_every_document_and_index() {
    let (_folder, shop) = shop_at("2.0.0", ITEMS);
    shop.install("3.0.0", &[], true).unwrap();
    let before = shop.server.everything().unwrap();
    let ran = shop.vaultup(&["run", "--to", "3.0.0"]).unwrap();
    expect(&ran, 3);
    assert!(ran.errors.contains("decided: restore and redeploy"), "{}", ran.shown());
    assert_eq!(shop.server.everything().unwrap(), before, "no document differs");
    assert_eq!(shop.shop.serving().unwrap().as_deref(), Some("2.0.0"));
}

#[test]
fn a_failure_before_the_migration_redeploys_the_previous_release() {
    let (_folder, shop) = shop_at("2.0.0", ITEMS);
    shop.install("3.0.0", &["migrate-fails-before"], false).unwrap();
    let before = shop.shop.digest().unwrap();
    expect(&shop.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    assert_eq!(shop.shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.shop.digest().unwrap(), before);
}

/// T2: `mongorestore --drop` keeps collections that the backup does not have.
#[test]
fn the_runbooks_restore_keeps_the_migrations_collection_and_vaultups_does_not() {
    let (folder, shop) = shop_at("1.0.0", ITEMS);
    let before = shop.server.everything().unwrap();
    let set = shop.back_up().unwrap();
    let archive = folder.path().join("pre-upgrade.archive");
    let port = format!("--port={}", shop.server.port());
    let mut dump = std::process::Command::new(shop.server.tools().join("mongodump"));
    dump.args(["--archive", "--db=shop", "--host=127.0.0.1", &port]);
    let dumped = dump.stdout(std::fs::File::create(&archive).unwrap()).output().unwrap();
    assert!(dumped.status.success());
    shop.server.shell("db.prices.insertOne({ _id: 1 }); db.items.deleteOne({ _id: 3 });").unwrap();
    let mut restore = std::process::Command::new(shop.server.tools().join("mongorestore"));
    restore.args(["--archive", "--drop", "--host=127.0.0.1", &port]);
    restore.stdin(std::fs::File::open(&archive).unwrap());
    assert!(restore.output().unwrap().status.success());
    assert_ne!(shop.server.everything().unwrap(), before, "T2: a collection is kept");
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 0);
    assert_eq!(shop.server.everything().unwrap(), before);
}
