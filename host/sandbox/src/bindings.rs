//! The types and traits that wasmtime generates from `wit/`. Nothing outside this crate sees them.
//!
//! The imports are generated once; the five exported interfaces each have a world of their own,
//! because a world cannot have optional exports, and share the imports' types.

/// What every plugin may import.
pub(crate) mod host {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "imports",
        imports: {
            "vaultup:plugin/log": trappable,
            "vaultup:plugin/progress": trappable,
            "vaultup:plugin/cancel": trappable,
            "vaultup:plugin/clock.now": trappable,
            default: async | trappable,
        },
        trappable_error_type: {
            "vaultup:plugin/types.error" => crate::state::Denial,
        },
        with: {
            "vaultup:plugin/process.running": crate::imports::process::RunningCommand,
            "vaultup:plugin/process.begun": crate::imports::process::BegunCommand,
            "vaultup:plugin/files.root": crate::imports::files::OpenRoot,
        },
        require_store_data_send: true,
    });
}

pub(crate) mod deploy {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "deploys",
        with: { "vaultup:plugin": super::host::vaultup::plugin },
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub(crate) mod migrate {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "migrates",
        with: { "vaultup:plugin": super::host::vaultup::plugin },
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub(crate) mod backup {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "backs-up",
        with: { "vaultup:plugin": super::host::vaultup::plugin },
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub(crate) mod restore {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "restores",
        with: { "vaultup:plugin": super::host::vaultup::plugin },
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub(crate) mod health_check {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "checks-health",
        with: { "vaultup:plugin": super::host::vaultup::plugin },
        exports: { default: async },
        require_store_data_send: true,
    });
}
