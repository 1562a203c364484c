//! Rights that something needs, and the Role that would give those that are missing.
//!
//! `auth can-i --list` tells all rights in one answer, so that is asked first. It may be incomplete
//! (an authorizer that decides by itself is not in it), so what is not in it is asked for singly.

use serde_json::{Value, json};
use vaultup_sdk::process::Asked;
use vaultup_sdk::{Case, Error};

use crate::access::{Kubectl, told};

/// The most questions at once: the host runs as many commands of a call.
const ASKED_AT_ONCE_MAX: usize = 12;
/// Stands for every resource, group or verb in a rule.
const ANY: &str = "*";

/// A verb and a resource with its group, such as `patch` and `deployments.apps`.
pub type Right<'r> = (&'r str, &'r str);

/// The rights that `auth can-i --list` lists.
#[derive(Debug)]
pub struct Listed(Vec<Rule>);

/// One line of `auth can-i --list`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    resource: String,
    verbs: Vec<String>,
}

impl Kubectl {
    /// Those of the rights that are not given.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub fn missing<'r>(&self, rights: &[Right<'r>]) -> Result<Vec<Right<'r>>, Error> {
        self.missing_beside(&self.ask_rights().answer()?, rights)
    }

    /// Asks which rights are given.
    pub fn ask_rights(&self) -> Asked<'static, Listed> {
        self.ask(&["auth", "can-i", "--list"]).and_then(|text| Ok(Listed(rules(&text))))
    }

    /// Those of the rights that are neither listed nor given.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub fn missing_beside<'r>(
        &self,
        listed: &Listed,
        rights: &[Right<'r>],
    ) -> Result<Vec<Right<'r>>, Error> {
        let is_listed = |right: &&Right<'r>| listed.0.iter().any(|rule| rule.gives(right));
        let doubtful: Vec<Right<'r>> =
            rights.iter().filter(|right| !is_listed(right)).copied().collect();
        self.refused(&doubtful)
    }

    /// Those of the rights to which the cluster says no. Many are asked for at once.
    fn refused<'r>(&self, rights: &[Right<'r>]) -> Result<Vec<Right<'r>>, Error> {
        let mut missing = Vec::new();
        for some in rights.chunks(ASKED_AT_ONCE_MAX) {
            let ask = |right: &Right<'r>| (*right, self.ask_right(right));
            let asked: Vec<_> = some.iter().map(ask).collect();
            for (right, asked) in asked {
                if !asked.answer()? {
                    missing.push(right);
                }
            }
        }
        Ok(missing)
    }

    fn ask_right(&self, (verb, resource): &Right<'_>) -> Asked<'static, bool> {
        let attempt = "`kubectl auth can-i`";
        self.command(["auth", "can-i", verb, resource]).ask(move |finished| {
            // A no is told on standard output too, whatever the status and the warnings beside it.
            match finished.output.lines().find_map(|line| answer(line.trim())) {
                Some(is_given) => Ok(is_given),
                None => {
                    told(finished, attempt)?;
                    Err(Error::corrupt(format!("{attempt} says neither yes nor no")))
                }
            }
        })
    }
}

impl Rule {
    fn gives(&self, (verb, resource): &Right<'_>) -> bool {
        let (plural, group) = parts(resource);
        let (its_plural, its_group) = parts(&self.resource);
        let fits = |its: &str, wanted: &str| its == ANY || its == wanted;
        fits(its_plural, plural)
            && fits(its_group, group)
            && self.verbs.iter().any(|its| fits(its, verb))
    }
}

/// An error that says which rights are missing, if it is one of rights; otherwise the same one.
#[must_use]
pub fn explained(kubectl: &Kubectl, error: Error, needed: &[Right<'_>]) -> Error {
    if error.case() != &Case::Refused {
        return error;
    }
    match kubectl.missing(needed) {
        Ok(missing) if !missing.is_empty() => {
            let platform = error.platform().to_owned();
            Error::new(Case::Refused, role(kubectl.namespace(), &missing)).with_platform(platform)
        }
        Ok(_) | Err(_) => error,
    }
}

/// A sentence on missing rights, with the Role that would give them, as JSON that `kubectl apply`
/// takes.
#[must_use]
pub fn role(namespace: &str, missing: &[Right<'_>]) -> String {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "vaultup", "namespace": namespace}, "rules": rules_for(missing),
    });
    let named: Vec<String> =
        missing.iter().map(|(verb, resource)| format!("{verb} {resource}")).collect();
    format!("not allowed: {}; this Role would do: {role}", named.join(", "))
}

/// The ClusterRole that gives rights which no namespace's Role can give, likewise.
#[must_use]
pub fn cluster_role(missing: &[Right<'_>]) -> String {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "vaultup-copies"}, "rules": rules_for(missing),
    });
    role.to_string()
}

/// The rules that give rights: one for each resource.
fn rules_for(missing: &[Right<'_>]) -> Vec<Value> {
    let mut rules: Vec<(&str, Vec<&str>)> = Vec::new();
    for (verb, resource) in missing {
        match rules.iter_mut().find(|(its, _)| its == resource) {
            Some((_, verbs)) => verbs.push(verb),
            None => rules.push((resource, vec![verb])),
        }
    }
    let rule = |(resource, verbs): &(&str, Vec<&str>)| {
        let (plural, group) = parts(resource);
        json!({"apiGroups": [group], "resources": [plural], "verbs": verbs})
    };
    rules.iter().map(rule).collect()
}

/// The rules of a listing that hold for every object; those for named objects only are left out.
fn rules(listing: &str) -> Vec<Rule> {
    listing.lines().filter_map(rule).collect()
}

/// `deployments.apps   []   []   [get list]`: resource, addresses, names, verbs.
fn rule(line: &str) -> Option<Rule> {
    let (resource, rest) = line.split_once(' ')?;
    let mut lists = rest.split('[').skip(1).map(|list| list.split(']').next().unwrap_or_default());
    let (addresses, names, verbs) = (lists.next()?, lists.next()?, lists.next()?);
    let is_general = !resource.is_empty() && addresses.is_empty() && names.is_empty();
    let verbs = verbs.split_whitespace().map(str::to_owned).collect();
    is_general.then(|| Rule { resource: resource.to_owned(), verbs })
}

/// Plural and group of a resource.
fn parts(resource: &str) -> (&str, &str) {
    resource.split_once('.').unwrap_or((resource, ""))
}

fn answer(line: &str) -> Option<bool> {
    match line.split([' ', '-']).next() {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use vaultup_sdk::testing::{Machine, Reply};

    use super::*;
    use crate::access::Access;

    const LISTING: &str = "\
Resources                          Non-Resource URLs   Resource Names   Verbs
deployments.apps                   []                  []               [get list]
configmaps                         []                  [one]            [patch]
*.batch                            []                  []               [*]
                                   [/healthz]          []               [get]
";

    fn kubectl() -> Kubectl {
        Kubectl::new(&Access { kubeconfig: None, context: None, namespace: "shop".to_owned() })
    }

    #[test]
    fn a_listing_gives_what_its_lines_say_and_nothing_for_single_objects() {
        let listed = rules(LISTING);
        let gives = |right: Right<'_>| listed.iter().any(|rule| rule.gives(&right));
        assert!(gives(("list", "deployments.apps")));
        assert!(gives(("delete", "jobs.batch")));
        assert!(!gives(("patch", "deployments.apps")));
        assert!(!gives(("list", "deployments")));
        assert!(!gives(("patch", "configmaps")));
    }

    #[test]
    fn what_the_listing_does_not_have_is_asked_for_singly() {
        let machine = Machine::new().install();
        let rights = [("patch", "deployments.apps"), ("list", "pods"), ("create", "jobs.batch")];
        machine.answer("kubectl", |call| match call.arguments[2].as_str() {
            "--list" => Reply::output(LISTING),
            "list" => Reply::output("yes\n"),
            _ => Reply::exit(1).with_output("no - no RBAC policy matched\n"),
        });
        let missing = kubectl().missing(&rights).unwrap();
        assert_eq!(missing, rights[..1]);
        assert_eq!(machine.take_calls().len(), 3, "one listing, two questions");
        let role = role("shop", &missing);
        assert!(role.starts_with("not allowed: patch deployments.apps;"), "{role}");
        assert!(role.contains(r#"{"apiGroups":["apps"],"resources":["deployments"]"#), "{role}");
    }

    #[test]
    fn verbs_of_one_resource_are_one_rule_of_the_role() {
        let role = role("shop", &[("get", "secrets"), ("create", "secrets")]);
        assert!(role.contains(r#""resources":["secrets"],"verbs":["get","create"]"#), "{role}");
    }

    #[test]
    fn a_right_that_cannot_be_asked_for_is_no_right() {
        let machine = Machine::new().install();
        machine.answer("kubectl", |_| Reply::exit(1).with_errors("connection refused"));
        let rights = [("list", "pods")];
        let error = kubectl().missing(&rights).unwrap_err();
        assert_eq!(error.case(), &Case::Unreachable);
        machine.answer("kubectl", |call| match call.arguments[2].as_str() {
            "--list" => Reply::output(""),
            _ => Reply::output("perhaps"),
        });
        assert_eq!(kubectl().missing(&rights).unwrap_err().case(), &Case::Corrupt);
    }
}
