//! A stack of three components that depend on each other: a bus, three policy nodes, a wallet.

use stage::Namespace;
use tempfile::TempDir;

use super::stack_file::{StackFile, apply, image, stateful_set, write_release};
use super::support::{WITHIN, WITHIN_SHORT, expect, namespace};

/// The stack at 1.0.0, and releases with these images of bus, policy nodes and wallet.
fn vault(within: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["kubernetes"]);
    let objects = [("nats", 1), ("policy", 3), ("wallet", 1)]
        .map(|(name, replicas)| stateful_set(name, replicas));
    let workloads = ["statefulset/nats", "statefulset/policy", "statefulset/wallet"];
    apply(&namespace, &objects.concat(), &workloads);
    release(&namespace, "1.0.0", "1.0.0");
    release(&namespace, "2.0.0", "2.0.0");
    let [nats, policy, wallet] = workloads;
    StackFile::new(&namespace, "vault")
        .workload(nats, within, "")
        .workload(policy, within, "needs = [\"nats\"]\nwaves = [\"1\", \"100%\"]")
        .workload(wallet, within, "needs = [\"policy\"]")
        .write();
    (namespace, folder)
}

/// A release of the whole stack, whose wallet has an image of its own.
fn release(namespace: &Namespace, version: &str, wallet: &str) {
    let images = [image("nats", version), image("policy", version), image("wallet", wallet)];
    write_release(namespace.folder(), version, &images.concat());
}

#[test]
fn bus_policy_nodes_and_wallet_are_upgraded_in_this_order_in_waves_r39_r40() {
    let (namespace, _folder) = vault(WITHIN);
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    let order =
        ["nats, wave 1 of 1", "policy, wave 1 of 2", "policy, wave 2 of 2", "wallet, wave 1 of 1"];
    let places = order.map(|step| shown.find(step).unwrap_or_else(|| panic!("{step}: {shown}")));
    assert!(places.is_sorted(), "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
}

#[test]
fn a_wallet_that_fails_takes_bus_and_policy_nodes_back_with_it_r52_r53() {
    let (namespace, _folder) = vault(WITHIN_SHORT);
    release(&namespace, "2.0.0", "2.0.1-crash");
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 3);
    assert!(shown.contains("crashing as told"), "the last lines of its log: {shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    let pods = namespace.kubectl(&["get", "pods", "--output=name"]).unwrap();
    assert_eq!(pods.lines().count(), 5, "{pods}");
}
