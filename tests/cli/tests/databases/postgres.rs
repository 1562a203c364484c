//! The shop with its orders in PostgreSQL.

use stage::{PostgresShop, Programs};
use tempfile::TempDir;

use crate::support::expect;

/// How many orders a shop begins with.
const ORDERS: u32 = 2000;

/// A shop at a release; the folder goes with it.
pub(crate) fn shop_at(release: &str) -> (PostgresShop, TempDir) {
    shop_with(release, ORDERS)
}

/// As [`shop_at`], with so many orders.
pub(crate) fn shop_with(release: &str, orders: u32) -> (PostgresShop, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    let shop = PostgresShop::open(folder.path(), &programs, orders).unwrap();
    if release != "1.0.0" {
        expect(&shop.vaultup(&["run", "--to", release]).unwrap(), 0);
    }
    (shop, folder)
}

#[test]
fn an_upgrade_succeeds_and_keeps_every_row() {
    let (shop, _folder) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.schema().unwrap(), (2, false));
    assert_eq!(shop.digest().unwrap(), before);
    assert_eq!(shop.server.made_by_vaultup().unwrap(), [""; 0]);
}

#[test]
fn a_failure_before_the_migration_redeploys_the_previous_release() {
    let (shop, _folder) = shop_at("2.0.0");
    shop.install("3.0.0", &["migrate-fails-before"]).unwrap();
    let before = shop.digest().unwrap();
    let ran = shop.vaultup(&["run", "--to", "3.0.0"]).unwrap();
    expect(&ran, 3);
    assert!(ran.errors.contains("decided: redeploy"), "{}", ran.shown());
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before));
}

#[test]
fn a_failure_after_the_migration_restores_and_redeploys() {
    for fault in ["migrate-fails-half-way", "never-ready"] {
        let (shop, _folder) = shop_at("2.0.0");
        shop.install("3.0.0", &[fault]).unwrap();
        let before = shop.digest().unwrap();
        let ran = shop.vaultup(&["run", "--to", "3.0.0"]).unwrap();
        expect(&ran, 3);
        assert!(ran.errors.contains("decided: restore and redeploy"), "{}", ran.shown());
        assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"), "{fault}");
        assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before));
    }
}
