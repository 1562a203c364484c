//! What an upgrade would change, object by object, and what would keep it from succeeding: found
//! before anything is touched.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vaultup_kubectl::access::read_json;
use vaultup_kubectl::{Cluster, Kind, Limits, fields, manifest, required, version, waves};
use vaultup_sdk::Error;
use vaultup_sdk::deploy::{Difference, Forecast, Severity};
use vaultup_sdk::process::Asked;

use crate::history::History;
use crate::needs;
use crate::release::{Release, Source};
use crate::settings::Entry;
use crate::settle::Pending;

/// The most changed fields of one object that are shown.
const FIELDS_SHOWN_MAX: usize = 12;
/// The most objects whose live state is compared: a command line takes no more.
const LIVE_MAX: usize = 200;
/// Who sets fields on behalf of helm or of vaultup.
const OURS: [&str; 2] = ["helm", "vaultup"];
/// Label that keeps an object when its release lets it go.
const KEEP_POLICY: &str = "helm.sh/resource-policy";

/// What would be deployed.
pub(crate) struct Rendered {
    pub(crate) objects: Vec<Value>,
    pub(crate) hooks: Vec<Value>,
    hook_objects: Vec<Value>,
    config: Value,
    is_server_side: bool,
}

impl Release<'_> {
    /// What the next release would change.
    pub(crate) fn forecast(&self) -> Result<Forecast, Error> {
        let source = self.source()?;
        // Each of these tools takes a core for a moment, and none waits for what another says.
        let (history, rendered) = (self.ask_history(), self.ask_rendered(&source));
        let (helm, kubectl) = (self.ask_is_four(), version::ask());
        let (chart, definitions) = (self.ask_chart(&source), self.ask_definitions(&source));
        let (place, cluster) = (self.kubectl.ask_place(), self.ask_cluster());
        let (limits, rights) = (Limits::ask(&self.kubectl), self.kubectl.ask_rights());
        helm.answer()?;
        kubectl.answer()?;
        self.check_chart(&source, &chart.answer()?)?;
        let history = history.answer()?;
        let commands = vec![self.command_shown(&source)];
        // helm renders nothing while a revision is pending, whoever left it so.
        if history.last().is_pending() {
            let differences = self.left_pending(&history)?;
            return Ok(Forecast { differences, commands, seconds: None });
        }
        let before = history.deployed().map(|deployed| {
            (self.ask_manifest(deployed.revision), self.ask_values(deployed.revision, false))
        });
        let rendered = rendered.answer()?;
        let live = self.ask_live(&rendered);
        let place = format!("in {}", place.answer()?);
        let release = format!("release {}", self.name());
        let mut differences = vec![difference(release, "change", place, Severity::Information)];
        if let Some((before, given)) = before {
            let before = manifest::objects(&before.answer()?)?;
            differences.extend(compared(&before, &rendered.objects));
            differences.extend(self.lost_values(&given.answer()?, &rendered.config));
        }
        differences.extend(self.owned_by_others(&rendered, live)?);
        differences.extend(rendered.hooks.iter().map(hook));
        differences.extend(self.definitions_left(&definitions.answer()?)?);
        differences.extend(circumstances(&rendered, &limits.answer()?, &cluster.answer()?));
        let Entry { requires, .. } = self.operation.next()?.entry()?;
        differences.extend(self.missing_variables(&requires, &rendered)?);
        let (given, reads) = (rights.answer()?, !requires.is_empty());
        differences.extend(needs::missing(&self.kubectl, &given, rendered.all(), reads)?);
        Ok(Forecast { differences, commands, seconds: None })
    }

    /// Asks what helm would apply for the next release; the API server has seen it.
    pub(crate) fn ask_rendered(&self, source: &Source) -> Asked<'_, Rendered> {
        let words = self.upgrade_words(source, &["--dry-run=server", "--output=json"]);
        let attempt = "`helm upgrade --dry-run`";
        self.helm(words)
            .ask(move |finished| Rendered::of(&read_json(&self.told(finished, attempt)?, attempt)?))
    }

    fn left_pending(&self, history: &History) -> Result<Vec<Difference>, Error> {
        let last = history.last();
        let pending = self.pending(history)?;
        if pending.is_none_or(|pending| pending == Pending::Fresh) {
            return Ok(Vec::new());
        }
        let detail = match history.deployed() {
            Some(deployed) => format!(
                "it was left {} by a helm that is gone; a rollback to revision {} cures it first",
                last.status, deployed.revision
            ),
            None => format!("it was left {}, and nothing was ever deployed", last.status),
        };
        let object = format!("revision {}", last.revision);
        Ok(vec![difference(object, "change", detail, Severity::Warning)])
    }

    /// Values that somebody gave to the running release and nobody gives to the next.
    fn lost_values(&self, given: &Value, next: &Value) -> Option<Difference> {
        if self.operation.settings.keep_values {
            return None;
        }
        let mut lost = Vec::new();
        missing(given, next, "", &mut lost);
        (!lost.is_empty()).then(|| {
            let detail = format!(
                "only the running release has {}: write them into a values file, or set \
                 `keep-values = true`",
                lost.join(", ")
            );
            difference("values".to_owned(), "delete", detail, Severity::Blocking)
        })
    }

    /// Asks for the objects that the cluster has of those that are rendered, by their references.
    fn ask_live(&self, rendered: &Rendered) -> Option<Asked<'static, BTreeMap<String, Value>>> {
        let names: Vec<String> =
            rendered.objects.iter().map(manifest::reference).take(LIVE_MAX).collect();
        let mut words = vec!["get"];
        words.extend(names.iter().map(String::as_str));
        words.extend(["--ignore-not-found", "--show-managed-fields", "--output=json"]);
        (!names.is_empty()).then(|| {
            self.kubectl.ask(&words).and_then(|text| {
                let seen: Value = match text.trim() {
                    "" => json!([]),
                    text => read_json(text, "`kubectl get`")?,
                };
                // One object is told as it is, several as a list.
                let live = match seen {
                    Value::Array(live) => live,
                    seen => seen["items"].as_array().cloned().unwrap_or_else(|| vec![seen]),
                };
                let by_reference = |object| (manifest::reference(&object), object);
                Ok(live.into_iter().map(by_reference).collect())
            })
        })
    }

    /// Fields of others that the upgrade would set: helm fails on them, and so does its rollback.
    fn owned_by_others(
        &self,
        rendered: &Rendered,
        live: Option<Asked<'_, BTreeMap<String, Value>>>,
    ) -> Result<Vec<Difference>, Error> {
        let live = live.map(Asked::answer).transpose()?.unwrap_or_default();
        let takes_over = self.operation.settings.take_over_fields;
        let severity = match rendered.is_server_side && !takes_over {
            true => Severity::Blocking,
            false => Severity::Warning,
        };
        let mut found = Vec::new();
        for object in &rendered.objects {
            let reference = manifest::reference(object);
            let Some(live) = live.get(&reference) else { continue };
            found.extend(fields::conflicts(live, object, &OURS).into_iter().map(|conflict| {
                let detail = format!(
                    "`{}` has set {} otherwise: undo that, put it into the values, or set \
                     `take-over-fields = true`",
                    conflict.owner, conflict.path
                );
                difference(reference.clone(), "change", detail, severity)
            }));
        }
        Ok(found)
    }

    /// Variables that the release requires and that no container of the chart gets (R8). What the
    /// chart itself brings need not be in the cluster yet.
    fn missing_variables(
        &self,
        requires: &[String],
        rendered: &Rendered,
    ) -> Result<Option<Difference>, Error> {
        let containers = rendered.all().flat_map(required::containers);
        required::missing(requires, containers, |source| {
            let brought = |object| required::keys_brought(object, source);
            match rendered.all().find_map(brought) {
                Some(keys) => Ok(keys),
                None => required::keys_of(&self.kubectl, source),
            }
        })
    }

    fn command_shown(&self, source: &Source) -> Vec<String> {
        self.helm(self.upgrade_words(source, &["--wait"])).shown()
    }
}

impl Rendered {
    /// The objects, those of hooks too.
    fn all(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().chain(&self.hook_objects)
    }

    fn of(seen: &Value) -> Result<Self, Error> {
        let Some(yaml) = seen["manifest"].as_str() else {
            return Err(Error::corrupt("`helm upgrade --dry-run` renders no manifest"));
        };
        let hooks = seen["hooks"].as_array().cloned().unwrap_or_default();
        let texts = hooks.iter().filter_map(|hook| hook["manifest"].as_str());
        let hook_objects = texts.map(manifest::objects).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self {
            objects: manifest::objects(yaml)?,
            hook_objects: hook_objects.concat(),
            hooks,
            config: seen["config"].clone(),
            is_server_side: seen["apply_method"] == "ssa",
        })
    }
}

/// What keeps a workload from taking up a change, and what limits how many pods it may have.
fn circumstances(rendered: &Rendered, limits: &Limits, cluster: &Cluster) -> Vec<Difference> {
    let of_workloads = cluster.workloads.iter().flat_map(|workload| limits.findings(workload));
    let held = cluster.workloads.iter().filter_map(waves::finding);
    let mut found: Vec<Difference> = held.chain(of_workloads).collect();
    for object in &rendered.objects {
        let kind = object["kind"].as_str().and_then(Kind::named);
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let says_how_many = !object["spec"]["replicas"].is_null();
        if kind.is_some_and(|kind| limits.is_scaled(kind, name)) && says_how_many {
            let detail = "the chart says how many instances there are, and an autoscaler owns that \
                          number: leave `replicas` out of the chart or its values";
            let reference = manifest::reference(object);
            found.push(difference(reference, "change", detail.to_owned(), Severity::Warning));
        }
    }
    found
}

/// The differences of two manifests, in the order of the new one; what goes comes last.
fn compared(before: &[Value], after: &[Value]) -> Vec<Difference> {
    let same = |object: &Value, others: &[Value]| {
        let reference = manifest::reference(object);
        others.iter().find(|other| manifest::reference(other) == reference).cloned()
    };
    let mut found = Vec::new();
    for object in after {
        let reference = manifest::reference(object);
        let Some(old) = same(object, before) else {
            let detail = "new in this release".to_owned();
            found.push(difference(reference, "add", detail, Severity::Information));
            continue;
        };
        for pointer in fields::immutable(&old, object) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let detail = format!("{field} differs, and the cluster refuses to change it in place");
            found.push(difference(reference.clone(), "replace", detail, Severity::Blocking));
        }
        let changed = fields::changed(&old, object);
        if !changed.is_empty() {
            found.push(difference(reference, "change", told(&changed), Severity::Information));
        }
    }
    found.extend(after.iter().filter_map(unreadable));
    let gone = before.iter().filter(|object| same(object, after).is_none());
    found.extend(gone.map(removed));
    found
}

/// A workload with a field of a type that the API does not have there. helm's dry run does not see
/// it, and its upgrade fails on it after other objects were changed.
fn unreadable(object: &Value) -> Option<Difference> {
    object["kind"].as_str().and_then(Kind::named)?;
    let error = Cluster::read(json!({"items": [object]})).err()?;
    let detail = format!("the cluster would refuse it: {error}");
    Some(difference(manifest::reference(object), "change", detail, Severity::Blocking))
}

fn removed(object: &Value) -> Difference {
    let reference = manifest::reference(object);
    if object["metadata"]["annotations"][KEEP_POLICY] == "keep" {
        let detail = "no longer in the chart; its policy keeps it".to_owned();
        return difference(reference, "change", detail, Severity::Information);
    }
    let holds_data = matches!(
        object["kind"].as_str(),
        Some(
            "PersistentVolumeClaim" | "PersistentVolume" | "CustomResourceDefinition" | "Namespace"
        )
    );
    match holds_data {
        true => {
            let detail = "no longer in the chart: helm would remove it with its data".to_owned();
            difference(reference, "delete", detail, Severity::Blocking)
        }
        false => {
            let detail = "no longer in the chart".to_owned();
            difference(reference, "delete", detail, Severity::Warning)
        }
    }
}

fn hook(hook: &Value) -> Difference {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let events = hook["events"].as_array().into_iter().flatten().map(text);
    let events = events.collect::<Vec<_>>().join(", ");
    let objects = hook["manifest"].as_str().and_then(|yaml| manifest::objects(yaml).ok());
    let containers = objects.iter().flatten().flat_map(|object| {
        let pod = &object["spec"]["template"]["spec"]["containers"];
        pod.as_array().cloned().unwrap_or_default()
    });
    // The program is told, and not its arguments, which may be confidential.
    let runs: Vec<String> = containers
        .map(|its| match its["command"][0].as_str() {
            Some(program) => format!("`{program}` in {}", text(&its["image"])),
            None => text(&its["image"]),
        })
        .collect();
    let runs = if runs.is_empty() { String::new() } else { format!(", runs {}", runs.join(", ")) };
    let object = format!("{}/{}", text(&hook["kind"]), text(&hook["name"]));
    difference(object, "add", format!("hook {events}{runs}"), Severity::Information)
}

fn told(changed: &[fields::Changed]) -> String {
    let shown = changed.iter().take(FIELDS_SHOWN_MAX);
    let mut lines: Vec<String> = shown.map(|its| format!("{} {}", its.path, its.detail)).collect();
    let more = changed.len().saturating_sub(FIELDS_SHOWN_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

/// Dotted keys of values that one has and the other does not.
fn missing(given: &Value, next: &Value, path: &str, found: &mut Vec<String>) {
    let Some(given) = given.as_object() else { return };
    for (key, value) in given {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (value, next.get(key)) {
            (Value::Object(_), Some(below @ Value::Object(_))) => {
                missing(value, below, &path, found)
            }
            (_, Some(_)) => {}
            (_, None) => found.push(path),
        }
    }
}

fn difference(object: String, act: &str, detail: String, severity: Severity) -> Difference {
    Difference { object, act: act.to_owned(), detail, severity }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str, spec: Value) -> Value {
        json!({"kind": kind, "metadata": {"name": name}, "spec": spec})
    }

    #[test]
    fn what_comes_changes_and_goes_is_told_by_object() {
        let before =
            [object("Deployment", "a", json!({"replicas": 1})), object("Service", "b", json!({}))];
        let after =
            [object("Deployment", "a", json!({"replicas": 2})), object("Ingress", "c", json!({}))];
        let found = compared(&before, &after);
        let told: Vec<(&str, &str)> =
            found.iter().map(|its| (its.act.as_str(), its.object.as_str())).collect();
        assert_eq!(
            told,
            [("change", "Deployment/a"), ("add", "Ingress/c"), ("delete", "Service/b")]
        );
        assert_eq!(found[0].detail, "spec.replicas 1 → 2");
        assert_eq!(found[2].severity, Severity::Warning);
    }

    #[test]
    fn data_that_would_go_and_selectors_that_would_change_stop_the_plan() {
        let claim = object("PersistentVolumeClaim", "data", json!({}));
        assert_eq!(compared(std::slice::from_ref(&claim), &[])[0].severity, Severity::Blocking);
        let mut kept = claim;
        kept["metadata"]["annotations"] = json!({KEEP_POLICY: "keep"});
        assert_eq!(compared(&[kept], &[])[0].severity, Severity::Information);
        let selector = |app: &str| object("Deployment", "a", json!({"selector": {"app": app}}));
        let found = compared(&[selector("a")], &[selector("b")]);
        assert_eq!((found[0].act.as_str(), found[0].severity), ("replace", Severity::Blocking));
    }

    #[test]
    fn a_field_of_a_wrong_type_stops_the_plan_before_helm_is_half_done_with_it() {
        let wrong = object("Deployment", "a", json!({"replicas": "many"}));
        let found = compared(&[], &[wrong]);
        assert_eq!(
            (found[1].object.as_str(), found[1].severity),
            ("Deployment/a", Severity::Blocking)
        );
        assert!(found[1].detail.contains("many"), "{found:?}");
    }

    #[test]
    fn values_that_nobody_gives_any_more_are_named_without_their_values() {
        let mut found = Vec::new();
        let given = json!({"replicas": 3, "hook": {"enabled": true, "sleep": "1s"}});
        missing(&given, &json!({"hook": {"enabled": false}}), "", &mut found);
        assert_eq!(found, ["hook.sleep", "replicas"]);
        missing(&json!(null), &json!(null), "", &mut found);
        assert_eq!(found.len(), 2);
    }
}
