//! Decides whether a command may run, and puts it together.
//!
//! The order matters: what it is (a granted shape, or the operator's or release's own words), what
//! it may carry (input, variables, environment, directory, secrets), where it runs (here, or
//! inside a component), and only then which file its tool is. Nothing is started here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Name;
use model::interpolate_text;
use model::manifest::{Class, ProcessNeed, Runs};
use model::pattern::{Argument, MatchContext, begins_like_a_flag, is_name, shown};
use model::settings::at;
use serde_json::Value;
use system::durable::private_directory;
use system::process::{Command, Input, Output, OutputLimits, resolve};
use system::secrets::{SecretFile, short_lived_file};

use crate::artifacts::{ArtifactSink, Artifacts};
use crate::bindings::host::vaultup::plugin::process as wit;
use crate::bindings::host::vaultup::plugin::types::Error as PluginError;
use crate::call::Effect;
use crate::imports::vault_denial;
use crate::limits::{ENVIRONMENT_MAX, INPUT_TEXT_BYTES_MAX, STREAM_BYTES_MAX};
use crate::look::Question;
use crate::session::CommandStart;
use crate::state::{Denial, Facts, Granting, denied, told};

/// A command that may run, unless the last look says otherwise.
pub(crate) struct Prepared {
    pub(crate) command: Command,
    pub(crate) start: CommandStart,
    pub(crate) sink: Option<ArtifactSink>,
    pub(crate) secret_files: Vec<SecretFile>,
    pub(crate) reads_artifact: bool,
    /// It only reads, its output is wanted, and nothing of it is secret.
    is_plain_question: bool,
}

impl Prepared {
    /// What others of the same look may ask too; nothing if its answer is nobody else's.
    pub(crate) fn question(&self) -> Option<Question> {
        let input = match &self.command.input {
            Input::Empty => Vec::new(),
            Input::Bytes(bytes) => bytes.clone(),
            Input::Reader(_) => return None,
        };
        self.is_plain_question.then(|| Question {
            program: self.command.program.clone(),
            arguments: self.command.arguments.clone(),
            environment: self.command.environment.clone(),
            directory: self.command.directory.clone(),
            input,
        })
    }
}

/// Puts a command together. `lines` is what becomes of its output when the guest wants it.
pub(crate) async fn prepare(
    facts: &Arc<Facts>,
    command: wit::Command,
    lines: Output,
) -> Granting<Prepared> {
    let wit::Command { program, environment, directory, inside, input, output, deadline_ms } =
        command;
    let (found, arguments) = facts.beside(move |facts| find(facts, &program)).await?;
    // Refused as early as possible, and once more right before it starts.
    facts.permit(found.class)?;
    let is_plain = matches!(input, wit::Input::Empty | wit::Input::Text(_))
        && !environment.iter().any(|(_, value)| matches!(value, wit::Variable::Secret(_)));
    let is_wanted = matches!(output, wit::Output::Lines);
    let environment = variables(facts, &found, environment).await?;
    let place = {
        let directory = directory.clone();
        facts.beside(move |facts| directory_of(facts, directory.as_deref())).await?
    };
    let prefix = prefix(facts, inside.as_deref()).await?;
    let reads_artifact = matches!(input, wit::Input::Artifact(_));
    let limits = limits_of(&lines);
    let input = input_of(facts, found.class, input).await?;
    let (output, sink) = output_of(facts, &found, output, lines).await?;
    let words = prefix.iter().map(|text| Argument::Text(text.clone())).chain(arguments).collect();
    let Spelt { arguments, shown, secret_files } = spell(facts, words).await?;
    let (program, program_digest) = {
        let first = arguments.first().cloned().unwrap_or_default();
        let place = place.clone();
        facts.beside(move |facts| tool(facts, &first, &place)).await?
    };
    let start = CommandStart {
        number: 0,
        arguments: shown,
        class: found.class,
        program: program.clone(),
        program_digest,
        inside,
    };
    let command = Command {
        program,
        arguments: arguments.into_iter().skip(1).collect(),
        environment,
        directory: place,
        input,
        output,
        deadline: facts.within(deadline_ms),
        limits,
        memory_bytes_max: None,
        label: facts.key.clone(),
    };
    let is_plain_question =
        found.class == Class::Read && is_plain && is_wanted && secret_files.is_empty();
    Ok(Prepared { command, start, sink, secret_files, reads_artifact, is_plain_question })
}

/// How much a command may write, by what becomes of it.
fn limits_of(output: &Output) -> OutputLimits {
    match output {
        // The guest takes one line after the other: nothing piles up.
        Output::Lines => OutputLimits { bytes_max: STREAM_BYTES_MAX, ..OutputLimits::CONTRACT },
        _ => OutputLimits::CONTRACT,
    }
}

/// The need that a command was granted by.
struct Found {
    class: Class,
    need: ProcessNeed,
    /// The operator or the release wrote it, not the plugin.
    own_words: bool,
}

fn find(facts: &Facts, program: &wit::Program) -> Granting<(Found, Vec<Argument>)> {
    match program {
        wit::Program::Arguments(arguments) => {
            let arguments: Vec<Argument> = arguments.iter().map(argument).collect();
            Ok((find_pattern(facts, &arguments)?, arguments))
        }
        wit::Program::Setting(reference) => {
            let runs = Runs::Setting(reference.key.clone());
            own_words(facts, &runs, &facts.settings, reference)
        }
        wit::Program::Release(reference) => {
            let runs = Runs::Release(reference.key.clone());
            own_words(facts, &runs, &facts.entry, reference)
        }
    }
}

/// Whether a plugin may lead commands into its component by these arguments: they must be a
/// command that it was granted itself.
pub(crate) fn is_granted_prefix(facts: &Facts, prefix: &[String]) -> bool {
    let words: Vec<Argument> = prefix.iter().cloned().map(Argument::Text).collect();
    words.is_empty() || find_pattern(facts, &words).is_ok()
}

fn argument(argument: &wit::Argument) -> Argument {
    match argument {
        wit::Argument::Text(text) => Argument::Text(text.clone()),
        wit::Argument::SecretFile((prefix, name)) => {
            Argument::SecretFile { prefix: prefix.clone(), name: name.clone() }
        }
    }
}

fn find_pattern(facts: &Facts, arguments: &[Argument]) -> Granting<Found> {
    let need =
        facts.manifest.granting(arguments, facts).map_err(|error| denied(error.to_string()))?;
    Ok(Found { class: need.class, need: need.clone(), own_words: false })
}

/// The operator's or the release's own command, with the plugin's variables filled in.
fn own_words(
    facts: &Facts,
    runs: &Runs,
    place: &Value,
    reference: &wit::Reference,
) -> Granting<(Found, Vec<Argument>)> {
    let key = shown(&reference.key);
    let names = reference.variables.iter().map(|(name, _)| name.as_str());
    let need = facts.manifest.granting_reference(runs, names);
    let need = need.map_err(|error| denied(error.to_string()))?;
    let mut values = BTreeMap::new();
    for (name, value) in &reference.variables {
        // What stands in the settings or the release is the operator's or vendor's own word.
        let known = is_name(value)
            || (facts.is_setting(value) && !begins_like_a_flag(value))
            || facts.is_granted_path(value);
        if !known {
            let value = shown(value);
            return Err(denied(format!("`{value}` is neither a name nor a granted path")));
        }
        values.insert(name.clone(), value.clone());
    }
    let wrong = |what: &str| told(PluginError::InvalidSettings, format!("`{key}` {what}"));
    let Some(Value::Array(words)) = at(place, &reference.key) else {
        return Err(wrong("is no command: a list of texts"));
    };
    let mut arguments = Vec::with_capacity(words.len());
    for word in words {
        let word = word.as_str().ok_or_else(|| wrong("has an element that is no text"))?;
        let word = interpolate_text(word, &values);
        let word = word.map_err(|error| wrong(&format!("cannot be filled in: {error}")))?;
        arguments.push(Argument::Text(word));
    }
    if arguments.is_empty() {
        return Err(wrong("is an empty command"));
    }
    let found = Found { class: need.class, need: need.clone(), own_words: true };
    Ok((found, arguments))
}

/// The whole environment: what every command has, and the variables that the need allows.
async fn variables(
    facts: &Arc<Facts>,
    found: &Found,
    wanted: Vec<(String, wit::Variable)>,
) -> Granting<BTreeMap<OsString, OsString>> {
    if wanted.len() > ENVIRONMENT_MAX {
        return Err(denied(format!("{ENVIRONMENT_MAX} variables are the most for one command")));
    }
    let mut environment = facts.session.surroundings.environment.clone();
    for (name, value) in wanted {
        if name.contains(['=', '\0']) || !may_be_set(facts, found, &name) {
            let name = shown(&name);
            return Err(denied(format!("the variable `{name}` was not granted for this command")));
        }
        let value = match value {
            wit::Variable::Secret(secret) => facts.secret(&secret).await?.expose_variable()?,
            wit::Variable::Text(text) => {
                let facts = Arc::clone(facts);
                let class = found.class;
                facts.beside(move |facts| plain_value(facts, class, text)).await?
            }
        };
        environment.insert(name.into(), value);
    }
    Ok(environment)
}

/// Whether a variable was granted: by the manifest, or, for a command of the operator's own, by its
/// name in the `environment` of the operator's settings. What decides which code runs never is.
fn may_be_set(facts: &Facts, found: &Found, name: &str) -> bool {
    let by_operator = found.own_words
        && at(&facts.settings, "environment").is_some_and(|named| named.get(name).is_some());
    let environment = match by_operator {
        true => vec![name.to_owned()],
        false => found.need.environment.clone(),
    };
    ProcessNeed { environment, ..found.need.clone() }.allows_environment(name)
}

/// A variable can steer a tool as much as an argument does, so a reading command takes no text
/// that the plugin made up.
fn plain_value(facts: &Facts, class: Class, text: String) -> Granting<OsString> {
    let known = class == Class::Change
        || text.is_empty()
        || is_name(&text)
        || facts.is_setting(&text)
        || facts.is_literal(&text)
        || facts.is_granted_path(&text);
    match known && !text.contains('\0') {
        true => Ok(text.into()),
        false => Err(denied("a reading command takes no variable that the plugin made up")),
    }
}

fn directory_of(facts: &Facts, directory: Option<&str>) -> Granting<PathBuf> {
    match directory {
        None => Ok(facts.session.stack_directory.clone()),
        Some(path) if path.starts_with('/') && facts.is_granted_path(path) => Ok(path.into()),
        Some(path) => Err(denied(format!("the directory `{}` was not granted", shown(path)))),
    }
}

/// The arguments that lead into another component.
async fn prefix(facts: &Arc<Facts>, inside: Option<&str>) -> Granting<Vec<String>> {
    let Some(component) = inside else { return Ok(Vec::new()) };
    let name = Name::parse(component).map_err(|error| denied(error.to_string()))?;
    let asked = (facts.session.inside)(name).await;
    asked.map_err(|error| Denial::Told(crate::convert::error_for_guest(error)))
}

async fn input_of(facts: &Arc<Facts>, class: Class, input: wit::Input) -> Granting<Input> {
    match input {
        wit::Input::Empty => Ok(Input::Empty),
        wit::Input::Secret(name) => Ok(Input::Bytes(facts.secret(&name).await?.expose().to_vec())),
        wit::Input::Text(text) if text.len() > INPUT_TEXT_BYTES_MAX => {
            let bytes = text.len();
            Err(denied(format!("an input of {bytes} bytes, {INPUT_TEXT_BYTES_MAX} are allowed")))
        }
        wit::Input::Text(text) => {
            if class == Class::Read && !facts.is_literal(&text) && !facts.is_setting(&text) {
                return Err(denied(
                    "a reading command takes no input that the plugin made up: use a literal of \
                     the manifest",
                ));
            }
            Ok(Input::Bytes(text.into_bytes()))
        }
        wit::Input::Artifact(name) => {
            let Artifacts::Read(backup) = facts.session.artifacts.clone() else {
                return Err(denied("this operation reads no backup"));
            };
            let opened = facts.beside(move |_| backup.open(&name).map_err(vault_denial)).await?;
            Ok(Input::Reader(opened))
        }
    }
}

async fn output_of(
    facts: &Arc<Facts>,
    found: &Found,
    output: wit::Output,
    lines: Output,
) -> Granting<(Output, Option<ArtifactSink>)> {
    match output {
        wit::Output::Lines => Ok((lines, None)),
        // An operator's command that changes something may leave a service behind, which would die
        // of a broken pipe with vaultup: it gets a file, whose end is what `errors` shows.
        wit::Output::Discard if found.own_words && found.class == Class::Change => {
            let directory = facts.session.surroundings.log_directory.clone();
            let path = directory.join(format!("{}.log", facts.key.replace('/', "-")));
            facts.beside(move |_| Ok(private_directory(&directory)?)).await?;
            Ok((Output::File(path), None))
        }
        wit::Output::Discard => Ok((Output::Discard, None)),
        wit::Output::Artifact(name) => {
            if facts.function.effect != Effect::Takes {
                return Err(denied("artifacts are made in `backup.take` only"));
            }
            let Artifacts::Write(backup) = facts.session.artifacts.clone() else {
                return Err(denied("this operation writes no backup"));
            };
            facts.permit(Class::Change)?;
            let sink = facts.beside(move |_| backup.begin(&name).map_err(vault_denial)).await?;
            Ok((Output::Writer(sink.input()), Some(sink)))
        }
    }
}

/// A command's words as the kernel gets them, and as people see them.
struct Spelt {
    arguments: Vec<OsString>,
    shown: Vec<String>,
    secret_files: Vec<SecretFile>,
}

async fn spell(facts: &Arc<Facts>, words: Vec<Argument>) -> Granting<Spelt> {
    let mut spelt = Spelt { arguments: Vec::new(), shown: Vec::new(), secret_files: Vec::new() };
    for word in words {
        match word {
            Argument::Text(text) => {
                let redacted = facts.session.redactor.redact(&text);
                if redacted != text {
                    // Arguments are seen by everybody on the machine.
                    return Err(denied("an argument holds the value of a secret"));
                }
                spelt.shown.push(system::redact::visible(&text).into_owned());
                spelt.arguments.push(text.into());
            }
            Argument::SecretFile { prefix, name } => {
                let secret = facts.secret(&name).await?;
                let directory = facts.session.surroundings.secret_directory.clone();
                let file =
                    facts.beside(move |_| Ok(short_lived_file(&secret, &directory)?)).await?;
                let mut argument = OsString::from(&prefix);
                argument.push(file.path());
                spelt.shown.push(format!("{prefix}{{secret:{name}}}"));
                spelt.arguments.push(argument);
                spelt.secret_files.push(file);
            }
        }
    }
    Ok(spelt)
}

/// The file that a tool's name means, and its digest. `./start` is looked for where the command
/// runs, such as a release's directory, and then beside the stack file, as an operator's `./drain`.
fn tool(facts: &Facts, program: &OsStr, place: &Path) -> Granting<(PathBuf, String)> {
    let surroundings = &facts.session.surroundings;
    let path = surroundings.environment.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let program = match resolve(program, place, &path) {
        Err(system::Error::ToolNotFound { .. }) => {
            resolve(program, &facts.session.stack_directory, &path)?
        }
        resolved => resolved?,
    };
    let digest = surroundings.digests.digest(&program)?;
    Ok((program, format!("blake3:{digest}")))
}

#[cfg(test)]
mod tests {
    use super::{Output, OutputLimits, STREAM_BYTES_MAX, limits_of};

    /// That these numbers hold, at each and one byte past it, is tested in `system`.
    #[test]
    fn output_that_is_followed_line_by_line_may_be_longer_than_what_is_taken_whole() {
        assert_eq!(limits_of(&Output::Lines).bytes_max, STREAM_BYTES_MAX);
        assert_eq!(limits_of(&Output::Text).bytes_max, OutputLimits::CONTRACT.bytes_max);
        let whole = OutputLimits::CONTRACT;
        assert_eq!(limits_of(&Output::Lines).line_bytes_max, whole.line_bytes_max);
    }
}
