//! The `vaultup` command line.
//!
//! A command is one file under `commands/`: its arguments (their doc comments are the help text)
//! and an `execute` that hands plain values to `runner`. Everything that is shown goes through
//! [`shell::Shell`]: data on standard output, the rest on standard error.

mod arguments;
mod commands;
mod error;
mod explain;
mod init;
mod machinery;
mod screen;
mod shell;
#[cfg(test)]
mod spoken;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::shell::Shell;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return shell::usage(&error),
    };
    let shell = Shell::new(&arguments.global);
    shell.follow_diagnostics(arguments.global.verbose);
    let exit = match commands::execute(arguments, &shell) {
        Ok(exit) => exit,
        Err(fault) => {
            shell.fault(&*fault);
            fault.exit()
        }
    };
    ExitCode::from(exit.status())
}
