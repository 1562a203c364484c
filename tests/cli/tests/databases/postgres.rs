//! The shop with its orders in PostgreSQL.

use stage::{PostgresShop, Programs};
use tempfile::TempDir;

use crate::support::{expect, wait_until};

/// How many orders a shop begins with.
const ORDERS: u32 = 2000;

/// A shop at a release, and its folder: named first, so that it goes after the shop was stopped.
pub(crate) fn shop_at(release: &str) -> (TempDir, PostgresShop) {
    shop_with(release, ORDERS)
}

/// As [`shop_at`], with so many orders.
pub(crate) fn shop_with(release: &str, orders: u32) -> (TempDir, PostgresShop) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    let shop = PostgresShop::open(folder.path(), &programs, orders).unwrap();
    if release != "1.0.0" {
        expect(&shop.vaultup(&["run", "--to", release]).unwrap(), 0);
    }
    (folder, shop)
}

#[test]
fn an_upgrade_succeeds_and_keeps_every_row() {
    let (_folder, shop) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.schema().unwrap(), (2, false));
    assert_eq!(shop.digest().unwrap(), before);
    assert_eq!(shop.server.made_by_vaultup().unwrap(), [""; 0]);
}

#[test]
fn a_failure_before_the_migration_redeploys_the_previous_release() {
    let (_folder, shop) = shop_at("2.0.0");
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
        let (_folder, shop) = shop_at("2.0.0");
        shop.install("3.0.0", &[fault]).unwrap();
        let before = shop.digest().unwrap();
        let ran = shop.vaultup(&["run", "--to", "3.0.0"]).unwrap();
        expect(&ran, 3);
        assert!(ran.errors.contains("decided: restore and redeploy"), "{}", ran.shown());
        assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"), "{fault}");
        assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before));
    }
}

/// A database that has what databases can have, of which a restore must lose nothing.
const RICH: &str = r#"
    CREATE EXTENSION pgcrypto;
    CREATE SCHEMA "odd schema";
    CREATE TYPE "odd schema".mood AS ENUM ('sad', 'happy');
    CREATE TABLE "odd schema"."Odd Table" (id serial PRIMARY KEY, mood "odd schema".mood,
      twice integer GENERATED ALWAYS AS (id * 2) STORED, data bytea, price numeric(12, 4),
      at timestamptz DEFAULT now(), words text[], extra jsonb);
    INSERT INTO "odd schema"."Odd Table" (mood, data, price, words, extra)
      SELECT 'happy', gen_random_bytes(40), n / 7.0, ARRAY['a', NULL, 'it''s'], '{"a": [1, null]}'
      FROM generate_series(1, 500) AS n;
    CREATE TABLE parts (id integer, region text) PARTITION BY LIST (region);
    CREATE TABLE parts_north PARTITION OF parts FOR VALUES IN ('north');
    CREATE TABLE parts_other PARTITION OF parts DEFAULT;
    INSERT INTO parts SELECT n, CASE n % 2 WHEN 0 THEN 'north' ELSE 'south' END
      FROM generate_series(1, 300) AS n;
    CREATE INDEX ON parts (id);
    ALTER TABLE parts ENABLE ROW LEVEL SECURITY;
    CREATE POLICY northern ON parts FOR SELECT USING (region = 'north');
    CREATE VIEW north AS SELECT * FROM parts WHERE region = 'north';
    CREATE MATERIALIZED VIEW counted AS SELECT region, count(*) FROM parts GROUP BY region;
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql
      AS 'BEGIN NEW.at := now(); RETURN NEW; END';
    CREATE TRIGGER stamped BEFORE UPDATE ON "odd schema"."Odd Table"
      FOR EACH ROW EXECUTE FUNCTION stamp();
    CREATE SEQUENCE tickets START 5000 INCREMENT 7;
    SELECT nextval('tickets'), nextval('tickets');
    SELECT lo_from_bytea(4711, 'a large object');
    GRANT SELECT ON parts TO PUBLIC;
    COMMENT ON TABLE parts IS 'a comment';
    ALTER DATABASE shop SET work_mem = '7MB';
    ALTER DATABASE shop CONNECTION LIMIT 9;
    COMMENT ON DATABASE shop IS 'the shop''s';
    GRANT CONNECT ON DATABASE shop TO shop WITH GRANT OPTION;
"#;

/// Everything that a dump of the database says, in a form that two dumps can be compared in, and
/// what no dump has.
fn everything(shop: &PostgresShop) -> String {
    let mut command = shop.server.tool("pg_dump", "postgres");
    let output = command.args(["--inserts", "--dbname=shop"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let dump = String::from_utf8(output.stdout).unwrap();
    let random = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    let dump: Vec<&str> = dump.lines().filter(random).collect();
    let rest = "SELECT last_value, is_called FROM tickets; SELECT nextval('tickets');
        SELECT setval('tickets', 5007); SELECT convert_from(lo_get(4711), 'UTF8');
        SELECT setconfig FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase;
        SELECT shobj_description(oid, 'pg_database'), datconnlimit,
        ARRAY(SELECT one::text FROM unnest(datacl) AS one ORDER BY 1), pg_get_userbyid(datdba)
        FROM pg_database WHERE datname = 'shop'";
    format!("{}\n{}", dump.join("\n"), shop.server.psql("shop", rest).unwrap())
}

#[test]
fn a_restore_loses_nothing_that_a_database_can_have() {
    let (_folder, shop) = shop_at("1.0.0");
    shop.server.psql("shop", RICH).unwrap();
    shop.server.psql("shop", "GRANT ALL ON ALL TABLES IN SCHEMA public TO shop").unwrap();
    // Whoever may read rows behind a policy, and large objects of others, is the superuser.
    shop.rewrite_stack("user = \"shop\"", "user = \"postgres\"").unwrap();
    let before = everything(&shop);
    let set = shop.back_up().unwrap();
    shop.server.psql("shop", "DROP TABLE parts CASCADE; SELECT lo_unlink(4711);").unwrap();
    shop.server.psql("shop", "ALTER DATABASE shop RESET work_mem").unwrap();
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 0);
    let after = everything(&shop);
    let differs = before.lines().zip(after.lines()).find(|(one, other)| one != other);
    assert_eq!((differs, before.len()), (None, after.len()));
    // No dump has what the planner goes by, and autovacuum comes by only once a minute.
    let known = "SELECT reltuples FROM pg_class WHERE relname = 'parts_north'";
    assert_eq!(shop.server.psql("shop", known).unwrap(), "150");
}

/// The server's own vacuuming is nobody's session: it gives way when the database is renamed.
#[test]
fn a_restore_takes_the_place_of_a_database_that_is_being_vacuumed() {
    let (_folder, shop) = shop_at("1.0.0");
    let set = shop.back_up().unwrap();
    // So slowly that it is still at it whenever the restore comes to the exchange.
    let slowly = "CREATE TABLE dead AS SELECT n FROM generate_series(1, 500000) AS n;
        ALTER TABLE dead SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
            autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
        ALTER TABLE dead OWNER TO shop; DELETE FROM dead WHERE n % 2 = 0;";
    shop.server.psql("shop", slowly).unwrap();
    shop.server.psql("postgres", "ALTER SYSTEM SET autovacuum_naptime = '1s'").unwrap();
    shop.server.psql("postgres", "SELECT pg_reload_conf()").unwrap();
    let vacuumed = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = 'shop' AND backend_type = 'autovacuum worker' AND query LIKE '%dead%'";
    wait_until("the database is vacuumed", || shop.server.psql("shop", vacuumed).unwrap() != "0");
    let ran = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    expect(&ran, 0);
    assert!(!ran.errors.contains("sessions of others"), "{}", ran.shown());
    assert!(!ran.errors.contains("could not be read"), "{}", ran.shown());
    let table = "SELECT count(*) FROM pg_class WHERE relname = 'dead'";
    assert_eq!(shop.server.psql("shop", table).unwrap(), "0");
}
