//! A run while it is carried out: a live line on a terminal, plain lines elsewhere, JSON lines for
//! programs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::act::{Answer, Failure, Outcome};
use engine::machine::Ending;
use indicatif::{ProgressBar, ProgressStyle};
use model::Name;
use runner::news::{Listener, News};

use super::{bytes, duration};
use crate::shell::{Paint, Shell};

/// How often the live line turns.
const TICK: Duration = Duration::from_millis(100);

/// Shows a run.
pub(crate) struct Screen {
    shell: Shell,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    step: String,
    to: String,
    from: String,
    failure: Option<Failure>,
}

impl Screen {
    /// A screen for the shell's kind of output.
    #[must_use]
    pub(crate) fn new(shell: &Shell) -> Arc<Self> {
        Arc::new(Self { shell: *shell, state: Mutex::default() })
    }

    fn line(&self, state: &State, text: &str) {
        match &state.bar {
            Some(bar) => bar.suspend(|| self.shell.note(text)),
            None => self.shell.note(text),
        }
    }

    fn begin(&self, state: &mut State, phase: &str, subject: &str) {
        state.step = format!("{phase:<9} {subject}");
        if self.shell.is_terminal() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(state.step.clone());
            bar.enable_steady_tick(TICK);
            state.bar = Some(bar);
        }
    }

    fn end(&self, state: &mut State, step: &str, outcome: &Outcome, elapsed: Duration) {
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
        let took = self.shell.paint(Paint::Dim, &duration(elapsed));
        match outcome {
            Outcome::Done(answer) => {
                let mark = self.shell.paint(Paint::Green, "✓");
                let learnt = learnt(answer);
                self.shell.note(&format!("{mark} {step:<48} {learnt:<36} {took}"));
            }
            Outcome::Failed(failure) => {
                let mark = self.shell.paint(Paint::Red, "✗");
                self.shell.note(&format!("{mark} {step:<48} {:<36} {took}", ""));
                state.failure = Some(failure.clone());
                self.shell.note(&self.explained(failure));
            }
        }
    }

    fn explained(&self, failure: &Failure) -> String {
        let code = self.shell.paint(Paint::Red, &format!("error[VU{:04}]", failure.code));
        let causes = failure.causes.iter().map(|cause| {
            format!("\n  caused by: {}", cause.trim().replace('\n', "\n             "))
        });
        format!("{code}: {}{}", failure.message, causes.collect::<String>())
    }

    fn over(&self, state: &State, over: &Over<'_>) {
        let took = duration(over.elapsed);
        let backup = over.backup.unwrap_or("none");
        let (text, standing) = match over.ending {
            Ending::Upgraded => {
                let text = match over.state {
                    "restored" => format!("backup {backup} restored after {took}"),
                    "rehearsed" => format!("{} rehearsed there and back after {took}", state.to),
                    _ => format!("{} after {took}", state.to),
                };
                (self.shell.paint(Paint::Green, &text), None)
            }
            Ending::RolledBack => {
                let lost = match over.lost {
                    Duration::ZERO => "nothing lost".to_owned(),
                    lost => format!("what was written during {} is lost", duration(lost)),
                };
                let text = format!("back on {} after {took}, {lost}", state.from);
                (self.shell.paint(Paint::Yellow, &text), None)
            }
            Ending::Unchanged(_) => {
                let text = format!("{} runs as before", state.from);
                (text, Some("nothing was changed".to_owned()))
            }
            Ending::Held(reason) => {
                let kept = match over.backup {
                    Some(set) => format!("backup {set} is kept"),
                    None => "no backup was taken yet".to_owned(),
                };
                (self.shell.paint(Paint::Red, "held"), Some(format!("{reason}; {kept}")))
            }
        };
        self.shell.note(&format!("{text}          run {}", over.run));
        standing.iter().for_each(|its| self.shell.note(&format!("  state: {its}")));
        for (name, place) in over.aside {
            self.shell.note(&format!("  aside: what was live of {name} was not removed: {place}"));
        }
        // An upgrade or rehearsal that went well needs no advice.
        let well = *over.ending == Ending::Upgraded;
        let next = over.next.iter().filter(|_| !well);
        next.for_each(|its| self.shell.note(&format!("  next: {its}")));
    }
}

/// How a run ended.
struct Over<'a> {
    run: &'a str,
    ending: &'a Ending,
    state: &'a str,
    backup: Option<&'a str>,
    aside: &'a BTreeMap<Name, String>,
    next: &'a [String],
    lost: Duration,
    elapsed: Duration,
}

impl Listener for Screen {
    fn hear(&self, news: &News) {
        if self.shell.is_json() {
            self.shell.json(news);
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match news {
            News::Run { run, from, to, restores, steps, resumed } => {
                state.from.clone_from(from);
                state.to.clone_from(to);
                let verb = if *resumed { "goes on" } else { "begins" };
                let what = match restores {
                    Some(set) => format!("restore {set}"),
                    None => format!("{from} → {to}"),
                };
                let text = format!("{what}: run {run} {verb}, {steps} steps ahead");
                self.shell.note(&self.shell.paint(Paint::Bold, &text));
            }
            News::Begun { phase, subject, .. } => self.begin(&mut state, phase, subject),
            News::Recovered { seen, .. } => {
                self.line(&state, &self.shell.paint(Paint::Yellow, &format!("  {seen}")));
            }
            News::Progress { done, total, unit } => {
                if let Some(bar) = &state.bar {
                    bar.set_message(format!("{}  {}", state.step, progress(*done, *total, unit)));
                }
            }
            News::Log { line } => {
                self.line(&state, &self.shell.paint(Paint::Dim, &format!("  {line}")));
            }
            News::Ended { phase, subject, outcome, elapsed, .. } => {
                let step = format!("{phase:<9} {subject}");
                self.end(&mut state, &step, outcome, *elapsed);
            }
            News::Decided { choice, reason, .. } => {
                let text = format!("  decided: {choice}, because {reason}");
                self.shell.note(&self.shell.paint(Paint::Bold, &text));
            }
            News::Over { run, ending, state: name, backup, aside, next, lost_ms, elapsed } => {
                let (lost, elapsed) = (Duration::from_millis(*lost_ms), *elapsed);
                let backup = backup.as_deref();
                let over = Over { run, ending, state: name, backup, aside, next, lost, elapsed };
                self.over(&state, &over);
            }
        }
    }
}

fn learnt(answer: &Answer) -> String {
    match answer {
        Answer::Nothing | Answer::Surveyed(_) => String::new(),
        Answer::Text(text) => text.chars().take(60).collect(),
        Answer::BackedUp { set, bytes: sizes, left_out } => {
            let plain = sizes.values().map(|(plain, _)| plain).sum();
            let stored = sizes.values().map(|(_, stored)| stored).sum();
            let without = left_out.iter().map(|(name, why)| format!(", without {name}: {why}"));
            let without = without.collect::<String>();
            format!("{set}  {} → {}{without}", bytes(plain), bytes(stored))
        }
        Answer::Proven { level, figures, .. } => {
            let count: u64 = figures.iter().filter_map(|figure| figure.count).sum();
            format!("proof {level}: {} equal", counted(count, "entry", "entries"))
        }
        Answer::Schema(schema) => match schema.as_ref().and_then(|its| its.version.as_ref()) {
            Some(version) => format!("schema {version}"),
            None => String::new(),
        },
        Answer::Measured(measured) => format!("{} of {} well", measured.len(), measured.len()),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn progress(done: u64, total: Option<u64>, unit: &str) -> String {
    let shown = |number| if unit == "bytes" { bytes(number) } else { format!("{number} {unit}") };
    match total {
        Some(total) => format!("{} of {}", shown(done), shown(total)),
        None => shown(done),
    }
}
