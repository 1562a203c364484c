//! A helm release under vaultup over bare helm: an upgrade, the return after an upgrade that fails,
//! and how soon the reason of a failing pod is on the screen.
//!
//! Both sides have a release of the same chart in a namespace of its own on the same real cluster,
//! and take turns. The chart has what a runbook of the kind asks for: three replicas, at most one
//! away and one more, a readiness probe after 10 s and every 5 s. vaultup's return is measured from
//! the moment at which its failed step was recorded until the previous revision is complete again;
//! helm's is `helm rollback --wait` after an upgrade that failed in the same way. The reason of a
//! pod is late by what lies between `kubectl get events --watch` printing it and vaultup's line.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use stage::{Cluster, Namespace, Programs};

use super::Figures;
use super::statistics::{described, in_turns, median, median_ratio};
use crate::process;
use crate::screen;
use crate::workspace::Workspace;

/// Upgrades of each side.
const UPGRADES: usize = 5;
/// Returns of each side: each waits for an upgrade to fail.
const RETURNS: usize = 5;
/// What an upgrade under vaultup may cost in proportion to bare helm; what is above is compared
/// with the goal in seconds.
const UPGRADE_RATIO: f64 = 1.02;
/// How long a failing upgrade is waited for: until the probe has failed more than once.
const FAILING: &str = "25s";
/// What the probe's warning says.
const REASON: &str = "Readiness probe failed";
const VALUES: &str = "replicas: 3
strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}
probe: {delay: 10, period: 5}
";
const DAY_SECONDS: f64 = 86_400.0;
/// What is upgraded to in turns, and what never gets ready.
const GOOD: [&str; 2] = ["1.0.0", "2.0.0"];
const BAD: &str = "2.0.1-bad";

pub(super) fn run(workspace: &Workspace) -> Result<Figures> {
    let folder = workspace.scratch("bench/kubernetes");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let cluster = screen::step("cluster", || Cluster::start(&workspace.root))?;
    let programs = Programs::below(&workspace.target)?;
    let ours = Side::open(&cluster, &folder.join("vaultup"), &programs)?;
    let theirs = Side::open(&cluster, &folder.join("helm"), &programs)?;
    let [upgraded, bare] =
        in_turns(UPGRADES, [&|| ours.upgraded_by_vaultup(), &|| theirs.upgraded_by_helm()])?;
    let lates = std::cell::RefCell::new(Vec::new());
    let [returned, rolled_back] = in_turns(
        RETURNS,
        [
            &|| {
                let (returned, late) = ours.returned_by_vaultup()?;
                lates.borrow_mut().push(late.as_secs_f64());
                Ok(returned)
            },
            &|| theirs.rolled_back_by_helm(),
        ],
    )?;
    for (name, all) in [
        ("upgrade under vaultup", &upgraded),
        ("helm upgrade", &bare),
        ("return under vaultup", &returned),
        ("helm rollback", &rolled_back),
    ] {
        screen::say(format_args!("{name}: {}", described(all)));
    }
    let pairs = upgraded.iter().zip(&bare);
    let over = pairs.map(|(ours, bare)| ours.as_secs_f64() - UPGRADE_RATIO * bare.as_secs_f64());
    Ok(Figures::from([
        ("kubernetes-upgrade-overhead-s", median(&over.collect::<Vec<f64>>())),
        ("kubernetes-upgrade-ratio", median_ratio(&upgraded, &bare)),
        ("kubernetes-return-ratio", median_ratio(&returned, &rolled_back)),
        ("kubernetes-reason-s", median(&lates.into_inner())),
    ]))
}

/// A release in a namespace of its own.
struct Side {
    namespace: Namespace,
}

impl Side {
    fn open(cluster: &Cluster, folder: &Path, programs: &Programs) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let namespace = cluster.namespace(folder, programs, &["helm"])?;
        for version in [GOOD[0], GOOD[1], BAD] {
            let entry = format!("[components.shop]\nchart = \"charts/{version}\"\n");
            namespace.chart(version, &entry)?;
        }
        fs::write(folder.join("values.yaml"), VALUES)?;
        let side = Self { namespace };
        side.write_stack("5m")?;
        side.namespace.helm(&[
            "install",
            "shop",
            "charts/1.0.0",
            "--values=values.yaml",
            "--wait",
        ])?;
        Ok(side)
    }

    fn write_stack(&self, within: &str) -> Result<()> {
        let stack = format!(
            "format = 1\n[stack]\nname = \"shop\"\n[components.shop]\nplugin = \"helm\"\n\
             within = \"{within}\"\nsettings = {{ release = \"shop\", namespace = \"{}\", \
             values = [\"values.yaml\"] }}\n",
            self.namespace.name()
        );
        Ok(fs::write(self.namespace.folder().join("vaultup.toml"), stack)?)
    }

    /// The good release that does not run.
    fn other(&self) -> Result<&'static str> {
        let serving = self.namespace.serving()?;
        let [image] = serving.as_slice() else { bail!("pods of several releases: {serving:?}") };
        Ok(if image.ends_with(GOOD[0]) { GOOD[1] } else { GOOD[0] })
    }

    fn upgraded_by_vaultup(&self) -> Result<Duration> {
        let to = self.other()?;
        process::timed(self.namespace.command(&["run", "--to", to]).stderr(Stdio::null()))
    }

    fn upgraded_by_helm(&self) -> Result<Duration> {
        let chart = format!("charts/{}", self.other()?);
        let words = ["upgrade", "shop", &chart, "--values=values.yaml", "--wait"];
        process::timed(self.namespace.program("helm", &words).stderr(Stdio::null()))
    }

    /// From the failure's record to the previous revision, and how late the pod's reason was.
    fn returned_by_vaultup(&self) -> Result<(Duration, Duration)> {
        self.write_stack(FAILING)?;
        let words = ["get", "events", "--watch-only", "--output=custom-columns=M:.message"];
        let mut watch = self.namespace.program("kubectl", &words).stdout(Stdio::piped()).spawn()?;
        let reported = first_line(watch.stdout.take().context("its output")?);
        let mut run = self.namespace.command(&["run", "--to", BAD]);
        let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let shown = first_line(run.stderr.take().context("its errors")?);
        let status = run.wait()?;
        end(&mut watch)?;
        self.write_stack("5m")?;
        ensure!(status.code() == Some(3), "vaultup ended with {status} and not with 3");
        let (reported, shown) = (moment(&reported)?, moment(&shown)?);
        Ok((self.return_of_the_last_run()?, shown.saturating_duration_since(reported)))
    }

    /// What the record of the last run says of its way back.
    fn return_of_the_last_run(&self) -> Result<Duration> {
        let ran = self.namespace.vaultup(&["report", "--format", "json"])?;
        let report: Value = serde_json::from_str(&ran.output)?;
        let steps = report["steps"].as_array().context("a report has steps")?;
        let ended = |step: &Value| {
            let began = seconds_of_day(step["began"].as_str()?)?;
            Some(began + step["milliseconds"].as_f64()? / 1_000.0)
        };
        let said = |step: &Value, word: &str| {
            step["what"].as_str().is_some_and(|what| what.contains(word))
        };
        let failed = steps.iter().find(|step| said(step, "wave")).and_then(ended);
        let back = steps.iter().find(|step| said(step, "revision")).and_then(ended);
        let (Some(failed), Some(back)) = (failed, back) else {
            bail!("the report tells of no way back: {report}");
        };
        // It may have been midnight meanwhile.
        Ok(Duration::from_secs_f64((back - failed).rem_euclid(DAY_SECONDS)))
    }

    fn rolled_back_by_helm(&self) -> Result<Duration> {
        let history = self.namespace.history("shop")?;
        let deployed = history.iter().rev().find(|row| row.1 == "deployed");
        let revision = deployed.context("a revision is deployed")?.0.to_string();
        let (chart, timeout) = (format!("charts/{BAD}"), format!("--timeout={FAILING}"));
        let words = ["upgrade", "shop", &chart, "--values=values.yaml", "--wait", &timeout];
        let failed = self.namespace.program("helm", &words).output()?;
        ensure!(!failed.status.success(), "an image that never gets ready was upgraded to");
        let words = ["rollback", "shop", &revision, "--wait"];
        process::timed(self.namespace.program("helm", &words).stderr(Stdio::null()))
    }
}

/// Listens until the end, and says when the reason was first told.
fn first_line(stream: impl Read + Send + 'static) -> Receiver<Instant> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut is_told = false;
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if !is_told && line.contains(REASON) {
                is_told = true;
                // Who asked may be gone already, and then nobody needs to know.
                let _ = sender.send(Instant::now());
            }
        }
    });
    receiver
}

/// Seconds since midnight of a moment such as `2026-11-21T10:23:14.75Z`.
fn seconds_of_day(moment: &str) -> Option<f64> {
    let (_, time) = moment.trim_end_matches('Z').split_once('T')?;
    let parts = time.split(':').map(str::parse::<f64>).collect::<Result<Vec<_>, _>>().ok()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    Some((hours * 60.0 + minutes) * 60.0 + seconds)
}

fn moment(said: &Receiver<Instant>) -> Result<Instant> {
    said.recv().context("the reason of the failing pod was never told")
}

fn end(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::seconds_of_day;

    #[test]
    fn moments_are_told_apart_within_a_day() {
        assert_eq!(seconds_of_day("2026-11-21T01:02:03.5Z"), Some(3_723.5));
        assert_eq!(seconds_of_day("2026-11-21"), None);
    }
}
