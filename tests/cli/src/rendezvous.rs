//! A tool that stops half-way through its stream and waits there, so that something can be killed
//! at exactly that moment, however fast or slow the machine is.
//!
//! The tool itself is the real one. A script of its name stands before it on the path: the first
//! command that is meant passes so many bytes, says that it has come so far, and waits for a line
//! in a pipe. Every other command, and every later one, goes straight to the tool.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// How long a run may take until it comes to the meeting, on a machine that has other work to do.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at a file that the script makes: nobody else is disturbed by looking at it.
const LOOK: Duration = Duration::from_millis(5);

/// Where in a command the meeting is.
#[derive(Clone, Copy, Debug)]
pub enum Meeting {
    /// After so many bytes of what it writes.
    InOutput(u32),
    /// After so many bytes of what it reads.
    InInput(u32),
    /// Before it begins.
    Before,
}

/// A meeting that was arranged.
#[derive(Debug)]
pub struct Rendezvous {
    folder: PathBuf,
    /// Open in both directions, so that opening it waits for nobody.
    gate: File,
}

impl Rendezvous {
    /// Arranges that the first command `tool` whose arguments have all of `words` stops; the tool
    /// itself lies in `real`.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn arrange(
        folder: &Path,
        real: &Path,
        tool: &str,
        words: &[&str],
        meeting: Meeting,
    ) -> Result<Self> {
        let folder = folder.join("rendezvous");
        fs::create_dir_all(&folder)?;
        let gate = folder.join("gate");
        let made = Command::new("mkfifo").arg(&gate).status()?;
        ensure!(made.success(), "mkfifo failed");
        let path = folder.join(tool);
        fs::write(&path, script(&folder, &real.join(tool), words, meeting))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let gate = OpenOptions::new().read(true).write(true).open(gate)?;
        Ok(Self { folder, gate })
    }

    /// Puts the script before everything else on a command's path.
    ///
    /// # Errors
    /// When the command has no path of its own.
    pub fn on_path_of(&self, command: &mut Command) -> Result<()> {
        let mut named = command.get_envs().filter(|(name, _)| *name == "PATH");
        let before = named.next().and_then(|(_, value)| value).context("a path of its own")?;
        let mut path = self.folder.clone().into_os_string();
        path.push(":");
        path.push(before);
        command.env("PATH", path);
        Ok(())
    }

    /// Waits until the command has come to the meeting.
    ///
    /// # Errors
    /// When `vaultup`, which is to start it, ends before that, or it takes for ever.
    pub fn wait(&self, vaultup: &mut Child) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.folder.join("reached").exists() {
            let ended = vaultup.try_wait()?;
            ensure!(ended.is_none(), "vaultup ended before the meeting: {ended:?}");
            ensure!(Instant::now() < deadline, "the meeting was waited for in vain");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lets the command go on, if it is still there.
    ///
    /// # Errors
    /// When the gate is gone.
    pub fn let_go(&mut self) -> Result<()> {
        Ok(self.gate.write_all(b"go\n")?)
    }
}

fn script(folder: &Path, real: &Path, words: &[&str], meeting: Meeting) -> String {
    let (folder, real) = (folder.display(), real.display());
    let meant: String =
        words.iter().map(|word| format!("[[ \"$*\" == *{word:?}* ]] || meant=no\n")).collect();
    let through = |bytes| format!("head -c {bytes}; meet; cat");
    let act = match meeting {
        Meeting::InOutput(bytes) => format!("\"$real\" \"$@\" | {{ {}; }}", through(bytes)),
        Meeting::InInput(bytes) => format!("{{ {}; }} | \"$real\" \"$@\"", through(bytes)),
        Meeting::Before => "meet; exec \"$real\" \"$@\"".to_owned(),
    };
    format!(
        "#!/bin/bash\nset -o pipefail\nreal='{real}'\nmeant=yes\n{meant}\
         [[ -e '{folder}/reached' ]] && meant=no\n[[ $meant == no ]] && exec \"$real\" \"$@\"\n\
         meet() {{ : >'{folder}/reached'; read -r _ <'{folder}/gate'; }}\n{act}\n"
    )
}
