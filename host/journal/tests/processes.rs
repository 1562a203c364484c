//! The journal between real processes: races for the lock, kills, a disk that is full.
//!
//! This program starts itself as the other processes, so it has its own `main` instead of the
//! usual harness. A first argument that begins with `child-` makes it such a process.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]
#![expect(clippy::panic, reason = "a failing test may panic")]
#![expect(clippy::print_stdout, reason = "results, and the children's answers")]

mod common;

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::{LEASE, append, at, figure, owner, scratch};
use serde_json::json;
use vaultup_journal::{Error, Journal, LockHeld};

const RACES: u32 = 1_000;
const KILLS: u64 = 60;

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("two_processes_race_for_the_lock", two_processes_race_for_the_lock),
    ("acknowledged_records_survive_sigkill", acknowledged_records_survive_sigkill),
    ("a_full_disk_loses_nothing_acknowledged", a_full_disk_loses_nothing_acknowledged),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("child-racer") => return racer(&arguments[1], arguments[2].parse().unwrap()),
        Some("child-appender") => return appender(&arguments[1]),
        _ => {}
    }
    let wanted = |name: &str| {
        let mut filters = arguments.iter().filter(|text| !text.starts_with('-')).peekable();
        filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str()))
    };
    let chosen: Vec<&Test> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    println!("\nrunning {} tests", chosen.len());
    for (name, test) in &chosen {
        test(); // a failure panics, and with that the program fails
        println!("test {name} ... ok");
    }
    println!(
        "\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; {} filtered out\n",
        chosen.len(),
        TESTS.len() - chosen.len()
    );
}

/// Two processes that live through all races. Each race: both acquire at once, one wins; in turn
/// the winner releases, or it is paused, its lease ends, the other takes over, and the paused one
/// tries everything.
fn two_processes_race_for_the_lock() {
    let directory = scratch();
    let mut racers = [1, 2].map(|id| Racer::start(directory.path(), id));
    let (mut wins, mut takeovers, mut last_epoch) = ([0_u32; 2], 0_u32, 0_u64);
    let mut stale_tried = 0_u32;
    for race in 0..RACES {
        let now = i64::from(race) * 1000;
        let order = if race % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            racers[index].ask(&format!("acquire {now}"));
        }
        let answers = [0, 1].map(|index| racers[index].answer());
        let holders: Vec<usize> =
            [0, 1].into_iter().filter(|index| answers[*index].starts_with("held ")).collect();
        let [winner] = holders[..] else { panic!("race {race}: {answers:?}") };
        let loser = 1 - winner;
        assert_eq!(answers[loser], format!("refused {}", winner + 1), "race {race}");
        let epoch: u64 = answers[winner]["held ".len()..].parse().unwrap();
        assert!(epoch > last_epoch, "race {race}: epoch {epoch} after {last_epoch}");
        last_epoch = epoch;
        wins[winner] += 1;
        if race % 2 == 0 {
            assert_eq!(racers[winner].tell(&format!("append {now}")), "appended");
            assert_eq!(racers[winner].tell("release"), "released");
            continue;
        }
        // The winner says nothing for longer than its lease.
        let later = now + LEASE.as_secs();
        let taken = racers[loser].tell(&format!("acquire {later}"));
        last_epoch = taken["held ".len()..].parse().unwrap();
        assert!(last_epoch > epoch);
        takeovers += 1;
        for attempt in ["append", "renew", "fence"] {
            let answer = racers[winner].tell(&format!("{attempt} {later}"));
            assert_eq!(answer, format!("fenced by {}", loser + 1), "race {race}: {attempt}");
        }
        assert_eq!(racers[winner].tell("release"), format!("fenced by {}", loser + 1));
        stale_tried += 4;
        assert_eq!(racers[loser].tell(&format!("append {later}")), "appended");
        assert_eq!(racers[loser].tell("release"), "released");
    }
    racers.into_iter().for_each(Racer::end);
    let records = Journal::open(directory.path()).unwrap().records(None).unwrap();
    assert_eq!(records.len(), RACES as usize, "one append a race");
    figure(&format!(
        "races {RACES}, won by each {wins:?}, double holders 0, takeovers {takeovers}, \
         stale epochs tried {stale_tried}, accepted 0"
    ));
}

/// A process that appends as fast as it can is killed at some instant, many times over.
fn acknowledged_records_survive_sigkill() {
    let directory = scratch();
    let (mut acknowledged, mut unacknowledged) = (0_u64, 0_u64);
    for kill in 0..KILLS {
        let mut child = child(&["child-appender", directory.path().to_str().unwrap()], None);
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        // From before the first acquisition to well into the appends.
        for _ in 0..kill % 12 {
            answers.next().unwrap().unwrap();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        for line in answers.map_while(Result::ok) {
            assert!(line.parse::<u64>().is_ok(), "{line}");
        }
        let journal = Journal::open(directory.path()).unwrap();
        let found = journal.records(None).unwrap().len() as u64;
        let told = last_told(directory.path());
        assert!(found >= told, "kill {kill}: {told} acknowledged, {found} found");
        assert!(found <= told + 1, "kill {kill}: more than one beyond what was acknowledged");
        (acknowledged, unacknowledged) = (told, unacknowledged + (found - told));
    }
    figure(&format!(
        "kills {KILLS}, records acknowledged {acknowledged}, lost 0, \
         committed and not acknowledged {unacknowledged}"
    ));
    assert!(acknowledged > KILLS);
}

/// Files may not grow beyond a limit that is raised step by step, so that the write fails at each
/// of the places where it can. The limit counts in blocks of 512 bytes.
fn a_full_disk_loses_nothing_acknowledged() {
    let (mut limits, mut failures, mut acknowledged) = (0_u32, 0_u32, 0_u64);
    for blocks in (64..=200).step_by(2) {
        let directory = scratch();
        let path = directory.path().to_str().unwrap().to_owned();
        let mut child = child(&["child-appender", &path], Some(blocks));
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut told, mut failed) = (0, false);
        for line in output.by_ref().map_while(Result::ok) {
            match line.parse() {
                Ok(sequence) => told = sequence,
                Err(_) => failed = true,
            }
            assert!(told < 10_000, "{blocks} blocks are never full");
        }
        assert!(child.wait().unwrap().success(), "it must answer, not crash");
        assert!(failed, "{blocks} blocks: nothing failed");
        let journal = Journal::open(directory.path()).unwrap();
        let found = journal.records(None).unwrap().len() as u64;
        assert!(found == told || found == told + 1, "{blocks}: {told} told, {found} found");
        let held = journal.acquire(&owner(9), at(0), LEASE, &|_| false).unwrap();
        append(&journal, &held, found + 1, found + 1);
        (limits, failures, acknowledged) = (limits + 1, failures + 1, acknowledged + told);
    }
    figure(&format!(
        "disk limits tried {limits}, writes failed {failures}, poisoned {failures}, \
         records acknowledged {acknowledged}, lost 0"
    ));
}

/// A process that answers the lines it is sent.
struct Racer {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Racer {
    fn start(directory: &Path, id: u32) -> Self {
        let arguments = ["child-racer", directory.to_str().unwrap(), &id.to_string()];
        let mut child = child(&arguments, None);
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    fn ask(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn answer(&mut self) -> String {
        self.output.next().unwrap().unwrap()
    }

    fn tell(&mut self, line: &str) -> String {
        self.ask(line);
        self.answer()
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

/// The child of the race: does what each line says and answers with one line.
fn racer(directory: &str, id: u32) {
    let mut journal = Journal::open(Path::new(directory)).unwrap();
    let mut held: Option<LockHeld> = None;
    for (number, line) in std::io::stdin().lines().map_while(Result::ok).enumerate() {
        let (word, seconds) = line.split_once(' ').unwrap_or((&line, "0"));
        let now = at(seconds.parse().unwrap());
        let answer = match word {
            "acquire" => {
                if number % 10 == 0 {
                    journal = Journal::open(Path::new(directory)).unwrap();
                }
                journal.acquire(&owner(id), now, LEASE, &|_| true).map(|lock| {
                    let answer = format!("held {}", lock.epoch());
                    held = Some(lock);
                    answer
                })
            }
            "append" => journal
                .append(held.as_ref().unwrap(), "run", "kind", &json!(id), now)
                .map(|_| "appended".to_owned()),
            "renew" => {
                journal.renew(held.as_ref().unwrap(), now, LEASE).map(|()| "renewed".to_owned())
            }
            "fence" => journal.fence(held.as_ref().unwrap()).map(|()| "passed".to_owned()),
            _ => journal.release(held.take().unwrap()).map(|()| "released".to_owned()),
        };
        println!("{}", answer.unwrap_or_else(|error| refusal(&error)));
    }
}

fn refusal(error: &Error) -> String {
    match error {
        Error::Held(holder) => format!("refused {}", holder.owner.process_id),
        Error::Fenced(fence) => {
            format!("fenced by {}", fence.by.as_ref().map_or(0, |by| by.process_id))
        }
        other => format!("failed: {other}"),
    }
}

/// The child that is killed, or whose disk is full: appends and says the sequence of each record
/// that was acknowledged, on its output and in a file, whose size never changes.
fn appender(directory: &str) {
    let directory = Path::new(directory);
    let work = || -> Result<(), Error> {
        let journal = Journal::open(directory)?;
        let next = journal.records(None)?.len() as u64 + 1;
        // Whatever a dead predecessor left at the end counts from this acquisition on.
        let held = journal.acquire(&owner(1), at(0), LEASE, &|_| false)?;
        tell(directory, next - 1);
        for number in next.. {
            journal.append(&held, "run", "kind", &json!({ "number": number }), at(0))?;
            tell(directory, number);
            println!("{number}");
        }
        Ok(())
    };
    if let Err(error) = work() {
        println!("failed: {error}");
    }
}

fn tell(directory: &Path, sequence: u64) {
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("told"))
        .unwrap();
    file.write_all(format!("{sequence:020}").as_bytes()).unwrap();
}

fn last_told(directory: &Path) -> u64 {
    let told = std::fs::read_to_string(directory.join("told")).unwrap_or_default();
    told.parse().unwrap_or(0)
}

/// Starts this program again. With a limit, a write beyond it fails instead of killing: a shell
/// sets the limit and has the signal ignored.
fn child(arguments: &[&str], blocks_max: Option<u32>) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = match blocks_max {
        None => Command::new(program),
        Some(blocks) => {
            let mut shell = Command::new("sh");
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            shell.arg("-c").arg(script).arg(program);
            shell
        }
    };
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}
