//! Compiling in a limited child, and the cache of what it made.

use std::time::Duration;

use sandbox::{
    COMPILER_ADDRESS_SPACE_BYTES_MAX, COMPILER_PROCESSOR_S_MAX, CompileLimits, Error, Sandbox,
    Settings,
};

use crate::support::{House, compiler, component};

#[tokio::test]
async fn a_plugin_is_compiled_once_and_then_only_loaded() {
    let house = House::new();
    let granted = house.grant(&component("evil"));
    assert!(matches!(house.sandbox.load(&granted), Err(Error::NotCompiled { .. })));
    assert!(!house.sandbox.is_compiled(granted.digest()));
    let compiler = compiler(CompileLimits::default());
    house.sandbox.compile(&granted.read().unwrap(), granted.digest(), &compiler).await.unwrap();
    assert!(house.sandbox.is_compiled(granted.digest()));
    assert_eq!(house.sandbox.load(&granted).unwrap().name().as_str(), "evil");
    assert_eq!(std::fs::read_dir(house.cache()).unwrap().count(), 1, "nothing else is left");
    // Another process, the same cache.
    let settings = Settings { cache_directory: house.cache() };
    Sandbox::new(&settings).unwrap().load(&granted).unwrap();
}

#[tokio::test]
async fn damaged_code_is_not_loaded_but_compiled_anew() {
    let house = House::new();
    let granted = house.grant(&component("evil"));
    let compiler = compiler(CompileLimits::default());
    house.sandbox.load_or_compile(&granted, &compiler).await.unwrap();
    let file = std::fs::read_dir(house.cache()).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&file).unwrap();
    for position in [0, 30, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[position] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let loaded = house.sandbox.load(&granted).map(drop);
        assert!(matches!(loaded, Err(Error::NotCompiled { .. })), "byte {position}: {loaded:?}");
    }
    house.sandbox.load_or_compile(&granted, &compiler).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), good, "compiling is reproducible");
}

#[tokio::test]
async fn a_compilation_past_its_limits_is_ended_and_leaves_nothing() {
    let house = House::new();
    let granted = house.grant(&component("evil"));
    let (bytes, digest) = (&granted.read().unwrap()[..], granted.digest());
    let most = CompileLimits::default();
    let numbers = (most.address_space_bytes, most.processor_s);
    assert_eq!(numbers, (COMPILER_ADDRESS_SPACE_BYTES_MAX, COMPILER_PROCESSOR_S_MAX));
    // 64 MiB do not even hold the compiler's threads.
    let little = CompileLimits { address_space_bytes: 64 << 20, ..CompileLimits::default() };
    let ended = house.sandbox.compile(bytes, digest, &compiler(little)).await;
    assert!(
        matches!(ended, Err(Error::CompilerLimit { .. } | Error::Compiler { .. })),
        "{ended:?}"
    );
    let mut short = compiler(CompileLimits::default());
    short.deadline = Duration::from_millis(1);
    let ended = house.sandbox.compile(bytes, digest, &short).await;
    assert!(matches!(ended, Err(Error::CompilerLimit { .. })), "{ended:?}");
    assert_eq!(std::fs::read_dir(house.cache()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_no_valid_component_is_refused_by_the_compiler() {
    let house = House::new();
    let invalid = wat::parse_str("(component (core module (func (result i32))))").unwrap();
    let tail_call = wat::parse_str("(component (core module (func $f (return_call $f))))").unwrap();
    let memory64 = wat::parse_str("(component (core module (memory i64 1)))").unwrap();
    for bytes in [invalid, tail_call, memory64] {
        let digest = registry::digest(&bytes);
        let compiler = compiler(CompileLimits::default());
        let refused = house.sandbox.compile(&bytes, &digest, &compiler).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    assert_eq!(std::fs::read_dir(house.cache()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_compiler_that_does_not_exist_is_named() {
    let house = House::new();
    let mut missing = compiler(CompileLimits::default());
    missing.program = "/nowhere/vaultup".into();
    let error = house.sandbox.compile(b"", "blake3:00", &missing).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/vaultup"), "{error}");
}
