//! Which cluster, as whom, in which namespace; and what it means when a command fails.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use vaultup_sdk::process::{Arguments, Asked, Command, Exit, Finished};
use vaultup_sdk::{Case, Error, process};

/// The namespace if the operator says none.
const NAMESPACE_DEFAULT: &str = "default";

/// Where a component lives, as the operator says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Access {
    /// The kubeconfig file; absent: the one that `kubectl` finds by itself.
    pub kubeconfig: Option<String>,
    /// The context in it; absent: the current one.
    pub context: Option<String>,
    /// The namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
}

/// A cluster that commands are put to.
#[derive(Clone, Debug)]
pub struct Kubectl {
    access: Access,
    flags: Vec<String>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: ContextUser,
}

#[derive(Default, Deserialize)]
struct ContextUser {
    #[serde(default)]
    user: String,
}

/// Where commands go: what must be the same when a plan is made and when it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The context's name; empty if the kubeconfig has none.
    pub context: String,
    /// The name of the user in the kubeconfig.
    pub user: String,
    /// The address of the cluster, which tells one from another of the same name.
    pub server: String,
    /// The namespace.
    pub namespace: String,
}

impl Place {
    /// What a digest of the place is made from.
    #[must_use]
    pub fn texts(&self) -> [&str; 4] {
        [&self.context, &self.user, &self.server, &self.namespace]
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, user, server, namespace } = self;
        write!(formatter, "namespace `{namespace}` at {server}")?;
        match (context.as_str(), user.as_str()) {
            ("", _) => Ok(()),
            (context, "") => write!(formatter, ", context `{context}`"),
            (context, user) => write!(formatter, ", context `{context}` as `{user}`"),
        }
    }
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: ClusterAddress,
}

#[derive(Deserialize)]
struct ClusterAddress {
    server: String,
}

impl Access {
    /// The flags that name the cluster, as `context_flag` calls the context's.
    #[must_use]
    pub fn flags(&self, context_flag: &str) -> Vec<String> {
        let mut flags = vec![format!("--namespace={}", self.namespace)];
        flags.extend(self.kubeconfig.iter().map(|path| format!("--kubeconfig={path}")));
        flags.extend(self.context.iter().map(|context| format!("{context_flag}={context}")));
        flags
    }
}

impl Kubectl {
    /// The cluster that the operator named.
    #[must_use]
    pub fn new(access: &Access) -> Self {
        Self { access: access.clone(), flags: access.flags("--context") }
    }

    /// Where it is.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.access.namespace
    }

    /// Which namespace of which cluster, for people: the same text for the same access.
    #[must_use]
    pub fn address(&self) -> String {
        let Access { kubeconfig, context, namespace } = &self.access;
        let context = context.iter().map(|context| format!(" of context `{context}`"));
        let file = kubeconfig.iter().map(|file| format!(" of `{file}`"));
        format!("namespace `{namespace}`{}", context.chain(file).collect::<String>())
    }

    /// A command; what names the cluster is added at its end.
    pub fn command<Text: Into<String>>(
        &self,
        words: impl IntoIterator<Item = Text>,
    ) -> Command<Arguments> {
        let words = words.into_iter().map(Into::into);
        process::command("kubectl").arguments(words).arguments(self.flags.clone())
    }

    /// The words of a command as a plan shows them.
    #[must_use]
    pub fn shown(&self, words: &[&str]) -> Vec<String> {
        let words = words.iter().map(|&word| word.to_owned());
        std::iter::once("kubectl".to_owned()).chain(words).chain(self.flags.clone()).collect()
    }

    /// Asks for what a command writes. Its answer's errors are those of [`told`].
    pub fn ask(&self, words: &[&str]) -> Asked<'static, String> {
        let attempt = doing(words);
        self.command(words.iter().copied()).ask(move |finished| told(finished, &attempt))
    }

    /// Asks for what a command writes, as JSON. Its answer's errors are those of [`told`], and
    /// [`Case::Corrupt`] if it is no such JSON.
    pub fn ask_json<Answer: DeserializeOwned + 'static>(
        &self,
        words: &[&str],
    ) -> Asked<'static, Answer> {
        let attempt = doing(words);
        self.ask(words).and_then(move |text| read_json(&text, &attempt))
    }

    /// What a command writes.
    ///
    /// # Errors
    /// As [`told`].
    pub fn text(&self, words: &[&str]) -> Result<String, Error> {
        self.ask(words).answer()
    }

    /// What a command writes, as JSON.
    ///
    /// # Errors
    /// As [`Kubectl::ask_json`].
    pub fn json<Answer: DeserializeOwned + 'static>(
        &self,
        words: &[&str],
    ) -> Result<Answer, Error> {
        self.ask_json(words).answer()
    }

    /// As [`Kubectl::json`]; nothing if there is no such object.
    ///
    /// # Errors
    /// As [`Kubectl::json`].
    pub fn json_if_there<Answer: DeserializeOwned + 'static>(
        &self,
        words: &[&str],
    ) -> Result<Option<Answer>, Error> {
        match self.json(words) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.case() == &Case::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A command that changes something, with a text on standard input.
    ///
    /// # Errors
    /// As [`told`].
    pub fn feed(&self, words: &[&str], input: impl Into<String>) -> Result<String, Error> {
        let command = self.command(words.iter().copied()).input_text(input);
        told(command.attempt()?, &doing(words))
    }

    /// Asks where commands go: an error if the kubeconfig or the context cannot be used.
    pub fn ask_place(&self) -> Asked<'static, Place> {
        let words = ["config", "view", "--minify", "--output=json"];
        let namespace = self.access.namespace.clone();
        self.ask_json(&words).and_then(|seen: Configuration| {
            let server = seen.clusters.into_iter().next().map(|named| named.cluster.server);
            let server =
                server.ok_or_else(|| Error::invalid_settings("the kubeconfig names no cluster"))?;
            let context = seen.contexts.into_iter().next();
            let (context, user) =
                context.map_or_else(Default::default, |its| (its.name, its.context.user));
            Ok(Place { context, user, server, namespace })
        })
    }
}

/// What a finished command wrote, or what its failure means.
///
/// # Errors
/// By the cluster's words: [`Case::Unreachable`], [`Case::Refused`], [`Case::NotFound`],
/// [`Case::InvalidSettings`], [`Case::Conflict`]; otherwise [`Case::Failed`].
pub fn told(finished: Finished, attempt: &str) -> Result<String, Error> {
    let case = match finished.exit {
        Exit::Status(0) => return Ok(finished.output),
        Exit::Cancelled => return Err(Error::cancelled()),
        Exit::Deadline => Case::TimedOut,
        _ => case_of(finished.words()),
    };
    let message = match case {
        Case::Unreachable => "the cluster cannot be reached",
        Case::Refused => "the cluster refuses it",
        Case::NotFound => "there is no such thing in the cluster",
        Case::InvalidSettings => "kubeconfig, context or manifest cannot be used",
        Case::Conflict => "somebody else changed or owns it",
        Case::TimedOut => "no answer in time",
        _ => "the command failed",
    };
    Err(Error::new(case, format!("{attempt}: {message}")).with_platform(finished.words()))
}

/// What the words of `kubectl` or `helm` mean. The first that fits counts.
#[must_use]
pub fn case_of(words: &str) -> Case {
    const SIGNS: [(&str, Case); 25] = [
        // helm calls a cluster unreachable whose context it does not find.
        ("does not exist", Case::InvalidSettings),
        ("context was not found", Case::InvalidSettings),
        ("no such file or directory", Case::InvalidSettings),
        ("no matches for kind", Case::InvalidSettings),
        ("server doesn't have a resource type", Case::InvalidSettings),
        ("error converting YAML to JSON", Case::InvalidSettings),
        ("cannot unmarshal", Case::InvalidSettings),
        ("Unable to connect to the server", Case::Unreachable),
        ("was refused - did you specify the right host", Case::Unreachable),
        ("Kubernetes cluster unreachable", Case::Unreachable),
        ("kubernetes cluster unreachable", Case::Unreachable),
        ("connection refused", Case::Unreachable),
        ("connection reset by peer", Case::Unreachable),
        ("i/o timeout", Case::Unreachable),
        ("TLS handshake timeout", Case::Unreachable),
        ("unexpected EOF", Case::Unreachable),
        ("exceeded quota", Case::Refused),
        ("Forbidden", Case::Refused),
        ("forbidden", Case::Refused),
        ("You must be logged in", Case::Refused),
        ("(NotFound)", Case::NotFound),
        ("not found", Case::NotFound),
        ("(Conflict)", Case::Conflict),
        ("(AlreadyExists)", Case::Conflict),
        ("conflict", Case::Conflict),
    ];
    let found = SIGNS.iter().find(|(sign, _)| words.contains(sign));
    found.map_or(Case::Failed, |(_, case)| case.clone())
}

/// Reads an answer as JSON.
///
/// # Errors
/// [`Case::Corrupt`] if it is no such JSON.
pub fn read_json<Answer: DeserializeOwned>(text: &str, attempt: &str) -> Result<Answer, Error> {
    serde_json::from_str(text).map_err(|error| {
        Error::corrupt(format!("{attempt}: the answer is not what was expected: {error}"))
    })
}

fn doing(words: &[&str]) -> String {
    let plain = words.iter().take_while(|word| !word.starts_with('-'));
    format!("`kubectl {}`", plain.copied().collect::<Vec<_>>().join(" "))
}

fn namespace_default() -> String {
    NAMESPACE_DEFAULT.to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use vaultup_sdk::testing::{Machine, Reply};

    use super::*;

    fn kubectl() -> Kubectl {
        let (kubeconfig, context) = (Some("kube.conf".to_owned()), Some("prod".to_owned()));
        Kubectl::new(&Access { kubeconfig, context, namespace: "shop".to_owned() })
    }

    #[test]
    fn every_command_names_the_cluster_that_the_operator_named() {
        let machine = Machine::new().install();
        machine.answer("kubectl", |_| Reply::output("{}"));
        kubectl().text(&["get", "pods"]).unwrap();
        let flags = "--namespace=shop --kubeconfig=kube.conf --context=prod";
        assert_eq!(machine.take_calls(), [format!("kubectl get pods {flags}")]);
    }

    #[test]
    fn what_the_cluster_says_becomes_a_case_that_the_host_acts_on() {
        let refused = "The connection to the server 127.0.0.1:1 was refused - did you specify the \
                       right host or port?";
        let quota = "Error: pods \"x\" is forbidden: exceeded quota: q, requested: pods=1";
        let cases = [
            (refused, Case::Unreachable),
            ("Error: Kubernetes cluster unreachable: dial tcp", Case::Unreachable),
            (quota, Case::Refused),
            ("Error from server (Forbidden): pods is forbidden: User", Case::Refused),
            ("error: context \"x\" does not exist", Case::InvalidSettings),
            ("kubernetes cluster unreachable: context \"x\" does not exist", Case::InvalidSettings),
            ("Error from server (NotFound): pods \"x\" not found", Case::NotFound),
            ("Error from server (AlreadyExists): x already exists", Case::Conflict),
            ("something else", Case::Failed),
        ];
        for (words, case) in cases {
            assert_eq!(case_of(words), case, "{words}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_or_of_another_shape_is_never_understood() {
        let machine = Machine::new().install();
        for answer in ["", "{", "[1]", "{\"clusters\": 3}", "null"] {
            machine.answer("kubectl", move |_| Reply::output(answer));
            assert_eq!(
                kubectl().ask_place().answer().unwrap_err().case(),
                &Case::Corrupt,
                "{answer}"
            );
        }
    }
}
