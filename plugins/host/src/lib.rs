//! Plain programs on machines: release directories, a link that is switched atomically, and the
//! operator's own commands to start, stop and look.
//!
//! ```text
//! /srv/shop/
//!   releases/1.0.0/…         what was unpacked, never changed
//!   releases/2.0.0/…
//!   current -> releases/1.0.0      with one instance: `current`
//!   links/a -> ../releases/1.0.0   with several: `links`, a directory with one link an instance
//! ```
//! Instances are brought to a release one after another: drain, stop, switch the link, start, wait
//! until the status command says that it is ready. So with two links, instance `a` can run the new
//! release while `b` still runs the previous one.
//!
//! # Settings
//! | key | meaning |
//! |---|---|
//! | `releases` | directory with `<version>/` |
//! | `current` | path of the link, if there is one instance |
//! | `links` | directory of the links, one an instance, named like it; in place of `current` |
//! | `instances` | a count, or a list of names or `{ name, address }`; default: one, `main` |
//! | `start`, `stop` | commands; each returns when it is done |
//! | `status` | a command that only looks; see [`status`] for what it answers |
//! | `drain` | run before an instance is stopped; returns when requests in flight are done |
//! | `hold-traffic`, `release-traffic` | hold requests to the whole component, let them in |
//! | `traffic` | a command that only looks and prints `open` or `held` |
//! | `prefetch` | brings a release directory that is missing: complete, or not at all |
//! | `data` | a path of the component's own, for `${data}` |
//! | `environment` | variables of every command: a text or `{ secret = "…" }` |
//!
//! Variables in commands: `${instance}`, `${address}`, `${release}` (the version),
//! `${release-directory}`, `${current}` (as it is written), `${data}` (absolute); in `prefetch`
//! also `${artifact}`, as the release says it. With `links`, an instance's link is written such as
//! `/srv/shop/links/${instance}`. A release's `migrate.command` runs in its release directory and
//! knows `${release}`, `${release-directory}`, `${datastore}` and `${data}`: it should take the
//! path of what it migrates from `${data}`, which is another one in a rehearsal. What a release
//! `requires` (or the file of variables that its `config` names) and `environment` does not have is
//! told in the plan, and stops nothing: a program may read files of its own.
//!
//! A command is an argument list, never a shell's. What a `start` leaves running gets no pipe.
//!
//! A copy for a rehearsal needs links of its own, with `.vaultup-` in their name (`current =
//! "current.vaultup-copy"`), and commands, data and addresses of its own.
//!
//! # Invariants
//! - A link is switched only while its instance does not run, so an instance that runs was started
//!   from what its link says.
//! - Release directories are never written to.
//! - Whatever was interrupted is recognised from links and status alone; no marker is kept.

mod act;
mod deploy;
mod health;
mod link;
mod migrate;
mod seen;
mod service;
mod settings;
pub mod status;
#[cfg(test)]
mod tests;
mod twin;

pub use settings::{Instance, Settings};

/// The plugin.
pub struct HostPlugin;

impl vaultup_sdk::Plugin for HostPlugin {
    type Settings = Settings;
}

vaultup_sdk::plugin!(HostPlugin: deploy, migrate, health-check);
