//! vaultup, and the server, killed in the middle of a dump, a proof, a restore and an exchange.
//!
//! Each kill happens at a meeting with the tool that is at work then, see [`stage::Rendezvous`]:
//! half of a stream has passed, whatever the speed of the machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use stage::{Meeting, Rendezvous};

use crate::postgres::shop_with;
use crate::support::{expect, figure, wait_until};

/// So many that every stream is much longer than what passes before a meeting.
const ORDERS: u32 = 20_000;
/// Documents of a catalogue, likewise.
const ITEMS: u32 = 5000;
/// What passes before a meeting: more than a header, less than half of any stream.
const BYTES: u32 = 100_000;

/// When something is killed.
struct Instant {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    /// Whether the migration fails half-way, so that there is something to restore.
    half_way: bool,
    tool: &'static str,
    /// What its arguments contain.
    words: &'static [&'static str],
    meeting: Meeting,
    /// What the run ends with when nothing but vaultup is killed.
    ends: (&'static str, i32),
}

impl Instant {
    const fn upgrade(name: &'static str, tool: &'static str, meeting: Meeting) -> Self {
        let (from, to, words, ends) = ("1.0.0", "2.0.0", &[] as &[&str], ("2.0.0", 0));
        Self { name, from, to, half_way: false, tool, words, meeting, ends }
    }

    const fn way_back(name: &'static str, tool: &'static str, meeting: Meeting) -> Self {
        let (from, to, words, ends) = ("2.0.0", "3.0.0", &[] as &[&str], ("2.0.0", 3));
        Self { name, from, to, half_way: true, tool, words, meeting, ends }
    }

    const fn of(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    fn arranged(&self, folder: &Path, tools: &Path) -> Rendezvous {
        Rendezvous::arrange(folder, tools, self.tool, self.words, self.meeting).unwrap()
    }
}

const OF_POSTGRES: [Instant; 4] = [
    Instant::upgrade("dump", "pg_dump", Meeting::InOutput(BYTES)).of(&["--snapshot="]),
    Instant::upgrade("proof", "pg_restore", Meeting::InInput(BYTES)).of(&["_vaultup_proof"]),
    Instant::way_back("restore", "pg_restore", Meeting::InInput(BYTES)).of(&["_vaultup_fill_"]),
    Instant::way_back("exchange", "psql", Meeting::Before).of(&[
        "--set=live=",
        "--set=new=",
        "--set=old=",
    ]),
];

const OF_MONGO: [Instant; 4] = [
    Instant::upgrade("dump", "mongodump", Meeting::InOutput(BYTES)).of(&["--db=shop"]),
    Instant::upgrade("proof", "mongorestore", Meeting::InInput(BYTES)).of(&["_vaultup_proof."]),
    Instant::way_back("restore", "mongorestore", Meeting::InInput(BYTES)).of(&["vaultup_new_"]),
    Instant::way_back("exchange", "mongosh", Meeting::Before).of(&["nothing was filled"]),
];

fn begun(mut command: Command, rendezvous: &Rendezvous) -> Child {
    rendezvous.on_path_of(&mut command).unwrap();
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(mut command: Command, rendezvous: &Rendezvous) -> stage::Ran {
    rendezvous.on_path_of(&mut command).unwrap();
    stage::Ran::of(command.output().unwrap())
}

/// What is typed after the server was killed: a run that holds goes on from there, one that failed
/// is made anew, and a decision that waits for a person is made.
fn brought_to_an_end(
    status: Option<i32>,
    instant: &Instant,
    vaultup: impl Fn(&[&str]) -> stage::Ran,
) -> stage::Ran {
    let again = match status {
        Some(4) => vaultup(&["resume"]),
        _ => vaultup(&["run", "--to", instant.to]),
    };
    match again.status {
        Some(4) => vaultup(&["rollback", "--accept-loss"]),
        _ => again,
    }
}

#[test]
fn a_kill_of_vaultup_during_dump_proof_restore_and_exchange_loses_no_row() {
    for instant in OF_POSTGRES {
        let (folder, shop) = shop_with(instant.from, ORDERS);
        prepare_postgres(&shop, &instant);
        let before = shop.digest().unwrap();
        let mut meeting = instant.arranged(folder.path(), shop.server.programs());
        let mut child = begun(shop.command(&["run", "--to", instant.to]), &meeting);
        meeting.wait(&mut child).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        meeting.let_go().unwrap();
        let resumed = ended(shop.command(&["resume"]), &meeting);
        expect(&resumed, instant.ends.1);
        assert_eq!(shop.serving().unwrap().as_deref(), Some(instant.ends.0), "{}", instant.name);
        assert_eq!(shop.digest().unwrap(), before, "{}", instant.name);
        nothing_is_left(&shop, &instant);
        figure(&format!("PostgreSQL: vaultup killed during {}: no row differs", instant.name));
    }
}

#[test]
fn a_kill_of_the_server_during_dump_proof_restore_and_exchange_loses_no_row() {
    for instant in OF_POSTGRES {
        let (folder, mut shop) = shop_with(instant.from, ORDERS);
        prepare_postgres(&shop, &instant);
        let before = shop.digest().unwrap();
        let mut meeting = instant.arranged(folder.path(), shop.server.programs());
        let mut child = begun(shop.command(&["run", "--to", instant.to]), &meeting);
        meeting.wait(&mut child).unwrap();
        shop.server.kill().unwrap();
        meeting.let_go().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success(), "{}: {output:?}", instant.name);
        shop.server.begin().unwrap();
        if output.status.code() != Some(4) {
            // It lost its server as well, and nothing ill is upgraded.
            wait_until("the application is ready again", || shop.serving().unwrap().is_some());
        }
        let again = brought_to_an_end(output.status.code(), &instant, |words| {
            ended(shop.command(words), &meeting)
        });
        assert!(matches!(again.status, Some(0 | 3)), "{}: {}", instant.name, again.shown());
        assert_eq!(shop.digest().unwrap(), before, "{}", instant.name);
        assert_eq!(shop.serving().unwrap().as_deref(), Some(instant.ends.0), "{}", instant.name);
        nothing_is_left(&shop, &instant);
        figure(&format!("PostgreSQL: server killed during {}: no row differs", instant.name));
    }
}

/// A crash of the machine that ran vaultup, or tools inside a pod, leave what no process group on
/// this one holds: a dump that waits for a reader keeps a migration from changing its tables.
#[test]
fn what_an_attempt_left_on_the_server_is_ended_and_keeps_nobody_from_the_upgrade() {
    let (_folder, shop) = shop_with("1.0.0", ORDERS);
    shop.server.psql("postgres", "CREATE DATABASE shop_vaultup_proof OWNER shop").unwrap();
    let mut dump = shop.server.tool("pg_dump", "shop");
    dump.args([
        "--format=custom",
        "--compress=0",
        "--dbname=application_name=vaultup-dump dbname=shop",
    ]);
    let mut copy = shop.server.tool("psql", "shop");
    copy.args(["--dbname=shop_vaultup_proof", "--command=SELECT pg_sleep(600)"]);
    copy.env("PGAPPNAME", "vaultup-restore");
    let mut left = [dump, copy]
        .map(|mut left| left.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let sessions = |application: &str| {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity AS a WHERE application_name = '{application}'
             AND (datname = 'shop_vaultup_proof' OR EXISTS (SELECT FROM pg_locks AS l
               WHERE l.pid = a.pid AND l.relation = 'orders'::regclass))"
        );
        shop.server.psql("shop", &query).unwrap()
    };
    wait_until("the dump has its locks", || sessions("vaultup-dump") == "1");
    wait_until("the copy is in use", || sessions("vaultup-restore") == "1");
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    for left in &mut left {
        drop(left.stdout.take());
        assert!(!left.wait().unwrap().success(), "the server ended it");
    }
    assert_eq!(shop.server.made_by_vaultup().unwrap(), [""; 0]);
}

fn prepare_postgres(shop: &stage::PostgresShop, instant: &Instant) {
    let faults: &[&str] = if instant.half_way { &["migrate-fails-half-way"] } else { &[] };
    shop.install(instant.to, faults).unwrap();
}

/// Of what vaultup made only what was set aside by a restore may be there, and everybody may
/// connect to what is live.
fn nothing_is_left(shop: &stage::PostgresShop, instant: &Instant) {
    let left = shop.server.made_by_vaultup().unwrap();
    let unfinished = left.iter().filter(|name| !name.contains("_vaultup_old_"));
    assert_eq!(unfinished.count(), 0, "{}: {left:?}", instant.name);
    let open = "SELECT datallowconn FROM pg_database WHERE datname = 'shop'";
    assert_eq!(shop.server.psql("postgres", open).unwrap(), "t", "{}", instant.name);
}

#[test]
fn a_kill_of_vaultup_during_dump_proof_restore_and_exchange_loses_no_document() {
    for instant in OF_MONGO {
        let (folder, shop) = crate::mongo::shop_at(instant.from, ITEMS);
        shop.install(instant.to, &[], instant.half_way).unwrap();
        let before = shop.server.everything().unwrap();
        let mut meeting = instant.arranged(folder.path(), &shop.server.tools());
        let mut child = begun(shop.command(&["run", "--to", instant.to]), &meeting);
        meeting.wait(&mut child).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        meeting.let_go().unwrap();
        let resumed = ended(shop.command(&["resume"]), &meeting);
        expect(&resumed, instant.ends.1);
        let after = shop.server.everything().unwrap();
        let name = instant.name;
        assert!(!instant.half_way || after == before, "{name}: documents differ");
        assert!(instant.half_way || after.contains("\"schema_version\":2"), "{name}: {after}");
        figure(&format!("MongoDB: vaultup killed during {name}: no document differs"));
    }
}

#[test]
fn a_kill_of_the_server_during_dump_proof_restore_and_exchange_loses_no_document() {
    for instant in OF_MONGO {
        let (folder, mut shop) = crate::mongo::shop_at(instant.from, ITEMS);
        shop.install(instant.to, &[], instant.half_way).unwrap();
        let items = "print(EJSON.stringify(db.items.find().sort({ _id: 1 }).toArray()))";
        let before = shop.server.shell(items).unwrap();
        let mut meeting = instant.arranged(folder.path(), &shop.server.tools());
        let mut child = begun(shop.command(&["run", "--to", instant.to]), &meeting);
        meeting.wait(&mut child).unwrap();
        shop.server.kill().unwrap();
        meeting.let_go().unwrap();
        let output = child.wait_with_output().unwrap();
        let name = instant.name;
        assert!(!output.status.success(), "{name}: {output:?}");
        shop.server.begin().unwrap();
        let again = brought_to_an_end(output.status.code(), &instant, |words| {
            ended(shop.command(words), &meeting)
        });
        assert!(matches!(again.status, Some(0 | 3)), "{name}: {}", again.shown());
        assert!(shop.server.shell(items).unwrap() == before, "{name}: documents differ");
        figure(&format!("MongoDB: server killed during {name}: no document differs"));
    }
}
