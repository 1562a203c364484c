//! Everything that a plugin may use up, each with its reason.
//!
//! Threat: a plugin that takes memory, time, handles or log space until the host or the machine
//! fails. Every number here has a test at the limit and one past it in `tests/`.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

/// Linear memory of one call, all memories together. The largest runtime that we know (CPython in
/// a component) needs 100 MiB; a Rust plugin 2 MiB.
pub const MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Elements of all tables together. CPython has 15,000; an element takes 8 bytes of the host.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Core instances of one component. A Rust plugin has 4, a composed one some dozens.
pub const INSTANCES_MAX: usize = 256;
/// Memories of one component, one for each core module that has its own.
pub const MEMORIES_MAX: usize = 64;
/// Tables of one component.
pub const TABLES_MAX: usize = 256;
/// Host resources that a plugin may hold at a time: running commands, open roots, streams.
pub const HANDLES_MAX: usize = 1024;
/// Wasm stack. Wasmtime's usual value; deeper recursion traps.
pub const WASM_STACK_BYTES_MAX: usize = 512 * 1024;
/// Stack of one call, the host's functions included, of which HTTP with TLS needs most.
pub const CALL_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Bytes that one call from guest to host, or one answer of the guest, may carry. The largest that
/// the contract allows is 1 MiB of content beside its path; an answer of 100,000 entries fits too.
pub const TRANSFER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Random bytes that one call may ask for.
pub const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// How often the host looks at a guest that computes.
pub const TICK_MS: u64 = 10;
/// Time for which a call may occupy a processor, waiting not included. Parsing the largest answer
/// of a tool (8 MiB of JSON) takes under 1 s in a Rust guest and 5 s in an interpreter.
pub const BUSY_MS_MAX: u64 = 10_000;
/// Time that a plugin has after an operation's deadline to say what happened, before its instance
/// is thrown away. The contract's promise to stop within a second after a cancellation, doubled.
pub const DEADLINE_GRACE_MS: u64 = 2_000;
/// Time that a plugin has after the host asked it to stop.
pub const CANCEL_GRACE_MS: u64 = 2_000;
/// The longest deadline of an operation: a week. Longer ones are cut, so that sums do not overflow.
pub const DEADLINE_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// The longest `clock.pause`.
pub const PAUSE_MS_MAX: u64 = 60_000;

/// Commands of one call that run at the same time. Waves and pipelines need two or three.
pub const COMMANDS_AT_ONCE_MAX: usize = 16;
/// Output of one command that a plugin follows line by line, such as a log. What it takes whole is
/// limited to [`system::process::OutputLimits::CONTRACT`].
pub const STREAM_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Answers of commands that are kept for the others of one look: a stack of dozens of components
/// asks hundreds of things.
pub const LOOK_ANSWERS_MAX: usize = 1024;
/// Bytes of these answers, all together. What a namespace of a hundred pods answers has 1 MiB.
pub const LOOK_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Variables that a plugin sets for one command.
pub const ENVIRONMENT_MAX: usize = 128;
/// Text on a command's standard input: a migration script at most.
pub const INPUT_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// The beginning of an artifact that a plugin may read: headers end within a few KiB.
pub const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// What a plugin may read of an artifact at once: large enough that the calls cost nothing.
pub const NEXT_BYTES_MAX: u32 = 1024 * 1024;
/// How far back the bytes that a plugin reads are looked at together with those that follow, so
/// that no secret is overlooked because it lies on the border of two pieces.
pub const SECRET_OVERLAP_BYTES: usize = 16 * 1024;
/// Headers of one HTTP request.
pub const HEADERS_MAX: usize = 128;

/// A log line; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;
/// Log of one call; what comes after it is dropped, and one line says so.
pub const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Log lines of one call.
pub const LOG_LINES_MAX: usize = 10_000;
/// Reports of progress of one call that reach the observer; later ones are dropped.
pub const PROGRESS_REPORTS_MAX: usize = 100_000;
/// The unit in a report of progress.
pub const UNIT_BYTES_MAX: usize = 40;
/// The last bytes of what a plugin wrote to its standard error, for the error of a trap: a Rust
/// panic message with its place.
pub const SAID_BYTES_MAX: usize = 4 * 1024;

/// Text of an error or observation that a plugin gives; what is longer is cut.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// What the platform said; the end is kept, where programs say what went wrong.
pub const PLATFORM_BYTES_MAX: usize = 64 * 1024;
/// What a plugin needs to know to restore a backup: JSON, kept in the backup set's record.
pub const STATE_BYTES_MAX: usize = 64 * 1024;
/// Elements of one list in an answer of a plugin. `files.entries` gives as many.
pub const ANSWER_ELEMENTS_MAX: usize = 100_000;

/// A limit that a plugin reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// [`MEMORY_BYTES_MAX`] and [`MEMORIES_MAX`].
    Memory,
    /// [`TABLE_ELEMENTS_MAX`] and [`TABLES_MAX`].
    Tables,
    /// [`INSTANCES_MAX`].
    Instances,
    /// [`HANDLES_MAX`].
    Handles,
    /// [`WASM_STACK_BYTES_MAX`].
    Stack,
    /// [`BUSY_MS_MAX`].
    Busy,
    /// [`TRANSFER_BYTES_MAX`].
    Transfer,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: usize = 1024 * 1024;
        match self {
            Self::Memory => write!(formatter, "{} MiB of memory", MEMORY_BYTES_MAX / MIB),
            Self::Tables => write!(formatter, "{TABLE_ELEMENTS_MAX} table elements"),
            Self::Instances => write!(formatter, "{INSTANCES_MAX} instances"),
            Self::Handles => write!(formatter, "{HANDLES_MAX} handles"),
            Self::Stack => write!(formatter, "{} KiB of stack", WASM_STACK_BYTES_MAX / 1024),
            Self::Busy => write!(formatter, "{} s of computing", BUSY_MS_MAX / 1000),
            Self::Transfer => write!(formatter, "{} MiB in one call", TRANSFER_BYTES_MAX / MIB),
        }
    }
}

/// The error that ends a guest which went past a limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("more than {0}")]
pub(crate) struct Exceeded(pub(crate) Limit);

/// Counts what the guest of one call takes, all its memories and tables together.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    memory_bytes: usize,
    table_elements: usize,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A guest that asks for more than its own maximum is told so and may go on.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        grow(&mut self.memory_bytes, current, desired, MEMORY_BYTES_MAX, Limit::Memory)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        grow(&mut self.table_elements, current, desired, TABLE_ELEMENTS_MAX, Limit::Tables)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

fn grow(
    total: &mut usize,
    current: usize,
    desired: usize,
    max: usize,
    limit: Limit,
) -> wasmtime::Result<bool> {
    let grown = total.saturating_add(desired.saturating_sub(current));
    if grown > max {
        return Err(wasmtime::Error::new(Exceeded(limit)));
    }
    *total = grown;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "a failing test may panic")]

    use wasmtime::component::{Component, Linker};
    use wasmtime::{Engine, Store};

    use super::*;
    use crate::sandbox::compiling_engine;

    const PAGE_BYTES: usize = 64 * 1024;

    fn instantiate(text: &str) -> wasmtime::Result<()> {
        let engine: Engine = compiling_engine().unwrap();
        let component = Component::new(&engine, wat::parse_str(text).unwrap())?;
        let mut store = Store::new(&engine, Limiter::default());
        store.limiter(|limiter| limiter);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        let linker = Linker::new(&engine);
        let instance = linker.instantiate_pre(&component)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(instance.instantiate_async(&mut store)).map(drop)
    }

    fn limit_of(text: &str) -> Limit {
        let error = instantiate(text).unwrap_err();
        crate::call::limit(&error).unwrap_or_else(|| panic!("no limit: {error:?}"))
    }

    fn with_modules(module: &str, count: usize) -> String {
        let instances = "(core instance (instantiate $m))".repeat(count);
        format!("(component (core module $m {module}) {instances})")
    }

    /// A component whose start function makes so many handles.
    fn with_handles(count: usize) -> String {
        format!(
            r#"(component
                (type $r (resource (rep i32)))
                (core func $new (canon resource.new $r))
                (core module $m
                    (import "" "new" (func $new (param i32) (result i32)))
                    (func $start (local i32)
                        (loop $again
                            (drop (call $new (i32.const 1)))
                            (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                            (br_if $again (i32.lt_u (local.get 0) (i32.const {count})))))
                    (start $start))
                (core instance (instantiate $m (with "" (instance (export "new" (func $new)))))))"#
        )
    }

    #[test]
    fn all_memory_that_is_allowed_can_be_had_and_not_one_page_more() {
        let pages = MEMORY_BYTES_MAX / PAGE_BYTES;
        instantiate(&with_modules(&format!("(memory {pages})"), 1)).unwrap();
        let one_more = with_modules(&format!("(memory {})", pages + 1), 1);
        assert_eq!(limit_of(&one_more), Limit::Memory);
        // All memories of a component count together.
        instantiate(&with_modules(&format!("(memory {})", pages / 2), 2)).unwrap();
        let two = with_modules(&format!("(memory {})", pages / 2 + 1), 2);
        assert_eq!(limit_of(&two), Limit::Memory);
        let memories = with_modules("(memory 1)", MEMORIES_MAX + 1);
        instantiate(&with_modules("(memory 1)", MEMORIES_MAX)).unwrap();
        assert_eq!(limit_of(&memories), Limit::Memory);
    }

    #[test]
    fn memory_that_grows_is_counted_like_memory_that_was_there() {
        let growing = |pages: usize| {
            let grow = format!("(func $start (drop (memory.grow (i32.const {pages}))))");
            with_modules(&format!("(memory 1) {grow} (start $start)"), 1)
        };
        let pages = MEMORY_BYTES_MAX / PAGE_BYTES;
        instantiate(&growing(pages - 1)).unwrap();
        assert_eq!(limit_of(&growing(pages)), Limit::Memory);
        // Past its own maximum a guest is told so and goes on.
        let own = "(memory 1 2) (func $start (if (i32.ne (memory.grow (i32.const 2)) \
                   (i32.const -1)) (then unreachable))) (start $start)";
        instantiate(&with_modules(own, 1)).unwrap();
    }

    #[test]
    fn all_table_elements_that_are_allowed_can_be_had_and_not_one_more() {
        instantiate(&with_modules(&format!("(table {TABLE_ELEMENTS_MAX} funcref)"), 1)).unwrap();
        let one_more = with_modules(&format!("(table {} funcref)", TABLE_ELEMENTS_MAX + 1), 1);
        assert_eq!(limit_of(&one_more), Limit::Tables);
        instantiate(&with_modules("(table 1 funcref)", TABLES_MAX)).unwrap();
        assert_eq!(
            limit_of(&with_modules("(table 1 funcref) (table 1 funcref)", 129)),
            Limit::Tables
        );
    }

    #[test]
    fn all_instances_that_are_allowed_can_be_had_and_not_one_more() {
        instantiate(&with_modules("", INSTANCES_MAX)).unwrap();
        assert_eq!(limit_of(&with_modules("", INSTANCES_MAX + 1)), Limit::Instances);
    }

    #[test]
    fn all_handles_that_are_allowed_can_be_held_and_not_one_more() {
        instantiate(&with_handles(HANDLES_MAX)).unwrap();
        assert_eq!(limit_of(&with_handles(HANDLES_MAX + 1)), Limit::Handles);
    }

    #[test]
    fn recursion_goes_as_deep_as_the_stack_allows_and_no_deeper() {
        let recursion = |depth: usize| {
            let deeper = "(func $deeper (param i32) (if (local.get 0) (then \
                          (call $deeper (i32.sub (local.get 0) (i32.const 1))))))";
            let start = format!("(func $start (call $deeper (i32.const {depth}))) (start $start)");
            with_modules(&format!("{deeper} {start}"), 1)
        };
        // A frame of this function takes between 16 and 64 bytes.
        instantiate(&recursion(WASM_STACK_BYTES_MAX / 64)).unwrap();
        assert_eq!(limit_of(&recursion(WASM_STACK_BYTES_MAX / 16 + 1)), Limit::Stack);
        let endless = "(func $deeper (call $deeper)) (start $deeper)";
        assert_eq!(limit_of(&with_modules(endless, 1)), Limit::Stack);
    }
}
