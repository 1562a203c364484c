//! `vaultup.toml`: what is upgraded together, written once by the operator.
//!
//! ```
//! # use vaultup_model as model;
//! let text = r#"
//! format = 1
//!
//! [stack]
//! name     = "shop"
//! releases = "releases"              # releases/<version>/release.toml; this is the default
//!
//! [components.api]                   # what is deployed: one plugin each
//! plugin   = "host"
//! settings = { directory = "/srv/shop/api", start = ["./start", "${instance}"] }
//! needs    = ["orders"]              # up before it; the order of start, reversed to stop
//! waves    = ["1", "50%", "100%"]    # default ["100%"]
//! within   = "5m"                    # how long one changing operation may take; the default
//! rehearsal.settings = { directory = "/srv/shop/copy" }    # merged over `settings`
//! rehearsal.health   = { http = "http://127.0.0.1:9080/health" }   # the copy's own probes
//! rehearsal.smoke    = []            # and checks: none
//!
//! [[components.api.health]]          # a table for one probe, a list for several
//! http   = "http://127.0.0.1:8080/health"
//! expect = { status = 200, json = { "/version" = "${release.version}" } }
//! within = "2m"                      # default 1m
//! [[components.api.health]]
//! command = ["./ready.sh", "${target}"]
//!
//! [components.api.smoke]
//! run    = ["./smoke.sh", "${stack.name}"]
//! within = "1m"                      # default 5m
//!
//! [datastores.orders]                # what holds state: one plugin each
//! plugin     = "files"
//! settings   = { directory = "/srv/shop/orders", key = { secret = "orders-key" } }
//! written-by = ["api"]               # stopped before a restore; [] says that nobody writes
//! proof      = 3                     # the default
//! within     = "30m"                 # the default
//!
//! [secrets]                          # usable, never readable
//! orders-key = { env = "ORDERS_KEY" }      # or { file = "…" }, { command = ["pass", "…"] }
//!
//! [policy]
//! on-failure  = "return"             # the default; or "hold"
//! loss-budget = "10m"                # default "0s": a restore must lose nothing
//! downtime-above = "10GB"            # the default: writers stop while a larger table is migrated
//!
//! [backups]
//! recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
//! directory  = "/backup/shop"
//! keep       = { last = 5, days = 30 }     # the default
//! "#;
//! let stack = model::stack::Stack::parse(text, "vaultup.toml").unwrap();
//! let order: Vec<String> = stack.order().iter().map(ToString::to_string).collect();
//! assert_eq!(order, ["orders", "api"]);
//! ```
//!
//! Rejected, each with file, line, column and what to write instead:
//! - `wavse = ["100%"]`: unknown key (did you mean `waves`?)
//! - `within = 5`: expected a duration in quotes
//! - `needs = ["order"]`: no such component or datastore (did you mean `orders`?)
//! - `a` needs `b` needs `a`: `a → b → a`
//! - `waves = []`, `["0%"]`, `["120%"]`, `["50%", "25%"]`, `["50%"]`: they must grow to 100%
//! - `key = { secret = "other" }` in settings: no secret of this name is declared
//! - `http = "…${relase.version}"` in a probe: no such variable
//!
//! Which `${…}` there are says [`crate::interpolate`](mod@crate::interpolate). Settings are checked
//! against the plugin's schema by [`crate::manifest::Manifest::check_settings`].
//!
//! The same stack can be said in flags, without a file: see [`Stack::from_flags`].

mod check;
mod flags;
mod order;
mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::{ProofLevel, Target};
use crate::error::Error;
use crate::name::Name;
use crate::places::Places;

/// The largest stack file, in bytes. The longest seen in the wild would have a tenth of it.
pub const STACK_BYTES_MAX: usize = 1024 * 1024;
/// The most components of a stack, and the most datastores.
pub const PARTS_MAX: usize = 200;
/// The most probes, the most smoke checks and the most waves of one component.
pub const CHECKS_MAX: usize = 100;
/// The most secrets of a stack.
pub const SECRETS_MAX: usize = 200;
/// The most recipients of backups.
pub const RECIPIENTS_MAX: usize = 32;
/// How long a changing operation of a component may take, if the stack does not say.
pub const COMPONENT_WITHIN_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// How long an operation of a datastore may take, if the stack does not say.
pub const DATASTORE_WITHIN_DEFAULT: Duration = Duration::from_secs(30 * 60);
/// The deadline of a probe, if the stack does not say.
pub const PROBE_WITHIN_DEFAULT: Duration = Duration::from_secs(60);
/// The deadline of a smoke check, if the stack does not say.
pub const SMOKE_WITHIN_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// How many backup sets are kept at least, if the stack does not say.
pub const KEEP_LAST_DEFAULT: u32 = 5;
/// The size of a table above which its migration takes downtime, if the stack does not say: where
/// runbooks for PostgreSQL draw the line.
pub const DOWNTIME_ABOVE_BYTES_DEFAULT: u64 = 10_000_000_000;
/// For how many days backup sets are kept, if the stack does not say.
pub const KEEP_DAYS_DEFAULT: u32 = 30;

/// What is upgraded together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stack {
    /// Its name, unique for this user: the journal is kept under it.
    pub name: Name,
    /// Directory with `<version>/release.toml`, relative to the stack file.
    pub releases: String,
    /// What is deployed.
    pub components: BTreeMap<Name, Component>,
    /// What holds state.
    pub datastores: BTreeMap<Name, Datastore>,
    /// Secrets that settings refer to by name.
    pub secrets: BTreeMap<Name, SecretSource>,
    /// What decides.
    pub policy: Policy,
    /// How backups are kept.
    pub backups: Backups,
}

/// A deployable unit; one plugin deploys it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Component {
    /// The plugin that deploys it.
    pub plugin: Name,
    /// Its settings, valid against the plugin's schema. `${…}` not yet filled in.
    pub settings: Value,
    /// Components and datastores that must be up before it: the order of start, reversed to stop.
    pub needs: Vec<Name>,
    /// How the new release is rolled out; at least one wave, the last is everything.
    pub waves: Vec<WaveSize>,
    /// What must hold before, after and after a way back.
    pub health: Vec<Probe>,
    /// Checks from end to end, run once after the deployment.
    pub smoke: Vec<Smoke>,
    /// How its copy differs; absent: it cannot be rehearsed.
    pub rehearsal: Option<Rehearsal>,
    /// How long one changing operation may take.
    pub within: Duration,
}

/// How a component's copy differs from the live one.
///
/// Probes and smoke checks are not taken over: written for the live component, most name an
/// address, and asked during a rehearsal they would tell of what is *not* rehearsed. An empty list
/// says that the copy has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rehearsal {
    /// Merged over the component's `settings`.
    pub settings: Value,
    /// The copy's probes; must be given if the component has some.
    pub health: Option<Vec<Probe>>,
    /// The copy's checks from end to end; must be given if the component has some.
    pub smoke: Option<Vec<Smoke>>,
}

impl Component {
    /// The probes that are asked on a target.
    #[must_use]
    pub fn health_on(&self, target: &Target) -> &[Probe] {
        match target {
            Target::Live => &self.health,
            Target::Copy(_) => self.rehearsed(|its| its.health.as_deref()),
        }
    }

    /// The checks from end to end that are run on a target.
    #[must_use]
    pub fn smoke_on(&self, target: &Target) -> &[Smoke] {
        match target {
            Target::Live => &self.smoke,
            Target::Copy(_) => self.rehearsed(|its| its.smoke.as_deref()),
        }
    }

    fn rehearsed<T>(&self, list: impl FnOnce(&Rehearsal) -> Option<&[T]>) -> &[T] {
        self.rehearsal.as_ref().and_then(list).unwrap_or_default()
    }
}

/// Something with state; one plugin backs it up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Datastore {
    /// The plugin that backs it up.
    pub plugin: Name,
    /// Its settings. `${…}` not yet filled in.
    pub settings: Value,
    /// Components that write to it: stopped before a restore and for a breaking migration.
    pub written_by: Vec<Name>,
    /// Whether `written-by` stands in the stack file: an empty list that does says that nothing of
    /// this stack writes to it, one that does not says nothing.
    pub writers_are_named: bool,
    /// The proof that its backup needs before anything is changed.
    pub proof: ProofLevel,
    /// Settings merged over `settings` when the target is a copy.
    pub rehearsal: Option<Value>,
    /// How long one operation may take.
    pub within: Duration,
}

/// The size of a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WaveSize {
    /// So many instances.
    Instances(u32),
    /// So many percent, rounded up.
    Percent(u32),
}

/// A probe of the operator's: an expectation and a deadline, never a bare loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probe {
    /// What is asked.
    pub ask: Ask,
    /// Deadline for it to become true.
    pub within: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// GET of a URL.
    Http {
        /// The URL; `${…}` not yet filled in.
        url: String,
        /// The status that must be answered.
        status: u16,
        /// JSON pointers and the values that must stand there; `${…}` not yet filled in.
        json: BTreeMap<String, Value>,
    },
    /// A command that must exit with 0.
    Command {
        /// The command; `${…}` not yet filled in.
        command: Vec<String>,
    },
}

/// A check from end to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Smoke {
    /// The command; `${…}` not yet filled in. Must exit with 0.
    pub run: Vec<String>,
    /// Deadline.
    pub within: Duration,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// An environment variable of vaultup itself.
    Env(String),
    /// A file, relative to the stack file; one trailing line end is dropped.
    File(String),
    /// Standard output of a command; one trailing line end is dropped.
    Command(Vec<String>),
}

/// What is done when something fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Decide on the way back and take it.
    #[default]
    Return,
    /// Stop, keep everything safe and wait for a person.
    Hold,
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// What is done when something fails.
    pub on_failure: OnFailure,
    /// How much a restore may lose, as the time since the backup during which writers ran.
    pub loss_budget: Duration,
    /// Writers stop while something is migrated that has a table or collection larger than this,
    /// whatever the release says of its migration: locks on it would be held for too long.
    pub downtime_above_bytes: u64,
}

/// How backups are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Backups {
    /// age recipients; empty: an identity of this user's, made once.
    pub recipients: Vec<String>,
    /// Directory; absent: this user's data directory.
    pub directory: Option<String>,
    /// So many sets are kept at least.
    pub keep_last: u32,
    /// Sets younger than this are kept.
    pub keep_days: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_failure: OnFailure::default(),
            loss_budget: Duration::ZERO,
            downtime_above_bytes: DOWNTIME_ABOVE_BYTES_DEFAULT,
        }
    }
}

impl Default for Backups {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            directory: None,
            keep_last: KEEP_LAST_DEFAULT,
            keep_days: KEEP_DAYS_DEFAULT,
        }
    }
}

impl Stack {
    /// Reads a stack file. `file` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Faults`] with everything that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        Self::parse_with_places(text, file).map(|(stack, _)| stack)
    }

    /// Reads a stack file, and keeps where everything stands, for faults in settings that only a
    /// plugin's schema shows.
    ///
    /// # Errors
    /// As [`Stack::parse`].
    pub fn parse_with_places(text: &str, file: &str) -> Result<(Self, Places), Error> {
        read::parse(text, file)
    }

    /// Makes a stack of one component from `--set key=value` flags, for `vaultup run --plugin`.
    ///
    /// What is not said to mean something else is a setting of the component; dots lead into
    /// tables and numbers into lists. A value that is JSON is taken as JSON, any other as text;
    /// quotes make a text of what would be JSON (`'version="3"'`).
    ///
    /// | key | what it sets |
    /// |---|---|
    /// | `chart`, `hosts.0`, `set.a.b` | a setting of the component |
    /// | `settings.KEY` | the same, for settings that are named like a key below |
    /// | `name` | the component's and stack's name; default: the plugin's |
    /// | `component.KEY` | `needs`, `waves`, `within`, `rehearsal` of the component |
    /// | `health.http`, `health.0.command`, … | the component's probes |
    /// | `smoke.run`, `smoke.0.run`, … | its checks from end to end |
    /// | `datastore.NAME.KEY` | `plugin`, `written-by`, `proof`, `within`, `rehearsal` of a datastore |
    /// | `datastore.NAME.OTHER`, `datastore.NAME.settings.KEY` | a setting of the datastore |
    /// | `secret.NAME.env`, `secret.NAME.file` | where a secret comes from |
    /// | `stack.releases`, `policy.KEY`, `backups.KEY` | as in the file |
    ///
    /// A datastore is written by the component unless `written-by` says otherwise, and a list may
    /// be given as one text: `datastore.orders.written-by=api`.
    ///
    /// ```
    /// # use vaultup_model::{Name, stack::Stack};
    /// let flags = [
    ///     ("directory", "/srv/shop"),
    ///     ("health.http", "http://127.0.0.1:80/health"),
    ///     ("datastore.orders.plugin", "files"),
    ///     ("datastore.orders.directory", "/srv/orders"),
    /// ];
    /// let flags: Vec<(String, String)> =
    ///     flags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    /// let stack = Stack::from_flags(&Name::parse("host").unwrap(), &flags).unwrap();
    /// assert_eq!(stack.components.len(), 1);
    /// ```
    ///
    /// # Errors
    /// [`Error::Faults`] as for a file; the place is `--set`, the line says which of the flags.
    pub fn from_flags(plugin: &Name, sets: &[(String, String)]) -> Result<Self, Error> {
        flags::parse(plugin, sets).map(|(stack, _)| stack)
    }

    /// As [`Stack::from_flags`], with the places of [`Stack::parse_with_places`].
    ///
    /// # Errors
    /// As [`Stack::from_flags`].
    pub fn from_flags_with_places(
        plugin: &Name,
        sets: &[(String, String)],
    ) -> Result<(Self, Places), Error> {
        flags::parse(plugin, sets)
    }

    /// Components and datastores in the order in which they are started: each after what it needs
    /// and after the datastores that it writes to; among equals by name. Reversed, the order in
    /// which they are stopped.
    #[must_use]
    pub fn order(&self) -> Vec<Name> {
        order::order(self)
    }
}

impl TryFrom<String> for WaveSize {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{}` is no wave: write a number of instances such as \"1\", or a share such as \
                 \"50%\"",
                crate::pattern::shown(&text)
            )
        };
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text.as_str(), false),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(expected());
        }
        let number: u32 = digits.parse().map_err(|_| expected())?;
        match (number, percent) {
            (0, _) => Err(format!("a wave of `{text}` rolls nothing out: begin with 1 or 1%")),
            (101.., true) => Err(format!("a wave of `{text}` is more than everything: use 100%")),
            (number, true) => Ok(Self::Percent(number)),
            (number, false) => Ok(Self::Instances(number)),
        }
    }
}

impl From<WaveSize> for String {
    fn from(size: WaveSize) -> Self {
        size.to_string()
    }
}

impl std::fmt::Display for WaveSize {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instances(number) => write!(formatter, "{number}"),
            Self::Percent(number) => write!(formatter, "{number}%"),
        }
    }
}
