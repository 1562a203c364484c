//! The host's side of the contract, one file an interface, and the few WASI interfaces that
//! language runtimes need.
//!
//! Everything is denied unless the manifest asks for it and the operator granted that: each
//! import decides by [`crate::state::Facts`] alone, never by what the guest says of itself.

use system::redact::Redactor;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, io, random};
use wasmtime_wasi::random::WasiRandom;

use crate::bindings::host::vaultup::plugin as contract;
use crate::state::{Denial, State};
use contract::types::Error as PluginError;

pub(crate) mod artifact;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod process;
mod simple;

/// Links one interface, by the name under which a component imports it. Only interfaces that
/// [`registry::inspect`] lets pass come here; an unknown one is left out, and instantiation fails.
pub(crate) fn link(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    let (interface, _version) = import.split_once('@').unwrap_or((import, ""));
    let l = linker;
    type Own = HasSelf<State>;
    match interface {
        "vaultup:plugin/types" => contract::types::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/process" => contract::process::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/artifact" => contract::artifact::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/http" => contract::http::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/files" => contract::files::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/secret" => contract::secret::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/log" => contract::log::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/progress" => contract::progress::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/cancel" => contract::cancel::add_to_linker::<_, Own>(l, |state| state),
        "vaultup:plugin/clock" => contract::clock::add_to_linker::<_, Own>(l, |state| state),
        wasi => link_wasi(l, wasi),
    }
}

fn link_wasi(l: &mut Linker<State>, interface: &str) -> wasmtime::Result<()> {
    match interface {
        "wasi:cli/environment" => cli::environment::add_to_linker::<_, WasiCli>(l, State::cli),
        "wasi:cli/exit" => cli::exit::add_to_linker::<_, WasiCli>(l, State::cli),
        "wasi:cli/stdin" => cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli),
        "wasi:cli/stdout" => cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli),
        "wasi:cli/stderr" => cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli),
        "wasi:cli/terminal-input" => {
            cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)
        }
        "wasi:cli/terminal-output" => {
            cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)
        }
        "wasi:cli/terminal-stdin" => {
            cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)
        }
        "wasi:cli/terminal-stdout" => {
            cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)
        }
        "wasi:cli/terminal-stderr" => {
            cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)
        }
        "wasi:clocks/wall-clock" => {
            clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)
        }
        "wasi:clocks/monotonic-clock" => {
            clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)
        }
        "wasi:io/error" => io::error::add_to_linker::<_, HasTable>(l, |state| &mut state.table),
        "wasi:io/poll" => io::poll::add_to_linker::<_, HasTable>(l, |state| &mut state.table),
        "wasi:io/streams" => io::streams::add_to_linker::<_, HasTable>(l, |state| &mut state.table),
        "wasi:random/random" => {
            random::random::add_to_linker::<_, WasiRandom>(l, |state| state.ctx().ctx.random())
        }
        "wasi:random/insecure" => {
            random::insecure::add_to_linker::<_, WasiRandom>(l, |state| state.ctx().ctx.random())
        }
        "wasi:random/insecure-seed" => {
            random::insecure_seed::add_to_linker::<_, WasiRandom>(l, |s| s.ctx().ctx.random())
        }
        _ => Ok(()),
    }
}

/// What the guest is told of a failure of the vault.
pub(crate) fn vault_denial(error: vault::Error) -> Denial {
    let case = match error {
        vault::Error::NoSpace { .. } => PluginError::NoSpace,
        vault::Error::Damaged { .. } | vault::Error::ReadBack { .. } => PluginError::Corrupt,
        vault::Error::NotInSet { .. } | vault::Error::NoSet { .. } => PluginError::NotFound,
        vault::Error::Name { .. }
        | vault::Error::NotPublishable { .. }
        | vault::Error::TooMuch { .. } => PluginError::Denied,
        _ => PluginError::Failed,
    };
    let platform = std::error::Error::source(&error).map_or_else(String::new, |s| s.to_string());
    Denial::Told(case(contract::types::Said { message: error.to_string(), platform }))
}

/// Bytes of the platform's for a guest: texts lose their secrets, everything else stays as it is.
pub(crate) fn without_secrets(redactor: &Redactor, bytes: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&bytes);
    match redactor.redact(&text) {
        redacted if redacted != text => redacted.into_owned().into_bytes(),
        _ => bytes,
    }
}

/// Whether bytes hold a secret.
pub(crate) fn holds_secret(redactor: &Redactor, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    redactor.redact(&text) != text
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use wasmtime::Store;
    use wasmtime::component::Component;
    use wasmtime_wasi::{WasiCtx, WasiCtxView};

    use super::*;
    use crate::limits::RANDOM_BYTES_MAX;

    struct Small {
        ctx: WasiCtx,
        table: ResourceTable,
    }

    impl WasiView for Small {
        fn ctx(&mut self) -> WasiCtxView<'_> {
            WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
        }
    }

    /// Runs a component whose start function asks for so many random bytes.
    fn ask_for(bytes: u64) -> wasmtime::Result<()> {
        let text = format!(
            r#"(component
                (import "wasi:random/random@0.2.0" (instance $random
                    (export "get-random-bytes"
                        (func (param "len" u64) (result (list u8))))))
                (core module $libc
                    (memory (export "memory") 8)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                        (i32.const 1024)))
                (core instance $libc (instantiate $libc))
                (core func $get (canon lower (func $random "get-random-bytes")
                    (memory (core memory $libc "memory"))
                    (realloc (core func $libc "realloc"))))
                (core module $m
                    (import "" "get" (func $get (param i64 i32)))
                    (func $start (call $get (i64.const {bytes}) (i32.const 16)))
                    (start $start))
                (core instance (instantiate $m (with "" (instance (export "get" (func $get)))))))"#
        );
        let engine = crate::sandbox::compiling_engine().unwrap();
        let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut linker: Linker<Small> = Linker::new(&engine);
        random::random::add_to_linker::<_, WasiRandom>(&mut linker, |s| s.ctx().ctx.random())?;
        let ctx = crate::state::wasi().build();
        let mut store = Store::new(&engine, Small { ctx, table: ResourceTable::new() });
        store.set_epoch_deadline(1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let instance = linker.instantiate_pre(&component)?;
        runtime.block_on(instance.instantiate_async(&mut store)).map(drop)
    }

    #[test]
    fn as_many_random_bytes_are_given_as_are_allowed_and_not_one_more() {
        ask_for(RANDOM_BYTES_MAX).unwrap();
        ask_for(RANDOM_BYTES_MAX + 1).unwrap_err();
    }
}
