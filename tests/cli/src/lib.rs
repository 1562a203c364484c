//! The stages on which tests, the demonstration and the benches play: a folder with the sample
//! application in three releases, a stack file, and a vaultup that keeps everything in there; and a
//! real Kubernetes with a namespace for each test.
//!
//! Nothing outside the folder and the namespace is touched, servers listen on loopback ports of
//! their own, and everything is stopped when its stage is dropped.

mod cluster;
mod databases;
mod figure;
mod half_way;
mod programs;
mod rendezvous;
mod shop;

pub use cluster::{Cluster, Namespace};
pub use databases::{MongoServer, MongoShop, PodShop, PostgresServer, PostgresShop};
pub use figure::figure;
pub use programs::Programs;
pub use rendezvous::{Meeting, Rendezvous};
pub use shop::{Ran, Shop};
