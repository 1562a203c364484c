//! What is generated from `wit/`, one module a world. Not for plugin authors: the other modules of
//! this crate say the same in Rust's words.
//!
//! - Types and imports are generated once, in `imports`; the other worlds use them, so that one
//!   `Operation` serves every interface.
//! - A world's `export!` macro carries the custom section that tells the linker of its exports, and
//!   it is expanded where `plugin!` is used: a component exports what it names and nothing else.
//!   What stands here tells of imports only, and imports that nobody calls are left out.

/// Types and imports.
pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "imports",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

macro_rules! world {
    ($module:ident, $world:literal) => {
        #[doc = concat!("The world `", $world, "`.")]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                pub_export_macro: true,
                generate_unused_types: true,
                additional_derives: [PartialEq],
                generate_all,
                with: {
                    "vaultup:plugin/types@0.1.0":
                        crate::bindings::imports::vaultup::plugin::types,
                    "vaultup:plugin/process@0.1.0":
                        crate::bindings::imports::vaultup::plugin::process,
                    "vaultup:plugin/artifact@0.1.0":
                        crate::bindings::imports::vaultup::plugin::artifact,
                    "vaultup:plugin/http@0.1.0":
                        crate::bindings::imports::vaultup::plugin::http,
                    "vaultup:plugin/files@0.1.0":
                        crate::bindings::imports::vaultup::plugin::files,
                    "vaultup:plugin/secret@0.1.0":
                        crate::bindings::imports::vaultup::plugin::secret,
                    "vaultup:plugin/log@0.1.0":
                        crate::bindings::imports::vaultup::plugin::log,
                    "vaultup:plugin/progress@0.1.0":
                        crate::bindings::imports::vaultup::plugin::progress,
                    "vaultup:plugin/cancel@0.1.0":
                        crate::bindings::imports::vaultup::plugin::cancel,
                    "vaultup:plugin/clock@0.1.0":
                        crate::bindings::imports::vaultup::plugin::clock,
                },
            });
        }
    };
}

world!(deploys, "deploys");
world!(migrates, "migrates");
world!(backs_up, "backs-up");
world!(restores, "restores");
world!(checks_health, "checks-health");
