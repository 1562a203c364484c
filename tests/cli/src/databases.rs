//! Real database servers for tests and benches: installed by the scripts in `tests/e2e/databases`,
//! started in a folder of their own on a loopback port, and stopped when they are dropped.

mod mongo;
mod mongo_shop;
mod pod_shop;
mod postgres;
mod postgres_shop;

use std::path::PathBuf;

pub use mongo::MongoServer;
pub use mongo_shop::MongoShop;
pub use pod_shop::PodShop;
pub use postgres::PostgresServer;
pub use postgres_shop::PostgresShop;

/// The folder with the scripts that install servers and tools.
fn scripts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/databases"))
}
