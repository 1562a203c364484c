//! All output: data on standard output, the rest on standard error, understandable without colour.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the one place that prints")]

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use model::{Exit, Problem};
use serde::Serialize;
use serde_json::json;

use crate::arguments::{Color, Format, Global};
use crate::error::CliError;

/// Where output goes and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shell {
    format: Format,
    color: bool,
    terminal: bool,
}

/// A colour of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Well.
    Green,
    /// Worth a look.
    Yellow,
    /// Wrong.
    Red,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

impl Shell {
    /// The shell that the arguments ask for.
    #[must_use]
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        Self { format: global.format, color, terminal: terminal && global.format == Format::Human }
    }

    /// Whether programs read along.
    #[must_use]
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person looks at a terminal.
    #[must_use]
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Text that was asked for, on standard output.
    pub(crate) fn data(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever closed the pipe does not want more.
        let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
    }

    /// A JSON object a line, on standard output.
    pub(crate) fn json(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.data(&text);
        }
    }

    /// What was asked for: as JSON for programs, as text for people.
    pub(crate) fn answer(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.is_json() { self.json(value) } else { self.data(&text()) }
    }

    /// A line for people, on standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_json() {
            eprintln!("{text}");
        }
    }

    /// Asks a person; no answer is no.
    #[must_use]
    pub(crate) fn confirm(&self, question: &str) -> bool {
        if !self.terminal || !std::io::stdin().is_terminal() {
            return false;
        }
        eprint!("{question} [y/N] ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// A word in a colour, if colour is wanted.
    #[must_use]
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Red => "31;1",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// An error: what happened, why, what state it is in, what to type next.
    pub(crate) fn fault(&self, problem: &dyn Problem) {
        let told = Told::of(problem);
        if self.is_json() {
            self.json(&json!({ "error": told }));
        } else {
            eprintln!("{}", self.rendered(&told));
        }
    }

    /// An error in its parts, for people.
    #[must_use]
    pub(crate) fn rendered(&self, told: &Told) -> String {
        let mut lines = Vec::new();
        let head = self.paint(Paint::Red, &format!("error[{}]", told.code));
        lines.push(format!("{head}: {}", told.message));
        lines.extend(told.place.iter().map(|place| format!("  at: {place}")));
        let indented = |text: &str| text.trim().replace('\n', "\n             ");
        lines.extend(told.causes.iter().map(|cause| format!("  caused by: {}", indented(cause))));
        lines.push(format!("  state: {}", told.state));
        lines.extend(told.next.iter().map(|next| format!("  next: {next}")));
        lines.join("\n")
    }

    /// Diagnostics from inside, on standard error.
    pub(crate) fn follow_diagnostics(&self, verbose: u8) {
        let level = match verbose {
            0 => return,
            1 => "info",
            _ => "debug",
        };
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_env_filter(tracing_subscriber::EnvFilter::new(level))
            .init();
    }
}

/// An error in its parts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Told {
    /// `VU0042`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Where.
    pub place: Option<String>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What state the stack is in.
    pub state: String,
    /// What to type next.
    pub next: Option<String>,
}

impl Told {
    /// An error's parts.
    #[must_use]
    pub(crate) fn of(problem: &dyn Problem) -> Self {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(problem);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self {
            code: problem.code().to_string(),
            message: problem.to_string(),
            place: problem.place().map(|place| place.to_string()),
            causes,
            state: problem.state().unwrap_or_else(|| "nothing was changed".to_owned()),
            next: problem.next(),
        }
    }
}

/// Whether a command line that cannot be parsed asks for JSON all the same.
fn asks_for_json(arguments: impl Iterator<Item = String>) -> bool {
    let arguments: Vec<String> = arguments.collect();
    let pair =
        |two: &[String]| matches!(two, [flag, value] if flag == "--format" && value == "json");
    arguments.windows(2).any(pair) || arguments.iter().any(|text| text == "--format=json")
}

/// The shell before anything is known of what was asked for.
fn plain() -> Shell {
    let terminal = std::io::stderr().is_terminal();
    let color = terminal && std::env::var_os("NO_COLOR").is_none();
    Shell { format: Format::Human, color, terminal }
}

/// What the parser of the command line has to say.
#[must_use]
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::from(Exit::Done.status());
    }
    let text = error.render().to_string();
    let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
    if asks_for_json(std::env::args()) {
        let message = text.lines().next().unwrap_or_default();
        let problem = CliError::Usage(message.to_owned());
        if let Ok(line) = serde_json::to_string(&json!({ "error": Told::of(&problem) })) {
            println!("{line}");
        }
    } else {
        let problem = CliError::Usage(text.to_owned());
        eprintln!("{}", plain().rendered(&Told::of(&problem)));
    }
    ExitCode::from(Exit::BadInput.status())
}
