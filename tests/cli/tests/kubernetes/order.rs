//! A stack of three components that depend on each other: a bus, three policy nodes, a wallet.

use std::fs;

use stage::Namespace;
use tempfile::TempDir;

use super::support::{WITHIN, WITHIN_SHORT, expect, namespace};

const STATEFUL_SET: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: NAME}
spec:
  replicas: COUNT
  serviceName: NAME
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: localhost/app:1.0.0
        imagePullPolicy: IfNotPresent
        readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
---
";

/// The stack at 1.0.0, and releases with these images of bus, policy nodes and wallet.
fn vault(within: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["kubernetes"]);
    let parts = [("nats", "1"), ("policy", "3"), ("wallet", "1")];
    let yaml =
        parts.map(|(name, count)| STATEFUL_SET.replace("NAME", name).replace("COUNT", count));
    fs::write(namespace.folder().join("vault.yaml"), yaml.concat()).unwrap();
    namespace.kubectl(&["apply", "--filename=vault.yaml"]).unwrap();
    for (name, _) in parts {
        let reference = format!("statefulset/{name}");
        namespace.kubectl(&["rollout", "status", &reference, "--timeout=4m"]).unwrap();
    }
    release(&namespace, "1.0.0", "1.0.0");
    release(&namespace, "2.0.0", "2.0.0");
    let component = |name: &str, more: &str| {
        format!(
            "[components.{name}]\nplugin = \"kubernetes\"\nwithin = \"{within}\"\n{more}\n\
             settings = {{ workload = \"statefulset/{name}\", namespace = \"{}\" }}\n",
            namespace.name()
        )
    };
    let stack = [
        "format = 1\n[stack]\nname = \"vault\"\nreleases = \"releases\"\n".to_owned(),
        component("nats", ""),
        component("policy", "needs = [\"nats\"]\nwaves = [\"1\", \"100%\"]"),
        component("wallet", "needs = [\"policy\"]"),
    ];
    fs::write(namespace.folder().join("vaultup.toml"), stack.concat()).unwrap();
    (namespace, folder)
}

/// A release of the whole stack, whose wallet has an image of its own.
fn release(namespace: &Namespace, version: &str, wallet: &str) {
    let folder = namespace.folder().join("releases").join(version);
    fs::create_dir_all(&folder).unwrap();
    let image =
        |name: &str, tag: &str| format!("[components.{name}]\nimage = \"localhost/app:{tag}\"\n");
    let parts = [image("nats", version), image("policy", version), image("wallet", wallet)];
    let text = format!("format = 1\nversion = \"{version}\"\n{}", parts.concat());
    fs::write(folder.join("release.toml"), text).unwrap();
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
