//! A plan as a table: step, what runs, way back.

use std::time::Duration;

use engine::plan::{Plan, Step};
use model::contract::Severity;

use super::{bytes, duration};
use crate::shell::{Paint, Shell};

/// The most changes that are listed: a screen full, and some scrolling.
const CHANGES_MAX: usize = 100;

/// A plan for people.
#[must_use]
pub(crate) fn rendered(plan: &Plan, id: &str, commands: bool, shell: &Shell) -> String {
    let head = format!("{}  {} → {}", plan.stack, plan.from, plan.to);
    let mut lines = vec![format!("{}      {}", shell.paint(Paint::Bold, &head), figures(plan, id))];
    lines.push(String::new());
    lines.extend(steps(plan, commands, shell));
    lines.push(String::new());
    let data = data(plan);
    if !data.is_empty() {
        lines.push("what holds state:".to_owned());
        lines.extend(data);
        lines.push(String::new());
    }
    let changes = changes(plan, shell);
    if !changes.is_empty() {
        lines.push("what deploying changes, as the platform tells it:".to_owned());
        lines.extend(changes);
        lines.push(String::new());
    }
    lines.push(match plan.point_of_no_return {
        Some(index) => format!(
            "if a step fails before {}: redeploy {}. after it: restore the backup, then redeploy \
             {} (about {}), unless the schema turns out unchanged.",
            index + 1,
            plan.from,
            plan.from,
            duration(Duration::from_secs(plan.estimate.way_back_seconds))
        ),
        None => format!("if a step fails: redeploy {}; no data changes.", plan.from),
    });
    lines.join("\n")
}

/// The steps of a plan as a table.
#[must_use]
pub(crate) fn steps(plan: &Plan, commands: bool, shell: &Shell) -> Vec<String> {
    let mut lines = vec![format!("{:>3}  {:<9} {:<44} {}", "#", "step", "what", "way back")];
    for (index, step) in plan.steps.iter().enumerate() {
        if plan.point_of_no_return == Some(index) {
            let line = "── point of no return: data changes from here on ".to_owned();
            lines.push(shell.paint(Paint::Yellow, &format!("{line:─<96}")));
        }
        lines.push(row(index + 1, step));
        if commands {
            lines.extend(
                step.commands
                    .iter()
                    .map(|argv| shell.paint(Paint::Dim, &format!("      $ {}", argv.join(" ")))),
            );
        }
    }
    lines
}

/// Sizes, room, and why writers stop, of each datastore.
fn data(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, seen) in &plan.snapshot.datastores {
        let Some(its) = plan.datastores.get(name) else { continue };
        let mut parts = vec![bytes(seen.bytes)];
        let extents = seen.pending.as_ref().map_or(&[][..], |pending| &pending.extents);
        if let Some(largest) = extents.iter().max_by_key(|extent| extent.bytes) {
            let rows = largest.count.map(|count| format!(" ({count} rows)")).unwrap_or_default();
            parts.push(format!("largest {} {}{rows}", largest.name, bytes(largest.bytes)));
        }
        parts.extend(seen.bytes_free.map(|free| format!("{} free there", bytes(free))));
        parts.push(match &its.held {
            Some(why) => format!("writers stop: {why}"),
            None => "writers go on".to_owned(),
        });
        lines.push(format!("  {name}  {}", parts.join(" · ")));
        lines.extend(seen.last.as_ref().map(|last| {
            let took = duration(Duration::from_millis(last.milliseconds));
            format!(
                "    the last backup, {}: {} → {} in {took}",
                last.set,
                bytes(last.bytes),
                bytes(last.bytes_stored)
            )
        }));
    }
    let free = plan.snapshot.backup_bytes_free.filter(|_| !lines.is_empty());
    lines.extend(free.map(|free| format!("  {} free where backups go", bytes(free))));
    lines
}

/// What the plugins of the components found that deploying would change.
fn changes(plan: &Plan, shell: &Shell) -> Vec<String> {
    let each = plan.snapshot.components.iter().flat_map(|(name, seen)| {
        let differences = seen.preview.iter().flat_map(|preview| &preview.differences);
        differences.map(move |its| (name, its))
    });
    let mut lines: Vec<String> = each
        .clone()
        .take(CHANGES_MAX)
        .map(|(name, its)| {
            let detail = its.detail.trim_end().replace('\n', "\n      ");
            let line = format!("  {name}  {} {}: {detail}", its.act, its.object);
            match its.severity {
                Severity::Information => line,
                Severity::Warning | Severity::Blocking => shell.paint(Paint::Yellow, &line),
            }
        })
        .collect();
    let more = each.count().saturating_sub(CHANGES_MAX);
    if more > 0 {
        lines.push(format!("  and {more} more; `--format json` has them all"));
    }
    lines
}

fn figures(plan: &Plan, id: &str) -> String {
    let total = duration(Duration::from_secs(plan.estimate.total_seconds));
    let held = match plan.estimate.held_seconds {
        0 => "nothing stops".to_owned(),
        seconds => format!("writers stop for about {}", duration(Duration::from_secs(seconds))),
    };
    format!("plan {} · about {total} · {held}", id.get(..8).unwrap_or(id))
}

fn row(number: usize, step: &Step) -> String {
    let way_back = if step.way_back.is_empty() { "–" } else { &step.way_back };
    let copy = if step.target == model::contract::Target::Live { "" } else { " (copy)" };
    let what = format!("{}{copy}", step.act);
    format!("{number:>3}  {:<9} {what:<44} {way_back}", step.act.phase())
}
