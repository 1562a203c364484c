//! A run that stands still half-way through its migration until it is let go, so that what happens
//! there can be tried without a race: the sample application says by a file that it has come there,
//! and looking for that file disturbs nobody. (Reading the store in a loop does: it takes turns with
//! the migration on one lock.)

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shop::Shop;

/// The release that can stand still, as the sample application has it.
const RELEASE: &str = "3.0.0";
/// The fault that makes it do so.
const FAULT: &str = "migrate-pauses";
/// The file in its directory while it does.
const MARK: &str = "half-way";
/// How long a run may take to get there.
const REACHED_WITHIN: Duration = Duration::from_secs(180);
/// How often it is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

impl Shop {
    /// Installs release 3.0.0 so that its migration stands still half-way, carries out `command`,
    /// which upgrades to it, and returns when it has come there.
    ///
    /// # Errors
    /// When the command ends before, or does not come there in three minutes; it is killed then.
    pub fn until_half_way(&self, command: &mut Command) -> Result<Child> {
        self.install(RELEASE, &[FAULT])?;
        let mut child = command.spawn().context("cannot start vaultup")?;
        let deadline = Instant::now() + REACHED_WITHIN;
        while !self.half_way_mark().exists() {
            if let Some(status) = child.try_wait()? {
                let shown = crate::Ran::of(child.wait_with_output()?).shown();
                bail!("it ended with {status} before its migration was half-way: {shown}");
            }
            if Instant::now() >= deadline {
                child.kill()?;
                bail!("no migration was half-way within {} s", REACHED_WITHIN.as_secs());
            }
            sleep(LOOK_INTERVAL);
        }
        ensure!(self.schema()?.1, "a migration that is half-way has left no trace in the store");
        Ok(child)
    }

    /// Lets the migration go on that stands still.
    ///
    /// # Errors
    /// When none does.
    pub fn go_on(&self) -> Result<()> {
        fs::remove_file(self.half_way_mark()).context("no migration stands still")
    }

    fn half_way_mark(&self) -> PathBuf {
        self.folder().join("releases").join(RELEASE).join(MARK)
    }
}
