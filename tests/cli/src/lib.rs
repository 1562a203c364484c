//! The stage on which tests, the demonstration and the benches play: a folder with the sample
//! application in three releases, a stack file, and a vaultup that keeps everything in there.
//!
//! Nothing outside the folder is touched, the application listens on a loopback port of its own,
//! and it is stopped when the stage is dropped.

mod databases;
mod programs;
mod shop;

pub use databases::{MongoServer, MongoShop, PostgresServer, PostgresShop};
pub use programs::Programs;
pub use shop::{Ran, Shop};
