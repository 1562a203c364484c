//! Write plugins for vaultup.
//!
//! A plugin teaches vaultup one platform or one kind of datastore. It is a WebAssembly component:
//! it can reach nothing but what its manifest asks for and the operator grants. This crate is all
//! that it needs; nothing has to be known of WebAssembly or WIT.
//!
//! # What a plugin is
//! A type that implements [`Plugin`] and one or more of
//! - [`Deploy`]: puts releases of a component onto the platform, and takes them off again
//! - [`HealthCheck`]: measures how it is
//! - [`Backup`] and [`Restore`]: take and prove backups of a datastore, and bring them back
//! - [`Migrate`]: says what schema there is, and changes it
//!
//! and a line with [`plugin!`] that names what is exported. The rules that make an upgrade safe are
//! few: report facts and decide nothing, carry out one operation at a time, let every changing call
//! be made twice without harm, answer honestly with `Unknown` when the platform cannot tell.
//!
//! # A whole plugin
//! ```
//! use serde::Deserialize;
//! use vaultup_sdk::health_check::{Measurement, Verdict};
//! use vaultup_sdk::{Error, HealthCheck, Operation, Plugin, process};
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "kebab-case")]
//! struct Settings {
//!     database: String,
//!     replicas_min: u32,
//! }
//!
//! struct Redis;
//!
//! impl Plugin for Redis {
//!     type Settings = Settings;
//! }
//!
//! impl HealthCheck for Redis {
//!     fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
//!         let settings = &operation.settings;
//!         let lines = process::command("redis-cli")
//!             .arguments(["-n", &settings.database, "info", "replication"])
//!             .read_lines()?;
//!         let replicas = replicas(&lines)?;
//!         let enough = replicas >= settings.replicas_min;
//!         let verdict = if enough { Verdict::Healthy } else { Verdict::Degraded };
//!         Ok(vec![Measurement::number("replicas", replicas.into(), "1", verdict)])
//!     }
//! }
//!
//! vaultup_sdk::plugin!(Redis: health-check);
//!
//! // What reads a tool's answer needs no component and no tool to be tested.
//! fn replicas(lines: &[String]) -> Result<u32, Error> {
//!     let number = lines.iter().find_map(|line| line.strip_prefix("connected_slaves:"));
//!     number
//!         .and_then(|number| number.trim().parse().ok())
//!         .ok_or_else(|| Error::corrupt("`info replication` names no connected replicas"))
//! }
//!
//! # const MANIFEST: &str = r#"
//! #     format = 1
//! #     name = "redis"
//! #     version = "0.1.0"
//! #     contract = "0.1"
//! #     description = "Redis and what replicates it"
//! #     exports = ["health-check"]
//! #     tools = [{ name = "redis-cli" }]
//! #     [[process]]
//! #     class = "read"
//! #     argv = ["redis-cli", "-n", "{database:number}", "info", "replication"]
//! # "#;
//! # fn main() -> Result<(), Error> {
//! // `MANIFEST` is `include_str!("../plugin.toml")`: a command that it does not say is refused.
//! let machine = vaultup_sdk::testing::Machine::new().with_manifest(MANIFEST)?.install();
//! machine.answer("redis-cli", |_| {
//!     vaultup_sdk::testing::Reply::output("role:master\r\nconnected_slaves:1\r\n")
//! });
//! let settings = Settings { database: "0".to_owned(), replicas_min: 2 };
//! let measured = Redis::probe(&machine.operation(settings))?;
//! assert_eq!(measured[0].verdict, Verdict::Degraded);
//! # Ok(())
//! # }
//! ```
//! with `crate-type = ["cdylib", "rlib"]` in its `Cargo.toml`, and beside that its `plugin.toml`:
//! ```toml
//! format      = 1
//! name        = "redis"
//! version     = "0.1.0"
//! contract    = "0.1"
//! description = "Redis and what replicates it"
//! exports     = ["health-check"]
//!
//! [[tools]]
//! name = "redis-cli"
//! ask  = ["--version"]
//!
//! [[process]]
//! class = "read"
//! argv  = ["redis-cli", "-n", "{database:number}", "info", "replication"]
//!
//! [settings]
//! type     = "object"
//! required = ["database", "replicas-min"]
//! additionalProperties = false
//! properties.database     = { type = "string" }
//! properties.replicas-min = { type = "integer", minimum = 0 }
//! ```
//!
//! # What the host gives
//! [`process`], [`artifact`], [`files`], [`http`], [`secret`], [`log`], [`progress`], [`cancel`]
//! and [`clock`]. Everything else that the standard library offers (files, sockets, environment,
//! threads) does not exist inside of a component.
//!
//! # Invariants
//! - A plugin keeps no state between calls; each call may run in a new instance.
//! - A call's [`Operation::deadline`] bounds everything that is done in it, commands included.

pub mod artifact;
pub mod backup;
#[doc(hidden)]
pub mod bindings;
pub mod cancel;
pub mod clock;
pub mod deploy;
mod error;
pub mod files;
pub mod health_check;
pub mod host;
pub mod http;
pub mod log;
pub mod migrate;
mod operation;
pub mod process;
pub mod progress;
pub mod restore;
pub mod secret;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use backup::Backup;
pub use deploy::Deploy;
pub use error::{Case, Error, PLATFORM_BYTES_MAX};
pub use health_check::HealthCheck;
pub use migrate::Migrate;
pub use operation::{
    Commands, Copied, Figure, Observation, Operation, Plugin, Release, Said, Target,
};
pub use restore::Restore;

/// Makes a type the plugin of this crate, and exports the interfaces that are named: any of
/// `backup`, `deploy`, `health-check`, `migrate`, `restore`. The manifest's `exports` names the
/// same.
///
/// ```compile_fail
/// struct Incomplete;
/// impl vaultup_sdk::Plugin for Incomplete {
///     type Settings = ();
/// }
/// // `Incomplete` implements no `HealthCheck`.
/// vaultup_sdk::plugin!(Incomplete: health-check);
/// ```
#[macro_export]
macro_rules! plugin {
    ($plugin:ident : $($interfaces:tt)+) => {
        $crate::__export!($plugin $($interfaces)+);
    };
}

/// One step of [`plugin!`] for each interface.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ident) => {};
    ($plugin:ident , $($rest:tt)*) => {
        $crate::__export!($plugin $($rest)*);
    };
    ($plugin:ident backup $($rest:tt)*) => {
        $crate::__export_one!($plugin, Backup, backs_up);
        $crate::__export!($plugin $($rest)*);
    };
    ($plugin:ident deploy $($rest:tt)*) => {
        $crate::__export_one!($plugin, Deploy, deploys);
        $crate::__export!($plugin $($rest)*);
    };
    ($plugin:ident health-check $($rest:tt)*) => {
        $crate::__export_one!($plugin, HealthCheck, checks_health);
        $crate::__export!($plugin $($rest)*);
    };
    ($plugin:ident migrate $($rest:tt)*) => {
        $crate::__export_one!($plugin, Migrate, migrates);
        $crate::__export!($plugin $($rest)*);
    };
    ($plugin:ident restore $($rest:tt)*) => {
        $crate::__export_one!($plugin, Restore, restores);
        $crate::__export!($plugin $($rest)*);
    };
}

/// Natively there is nothing to export, but what is named must be implemented all the same.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    ($plugin:ident, $interface:ident, $world:ident) => {
        const _: fn() = || {
            fn is_implemented<P: $crate::$interface>() {}
            is_implemented::<$plugin>();
        };
        #[cfg(target_family = "wasm")]
        $crate::bindings::$world::export!($plugin with_types_in $crate::bindings::$world);
    };
}
