//! What a restore would replace, before anybody is asked.

use engine::plan::Plan;
use engine::restore::redeployed;
use model::Name;
use runner::restore::Prepared;

use super::plan::steps;
use crate::shell::{Paint, Shell};

/// A plan of a restore for people: what comes back, what it replaces, and the steps.
#[must_use]
pub(crate) fn rendered(prepared: &Prepared, id: &str, shell: &Shell) -> String {
    let Prepared { plan, set, interrupted } = prepared;
    let header = set.header();
    let head = format!("{}  restore backup {}", plan.stack, header.id);
    let taken = format!("{:.0}", header.began_at);
    let mut lines = vec![
        format!("{}      plan {}", shell.paint(Paint::Bold, &head), id.get(..8).unwrap_or(id)),
        format!("  comes back  the data of release {} as of {taken}", header.release),
    ];
    lines.extend(plan.datastores.keys().map(|name| replaced(plan, name)));
    lines.extend(components(plan));
    lines.extend(unreachable_release(plan).map(|line| shell.paint(Paint::Yellow, &line)));
    if let Some(run) = interrupted {
        lines.push(format!("  first       run {run} was interrupted and is brought to rest"));
    }
    lines.push(String::new());
    lines.extend(steps(plan, false, shell));
    lines.push(String::new());
    lines.push(
        "what is there is kept as a backup set first; what of it cannot be read is set aside and \
         not removed."
            .to_owned(),
    );
    lines.join("\n")
}

fn replaced(plan: &Plan, name: &Name) -> String {
    let seen = plan.snapshot.datastores.get(name).and_then(|its| its.schema.as_ref());
    let now = match (plan.snapshot.unseen.get(name), seen) {
        (Some(reason), _) => format!("cannot be read now: {reason}"),
        (None, None) => "as it is now".to_owned(),
        (None, Some(schema)) => {
            let version = schema.version.as_deref().unwrap_or("none");
            let dirty = if schema.dirty { ", with a migration that never ended" } else { "" };
            format!("now at schema {version}{dirty}")
        }
    };
    format!("  replaces    {name}: {now}")
}

fn components(plan: &Plan) -> Vec<String> {
    let line = |(name, _): (&Name, &str)| {
        let runs = plan.snapshot.components.get(name).and_then(|its| its.running.version.as_ref());
        format!("  redeploys   {name}: {} → {}", runs.map_or("?", String::as_str), plan.to)
    };
    redeployed(plan).map(line).collect()
}

/// The release that the data belongs to does not run, and nobody knows how to bring it back.
fn unreachable_release(plan: &Plan) -> Option<String> {
    let stays = |name: &&Name| redeployed(plan).all(|(other, _)| other != *name);
    let other = plan.components().filter(stays).find_map(|name| {
        let version = plan.snapshot.components.get(name)?.running.version.as_ref()?;
        (*version != plan.to).then(|| format!("{name} {version}"))
    });
    other.map(|other| {
        format!(
            "  note        vaultup never saw release {} run here, so {other} is started on this \
             data",
            plan.to
        )
    })
}
