//! What can go wrong around a run, with its code, state and next command.

use std::path::PathBuf;

use engine::act::Failure;
use engine::obstacle::Obstacle;
use model::contract::{Interface, PlatformLock};
use model::{Code, Exit, Name, Place, Problem};

/// The codes of this crate.
pub const CODES: &[(u16, &str)] = &[
    (400, "no-stack-file"),
    (401, "release-not-found"),
    (402, "no-plan"),
    (403, "plan-changed"),
    (404, "run-unfinished"),
    (405, "nothing-to-resume"),
    (406, "request-refused"),
    (407, "interface-missing"),
    (409, "record-unreadable"),
    (410, "preflight-failed"),
    (411, "backup-failed"),
    (412, "proof-failed"),
    (413, "figures-differ"),
    (414, "migration-failed"),
    (415, "deployment-failed"),
    (416, "verification-failed"),
    (417, "smoke-failed"),
    (418, "restore-failed"),
    (419, "schema-unexpected"),
    (420, "outcome-unknown"),
    (421, "file-unreadable"),
    (422, "plan-unreadable"),
    (423, "no-such-run"),
    (425, "no-such-subject"),
    (426, "stopped-by-a-person"),
    (427, "several-stacks"),
    (428, "locked-elsewhere"),
    (429, "overtaken-at-the-platform"),
    (430, "worked-on-since"),
];

/// The codes of failures of acts, as the journal keeps them.
pub mod failures {
    #![expect(missing_docs, reason = "each is the number of the name in `CODES`")]
    pub const PREFLIGHT: u16 = 410;
    pub const BACKUP: u16 = 411;
    pub const PROOF: u16 = 412;
    pub const FIGURES: u16 = 413;
    pub const MIGRATION: u16 = 414;
    pub const DEPLOYMENT: u16 = 415;
    pub const VERIFICATION: u16 = 416;
    pub const SMOKE: u16 = 417;
    pub const RESTORE: u16 = 418;
    pub const SCHEMA: u16 = 419;
    pub const UNKNOWN: u16 = 420;
}

/// Why an act failed, a sentence as it stands in the journal.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    /// Causes, outermost first.
    fn chain(causes: Vec<String>) -> Option<Self> {
        let inside_out = causes.into_iter().rev();
        inside_out.fold(None, |source, text| Some(Self { text, source: source.map(Box::new) }))
    }
}

/// What can go wrong around a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no stack file where it was looked for.
    #[error("there is no stack file `{0}`")]
    NoStackFile(PathBuf),
    /// Several stacks were run from flags in one directory.
    #[error("several stacks were run from flags in `{directory}`: {}", .names.join(", "))]
    SeveralStacks {
        /// The directory.
        directory: PathBuf,
        /// The stacks' names.
        names: Vec<String>,
    },
    /// A file cannot be read.
    #[error("file `{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("file `{path}` cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What a person wrote is wrong.
    #[error(transparent)]
    Written(#[from] model::Error),
    /// The release does not exist.
    #[error("release {version} does not exist in `{directory}`: there {}", known_releases(.known))]
    ReleaseNotFound {
        /// The version asked for.
        version: String,
        /// Where releases lie.
        directory: PathBuf,
        /// The versions that exist.
        known: Vec<String>,
    },
    /// There is no way to do it.
    #[error("{}", first(.obstacles))]
    NoPlan {
        /// Everything that stands in the way, gravest first.
        obstacles: Vec<Obstacle>,
        /// The command to be typed again when nothing does any more.
        again: String,
        /// Where the part of the stack file stands that the first is about.
        place: Option<Place>,
    },
    /// A saved plan no longer fits.
    #[error("the plan was made for another state: {}", .0.join("; "))]
    PlanChanged(Vec<String>),
    /// A plan file cannot be understood.
    #[error("plan file `{path}` cannot be understood: {reason}")]
    PlanUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An earlier run has not ended.
    #[error("run {run} is {state}: it must be ended before another begins")]
    Unfinished {
        /// The run.
        run: String,
        /// Its state.
        state: &'static str,
    },
    /// Another vaultup holds a component at its platform.
    #[error("another vaultup is at work on `{subject}`: {}", shown_lock(.lock))]
    LockedElsewhere {
        /// The component.
        subject: Name,
        /// Its lock.
        lock: Box<PlatformLock>,
    },
    /// Another vaultup took a component's lock at its platform over.
    #[error("the lock of `{subject}` at its platform is not this run's any more: {}", taken(.lock))]
    Overtaken {
        /// The component.
        subject: Name,
        /// Its lock as it is.
        lock: Box<PlatformLock>,
    },
    /// Another vaultup held a component's lock while a run stood still.
    #[error("another vaultup ({holder}) was at work on `{subject}` since run {run} stopped")]
    WorkedOnSince {
        /// The run.
        run: String,
        /// The component.
        subject: Name,
        /// What the other's run is called at the platform.
        holder: String,
    },
    /// There is no run that could go on.
    #[error("there is nothing to {what}: {why}")]
    NothingToResume {
        /// `resume`, `hold` or `roll back`.
        what: &'static str,
        /// What is there instead.
        why: String,
    },
    /// No run of the stack was ever begun.
    #[error("no run of this stack was begun yet")]
    NoRunYet,
    /// No run has this id.
    #[error("no run of this stack begins with `{0}`")]
    NoSuchRun(String),
    /// The engine refuses a request.
    #[error(transparent)]
    Refused(#[from] engine::machine::Refused),
    /// A plugin does not export what is needed of it.
    #[error("plugin `{plugin}` of `{subject}` does not do `{interface}`")]
    InterfaceMissing {
        /// The component or datastore.
        subject: Name,
        /// Its plugin.
        plugin: Name,
        /// What it would have to export.
        interface: Interface,
    },
    /// A name is no component or datastore of the stack.
    #[error("`{name}` is no component or datastore of this stack: it has {known}")]
    NoSuchSubject {
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// A call of a plugin failed outside a run.
    #[error(transparent)]
    Call(#[from] sandbox::CallError),
    /// The sandbox cannot load a plugin.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// A plugin is not there or not allowed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The journal or its lock.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// The system.
    #[error(transparent)]
    System(#[from] system::Error),
    /// A record of the journal is not what this version writes.
    #[error("record {sequence} of the journal cannot be understood: {reason}")]
    Record {
        /// Its number.
        sequence: u64,
        /// Why.
        reason: String,
    },
    /// An act of a person's command failed.
    #[error("{message}")]
    Act {
        /// The failure's code.
        code: u16,
        /// What happened.
        message: String,
        /// Why.
        source: Option<Cause>,
        /// The set that it left, published and not proven.
        unproven: Option<String>,
    },
}

impl Error {
    /// An act's failure, outside a run.
    #[must_use]
    pub fn act(failure: Failure) -> Self {
        let Failure { code, message, causes, .. } = failure;
        Self::Act { code, message, source: Cause::chain(causes), unproven: None }
    }

    /// The same, of a set that was taken before it failed.
    #[must_use]
    pub(crate) fn of_unproven(self, set: &vault::SetId) -> Self {
        match self {
            Self::Act { code, message, source, .. } => {
                Self::Act { code, message, source, unproven: Some(set.to_string()) }
            }
            other => other,
        }
    }

    fn inner(&self) -> Option<&dyn Problem> {
        match self {
            Self::Written(error) => Some(error),
            Self::Call(error) => Some(error),
            Self::Sandbox(error) => Some(error),
            Self::Registry(error) => Some(error),
            Self::Journal(error) => Some(error),
            Self::Vault(error) => Some(error),
            Self::System(error) => Some(error),
            _ => None,
        }
    }
}

impl Problem for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoStackFile(_) => 400,
            Self::SeveralStacks { .. } => 427,
            Self::LockedElsewhere { .. } => 428,
            Self::Overtaken { .. } => 429,
            Self::WorkedOnSince { .. } => 430,
            Self::ReleaseNotFound { .. } => 401,
            Self::NoPlan { .. } => 402,
            Self::PlanChanged(_) => 403,
            Self::Unfinished { .. } => 404,
            Self::NothingToResume { .. } => 405,
            Self::Refused(_) => 406,
            Self::InterfaceMissing { .. } => 407,
            Self::Record { .. } => 409,
            Self::Unreadable { .. } | Self::Unwritable { .. } => 421,
            Self::PlanUnreadable { .. } => 422,
            Self::NoRunYet | Self::NoSuchRun(_) => 423,
            Self::NoSuchSubject { .. } => 425,
            Self::Act { code, .. } => *code,
            Self::Written(error) => return error.code(),
            Self::Call(error) => return error.code(),
            Self::Sandbox(error) => return error.code(),
            Self::Registry(error) => return error.code(),
            Self::Journal(error) => return error.code(),
            Self::Vault(error) => return error.code(),
            Self::System(error) => return error.code(),
        })
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::NoPlan { place, .. } => place.clone(),
            _ => self.inner().and_then(Problem::place),
        }
    }

    fn state(&self) -> Option<String> {
        match self {
            Self::Unfinished { run, .. } | Self::WorkedOnSince { run, .. } => {
                Some(format!("run {run} keeps its state and backup; nothing was changed now"))
            }
            Self::LockedElsewhere { .. } => Some("nothing was changed".to_owned()),
            Self::Overtaken { .. } => Some(
                "this run changes nothing any more; what it did is in its journal, and its backup \
                 is intact"
                    .to_owned(),
            ),
            Self::Act { unproven: Some(set), .. } => {
                Some(format!("backup {set} was taken, and is not proven as the stack file asks"))
            }
            _ => self.inner().and_then(Problem::state),
        }
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::NoStackFile(_) => "`vaultup init`, or name one with `--stack-file`".to_owned(),
            Self::SeveralStacks { names, .. } => format!(
                "repeat the flags of one, with `--plugin PLUGIN --set name={}`",
                names.first().map_or("NAME", String::as_str)
            ),
            Self::ReleaseNotFound { known, .. } => match known.last() {
                Some(version) => format!("`vaultup plan --to {version}`"),
                None => "put a `release.toml` into `<releases>/<version>/`".to_owned(),
            },
            Self::NoPlan { obstacles, again, .. } => {
                return obstacles.first().map(|its| next_for(its, again));
            }
            Self::PlanChanged(_) | Self::PlanUnreadable { .. } => {
                "`vaultup plan --to VERSION --save FILE` again, read it, and run that".to_owned()
            }
            Self::Unfinished { .. } => "`vaultup status`, then `vaultup resume` or \
                                        `vaultup rollback`"
                .to_owned(),
            Self::NothingToResume { .. } | Self::Refused(_) => "`vaultup status`".to_owned(),
            Self::LockedElsewhere { .. } => "wait until it ends; if it is gone for good, \
                                             `vaultup unlock`"
                .to_owned(),
            Self::Overtaken { .. } => {
                "let the other end, then `vaultup verify` and `vaultup resume`".to_owned()
            }
            Self::WorkedOnSince { .. } => "`vaultup verify` shows what runs now; the same command \
                                           again goes on all the same"
                .to_owned(),
            Self::NoRunYet => "`vaultup plan --to VERSION`".to_owned(),
            Self::NoSuchRun(_) => "`vaultup status --all`".to_owned(),
            Self::InterfaceMissing { plugin, .. } => format!("`vaultup plugin inspect {plugin}`"),
            Self::Record { .. } => "use the vaultup that wrote it: `vaultup --version`".to_owned(),
            Self::NoSuchSubject { .. } => "`vaultup verify` shows all of them".to_owned(),
            Self::Unreadable { path, .. } | Self::Unwritable { path, .. } => {
                format!("`namei -l {}` shows owners and rights", path.display())
            }
            Self::Act { unproven: Some(set), .. } => format!("`vaultup backup prove {set}`"),
            Self::Act { .. } => "`vaultup status`".to_owned(),
            _ => return self.inner().and_then(Problem::next),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoStackFile(_)
            | Self::SeveralStacks { .. }
            | Self::ReleaseNotFound { .. }
            | Self::PlanUnreadable { .. }
            | Self::NoRunYet
            | Self::NoSuchRun(_)
            | Self::NoSuchSubject { .. }
            | Self::InterfaceMissing { .. } => Exit::BadInput,
            Self::Overtaken { .. } | Self::WorkedOnSince { .. } => Exit::Held,
            _ => self.inner().map_or(Exit::Failed, Problem::exit),
        }
    }
}

/// The way back of what no upgrade can begin with.
const RESTORE: &str = "`vaultup restore SET` brings a set of `vaultup backup list` back";

fn shown_lock(lock: &PlatformLock) -> String {
    let PlatformLock { place, owner, since_ms, seconds_left, .. } = lock;
    let since = since_ms.and_then(moment).map(|at| format!(" since {at}")).unwrap_or_default();
    format!("{owner}{since}; {place} runs out in {seconds_left} s unless it is renewed")
}

fn taken(lock: &PlatformLock) -> String {
    match &lock.holder {
        Some(_) => format!("{} has {}", lock.owner, lock.place),
        None => format!("somebody took {} away", lock.place),
    }
}

fn moment(milliseconds: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?).ok()
}

fn known_releases(known: &[String]) -> String {
    match known {
        [] => "is none".to_owned(),
        [one] => format!("is {one}"),
        several => format!("are {}", several.join(", ")),
    }
}

fn first(obstacles: &[Obstacle]) -> String {
    let mut all = obstacles.iter().map(ToString::to_string);
    let first = all.next().unwrap_or_else(|| "there is no plan".to_owned());
    let rest: Vec<String> = all.map(|text| format!("; also: {text}")).collect();
    first + &rest.concat()
}

fn next_for(obstacle: &Obstacle, again: &str) -> String {
    match obstacle {
        Obstacle::MixedVersions(_) => {
            format!("deploy one release everywhere, then {again}; or {RESTORE}")
        }
        Obstacle::AlreadyThere(_) => "`vaultup verify`".to_owned(),
        Obstacle::NotFrom { .. } => {
            "upgrade to one of these first: `vaultup plan --to VERSION`".to_owned()
        }
        Obstacle::NoWayBack { .. } => {
            format!("bring the previous release back into reach, then {again}")
        }
        Obstacle::WritersUnknown { datastore, .. } => format!(
            "name them under `[datastores.{datastore}]`: `written-by = [\"COMPONENT\"]`, or `[]` \
             if nothing of this stack writes to it; then {again}"
        ),
        Obstacle::MigrationEdited { .. } => {
            format!("have its change made by a migration of its own, then {again}")
        }
        Obstacle::Busy { .. } => format!("wait until it is done, then {again}"),
        Obstacle::Blocking { .. } => format!("change the release or the settings, then {again}"),
        Obstacle::Dirty(_) => format!("repair the schema by hand, then {again}; or {RESTORE}"),
        Obstacle::NotRestorable(name) => format!("give `{name}` a plugin that exports `restore`"),
        Obstacle::NoRoom { .. } => format!("make room, then {again}"),
        Obstacle::MigrationNotCopyable(_) => {
            format!("let the release's command take its data from a variable, then {again}")
        }
        Obstacle::ChecksNotCopyable { component, checks } => format!(
            "write the copy's own `{checks}` under `[components.{component}.rehearsal]` (`[]` if \
             it is to have none), then {again}"
        ),
        Obstacle::OtherStack { .. } | Obstacle::NotInStack(_) => {
            "`vaultup backup list` shows the others".to_owned()
        }
        Obstacle::CannotRestore(name) => format!("give `{name}` a plugin that exports `restore`"),
        Obstacle::NotCopyable(name) => format!("add `[….{name}.rehearsal]` to the stack file"),
    }
}
