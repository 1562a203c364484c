//! The sandbox with real components: those of `cargo xtask plugins`, among them the hostile one.
//!
//! One program, so that wasmtime is linked once; a module for each concern.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

extern crate vaultup_sandbox as sandbox;

mod cold;
mod compiling;
mod effects;
mod grants;
mod hostile;
mod limits;
mod rules;
mod support;

use std::io::Write;

/// The compiling child: other tests start this very program with this test's name.
#[test]
#[ignore = "the compiling child that other tests start, as a process of its own"]
fn compiling_child() {
    let arguments: Vec<String> = std::env::args().collect();
    let [.., address_space, processor, component, directory] = arguments.as_slice() else {
        panic!("too few arguments: {arguments:?}");
    };
    let limits = sandbox::CompileLimits {
        address_space_bytes: address_space.parse().unwrap(),
        processor_s: processor.parse().unwrap(),
    };
    let compiled = sandbox::compile_in_this_process(component.as_ref(), directory.as_ref(), limits);
    if let Err(error) = compiled {
        let refused = matches!(error, sandbox::Error::Refused { .. });
        writeln!(std::io::stderr(), "{error}").unwrap();
        std::process::exit(if refused { sandbox::COMPILER_REFUSED_STATUS.into() } else { 1 });
    }
}
