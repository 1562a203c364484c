//! Where a stack is, in one screen.

use runner::status::{RunStatus, Status};

use crate::shell::{Paint, Shell};

/// The status for people.
#[must_use]
pub(crate) fn rendered(status: &Status, shell: &Shell) -> String {
    let mut lines = Vec::new();
    match &status.run {
        None => lines.push(format!("{}  no run yet", status.stack)),
        Some(run) => {
            let head = format!("{}  {} → {}: {}", status.stack, run.from, run.to, run.state);
            lines.push(shell.paint(Paint::Bold, &head));
            lines.push(format!("  run      {}, began {}", run.id, run.began));
            lines.extend(run.step.iter().map(|step| format!("  step     {step}")));
            lines.extend(run.held.iter().map(|why| format!("  held     {why}")));
            if let Some(failure) = &run.failure {
                lines.push(format!("  failed   {} (VU{:04})", failure.message, failure.code));
            }
            lines.extend(run.backup.iter().map(|set| format!("  backup   {set}")));
            lines.extend(run.aside.iter().map(|(n, place)| format!("  aside    {n}: {place}")));
        }
    }
    lines.extend(status.holder.iter().map(|who| format!("  at work  {who}")));
    lines.extend(status.next.iter().map(|next| format!("  next     {next}")));
    lines.join("\n")
}

/// A run in one line.
#[must_use]
pub(crate) fn line(run: &RunStatus) -> String {
    format!("{}  {}  {} → {}  {}", run.id, run.began, run.from, run.to, run.state)
}
