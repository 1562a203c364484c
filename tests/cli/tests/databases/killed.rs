//! vaultup, and the server, killed while a dump, a proof and a restore are under way.

use std::process::{Child, Stdio};

use stage::PostgresShop;

use crate::postgres::shop_with;
use crate::support::{expect, figure};

/// So many that each stage takes long enough to be seen and killed.
const ORDERS: u32 = 200_000;

/// When something is killed: a condition that the server itself waits for.
struct Instant {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    faults: &'static [&'static str],
    condition: &'static str,
    /// What the run ends with when nothing is killed.
    ends: (&'static str, i32),
}

const INSTANTS: [Instant; 3] = [
    Instant {
        name: "dump",
        from: "1.0.0",
        to: "2.0.0",
        faults: &[],
        condition: "SELECT FROM pg_stat_activity WHERE application_name = 'vaultup'
            AND query LIKE 'COPY public.orders %TO stdout%'",
        ends: ("2.0.0", 0),
    },
    Instant {
        name: "proof",
        from: "1.0.0",
        to: "2.0.0",
        faults: &[],
        condition: "SELECT FROM pg_stat_activity WHERE datname LIKE '%_vaultup_proof'
            AND query LIKE 'COPY public.orders %FROM stdin%'",
        ends: ("2.0.0", 0),
    },
    Instant {
        name: "restore",
        from: "2.0.0",
        to: "3.0.0",
        faults: &["migrate-fails-half-way"],
        condition: "SELECT FROM pg_stat_activity WHERE datname LIKE '%_vaultup_fill_%'
            AND query LIKE 'COPY public.orders %FROM stdin%'",
        ends: ("2.0.0", 3),
    },
];

#[test]
fn a_kill_of_vaultup_during_dump_proof_and_restore_loses_nothing() {
    for instant in INSTANTS {
        let (shop, _folder) = shop_with(instant.from, ORDERS);
        let before = prepared(&shop, &instant);
        let mut child = begun(&shop, &instant);
        shop.server.psql("postgres", &until(instant.condition)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let resumed = shop.vaultup(&["resume"]).unwrap();
        expect(&resumed, instant.ends.1);
        assert_eq!(shop.serving().unwrap().as_deref(), Some(instant.ends.0), "{}", instant.name);
        assert_eq!(shop.digest().unwrap(), before, "{}", instant.name);
        nothing_is_left(&shop, &instant);
        figure(&format!("vaultup killed during {}: no row differs", instant.name));
    }
}

#[test]
fn a_kill_of_the_server_during_dump_proof_and_restore_loses_nothing() {
    for instant in INSTANTS {
        let (mut shop, _folder) = shop_with(instant.from, ORDERS);
        let before = prepared(&shop, &instant);
        let child = begun(&shop, &instant);
        shop.server.psql("postgres", &until(instant.condition)).unwrap();
        shop.server.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(!ended.status.success(), "{}: {ended:?}", instant.name);
        shop.server.begin().unwrap();
        // A run that held goes on from there; one that failed is made anew.
        let again = match ended.status.code() {
            Some(4) => shop.vaultup(&["resume"]).unwrap(),
            _ => shop.vaultup(&["run", "--to", instant.to]).unwrap(),
        };
        let again = match again.status {
            Some(4) => shop.vaultup(&["rollback", "--accept-loss"]).unwrap(),
            _ => again,
        };
        assert!(matches!(again.status, Some(0 | 3)), "{}: {}", instant.name, again.shown());
        assert_eq!(shop.digest().unwrap(), before, "{}", instant.name);
        assert_eq!(shop.serving().unwrap().as_deref(), Some(instant.ends.0), "{}", instant.name);
        figure(&format!("server killed during {}: no row differs", instant.name));
    }
}

fn prepared(shop: &PostgresShop, instant: &Instant) -> String {
    shop.install(instant.to, instant.faults).unwrap();
    shop.digest().unwrap()
}

fn begun(shop: &PostgresShop, instant: &Instant) -> Child {
    let mut command = shop.command(&["run", "--to", instant.to]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// SQL that ends when a query finds a row: the server looks a hundred times faster than we could.
fn until(condition: &str) -> String {
    format!(
        "SET statement_timeout = '60s'; DO $until$ BEGIN LOOP PERFORM pg_stat_clear_snapshot();
         EXIT WHEN EXISTS ({condition}); PERFORM pg_sleep(0.001); END LOOP; END $until$"
    )
}

/// Of what vaultup made only what was set aside by a restore may be there.
fn nothing_is_left(shop: &PostgresShop, instant: &Instant) {
    let left = shop.server.made_by_vaultup().unwrap();
    let unfinished = left.iter().filter(|name| !name.contains("_vaultup_old_"));
    assert_eq!(unfinished.count(), 0, "{}: {left:?}", instant.name);
}
