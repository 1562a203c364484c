//! helm releases whose hooks migrate a store.

use std::fs;

use stage::Namespace;
use tempfile::TempDir;

use super::stack_file::{StackFile, schema, write_migrating_values, write_store};
use super::support::{WITHIN, expect, namespace, until};

/// A shop whose chart mounts a store of schema 1, and a release 3.0.0 whose hook migrates it.
fn shop_with_store(within: &str, migrate: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm", "files"]);
    let path = namespace.folder().to_owned();
    write_store(&path);
    let orders = "[datastores.orders]\nschema = 1\n";
    for version in ["1.0.0", "2.0.0"] {
        let entry = format!("[components.shop]\nchart = \"charts/{version}\"\n{orders}");
        namespace.chart(version, &entry).unwrap();
    }
    let entry = "[components.shop]\nchart = \"charts/3.0.0\"\nvalues = [\"migrating.yaml\"]\n\
                 [datastores.orders]\nschema = 3\nmigration = \"breaking\"\n\
                 migrate = { with = \"shop\", at-start = true }\n";
    namespace.chart("3.0.0", entry).unwrap();
    write_migrating_values(&path, migrate);
    let data = format!("data={}", path.join("data").display());
    StackFile::new(&namespace, "shop")
        .helm("shop", within, "needs = [\"orders\"]", &format!("set = [\"{data}\"]"))
        .store("orders", "\"shop\"")
        .write();
    let set = format!("--set={data}");
    namespace.helm(&["install", "shop", "charts/1.0.0", &set, "--wait", "--timeout=4m"]).unwrap();
    (namespace, folder)
}

#[test]
fn a_hook_that_fails_after_the_schema_changed_is_restored_before_anything_starts_r52_r55_t8() {
    let (namespace, _folder) = shop_with_store(WITHIN, "migrate, -fail");
    let shown = expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    assert!(shown.contains("duplicate key in `orders`"), "{shown}");
    assert_eq!(schema(&namespace), r#"{"version":1}"#);
    let orders = fs::read_to_string(namespace.folder().join("data/orders")).unwrap();
    assert_eq!(orders, "one\ntwo\n");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    let staged = shown.find("at revision 1, not started yet").unwrap();
    let restored = shown.find("into an empty target").unwrap();
    let started = shown.rfind("shop, 2 instances").unwrap();
    assert!(staged < restored && restored < started, "{shown}");
    // 1.0.0 does not start on schema 3: had it been started first, its pods would have ended.
    let words = ["get", "pods", "--selector=app=shop", "--output=jsonpath={..restartCount}"];
    assert_eq!(namespace.kubectl(&words).unwrap().trim(), "0 0");
    assert_eq!(namespace.history("shop").unwrap().last().unwrap().2, "Rollback to 1");
}

#[test]
fn a_hook_that_migrates_leads_to_the_next_release_with_its_schema() {
    let (namespace, _folder) = shop_with_store(WITHIN, "migrate");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
}

/// The chart leaves the number of instances to an autoscaler, which sleeps while they are stopped:
/// nobody but vaultup knows how many there were.
#[test]
fn what_an_autoscaler_made_of_a_release_is_there_again_after_a_migration() {
    let (namespace, _folder) = shop_with_store(WITHIN, "migrate");
    let stack = namespace.folder().join("vaultup.toml");
    let text = fs::read_to_string(&stack).unwrap();
    fs::write(&stack, text.replacen("set = [", "set = [\"replicas=0\", ", 1)).unwrap();
    let data = format!("--set=data={}", namespace.folder().join("data").display());
    let words = ["upgrade", "shop", "charts/1.0.0", &data, "--set=replicas=0", "--wait"];
    namespace.helm(&words).unwrap();
    namespace.kubectl(&["autoscale", "deployment", "shop", "--min=3", "--max=5"]).unwrap();
    let ready = ["get", "deployment/shop", "--output=jsonpath={.status.readyReplicas}"];
    until("it was scaled", || namespace.kubectl(&ready).unwrap().trim() == "3");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    let wanted = ["get", "deployment/shop", "--output=jsonpath={.spec.replicas}"];
    assert_eq!(namespace.kubectl(&wanted).unwrap().trim(), "3");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
}
