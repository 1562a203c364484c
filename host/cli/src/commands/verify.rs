//! `vaultup verify`: probe everything that runs.

use std::sync::Arc;

use clap::Args;
use model::Exit;
use runner::Platform;
use runner::news::Silence;
use serde_json::json;

use crate::arguments::{Global, ProjectArguments};
use crate::error::Fault;
use crate::machinery::{block_on, gather, project};
use crate::shell::{Paint, Shell};

/// Arguments of `vaultup verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultup verify\n  vaultup verify --only orders")]
pub(crate) struct VerifyArguments {
    /// Only this component or datastore.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// When a plugin cannot be asked.
pub(crate) fn execute(
    arguments: &VerifyArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let machinery = gather(Arc::new(Silence))?;
        let only = arguments.only.as_deref();
        let platform = Platform::open_only(machinery, project, only).await?;
        let seen = platform.health(only).await?;
        let well = seen.iter().all(|subject| subject.well);
        shell.answer(&json!({ "verify": seen, "well": well }), || {
            let lines = seen.iter().flat_map(|subject| {
                subject.measurements.iter().map(|its| {
                    let failing = its.verdict >= model::contract::Verdict::Failing;
                    let mark = if failing {
                        shell.paint(Paint::Red, "✗")
                    } else {
                        shell.paint(Paint::Green, "✓")
                    };
                    let unit =
                        if its.unit.is_empty() { String::new() } else { format!(" {}", its.unit) };
                    format!(
                        "{mark} {:<16} {:<24} {}{unit}  {}",
                        subject.subject, its.name, its.value, its.detail
                    )
                })
            });
            lines.collect::<Vec<_>>().join("\n")
        });
        // Nothing was begun that has to be ended: the kernel takes all of it back at once.
        std::mem::forget(platform);
        Ok(if well { Exit::Done } else { Exit::Failed })
    })
}
