//! A PostgreSQL inside a pod that listens on no network: dump, proof and restore go through
//! `kubectl exec -i` alone.

use std::fs;
use std::process::Stdio;

use stage::{Meeting, PodShop, Programs, Ran, Rendezvous};
use tempfile::TempDir;

use super::support::{expect, namespace};

const ORDERS: u32 = 20_000;

/// A shop at release 1.0.0, and its folder: named first, so that it goes after the shop.
fn shop() -> (TempDir, PodShop) {
    let (namespace, folder) = namespace(&["host", "kubernetes", "postgres"]);
    let programs = Programs::beside_this_test().unwrap();
    let shop = PodShop::open(namespace, folder.path(), &programs, ORDERS).unwrap();
    assert_eq!(shop.psql("postgres", "SHOW listen_addresses").unwrap(), "");
    (folder, shop)
}

fn left_by_vaultup(shop: &PodShop) -> String {
    let query = "SELECT datname FROM pg_database WHERE datname LIKE '%vaultup%'
        AND datname NOT LIKE '%_vaultup_old_%' ORDER BY 1";
    shop.psql("postgres", query).unwrap()
}

#[test]
fn a_database_in_a_pod_is_dumped_proven_upgraded_and_restored_through_kubectl_exec_alone() {
    let (_folder, shop) = shop();
    let before = shop.digest().unwrap();
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.digest().unwrap(), before);
    // Half-way in the migration; and after the new database server runs, so that it goes back too.
    for fault in ["migrate-fails-half-way", "never-ready"] {
        shop.install("3.0.0", &[fault]).unwrap();
        let shown = expect(&shop.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
        assert!(shown.contains("decided: restore and redeploy"), "{shown}");
        assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"), "{fault}");
        assert_eq!(shop.digest().unwrap(), before, "{fault}: no row differs");
        assert_eq!(left_by_vaultup(&shop), "", "{fault}");
    }
}

/// The datastore lives `inside` a helm release, whose `exec` says in which workload.
#[test]
fn a_helm_release_leads_the_tools_into_its_pod() {
    let (namespace, folder) = namespace(&["helm", "host", "kubernetes", "postgres"]);
    namespace.chart("1.0.0", "").unwrap();
    namespace.helm(&["install", "web", "charts/1.0.0", "--wait", "--timeout=4m"]).unwrap();
    let web = format!(
        "[components.web]\nplugin = \"helm\"\n[components.web.settings]\nrelease = \"web\"\n\
         namespace = \"{}\"\nexec = \"deployment/db\"\n",
        namespace.name()
    );
    let programs = Programs::beside_this_test().unwrap();
    let shop = PodShop::open(namespace, folder.path(), &programs, ORDERS).unwrap();
    let file = folder.path().join("vaultup.toml");
    let stack = fs::read_to_string(&file).unwrap().replace("inside = \"db\"", "inside = \"web\"");
    fs::write(file, stack + &web).unwrap();
    let before = shop.digest().unwrap();
    let set = shop.vaultup(&["backup", "create", "--format", "json"]).unwrap().set().unwrap();
    shop.psql("shop", "DELETE FROM orders WHERE id % 2 = 0").unwrap();
    assert_ne!(shop.digest().unwrap(), before);
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 0);
    assert_eq!(shop.digest().unwrap(), before);
    assert_eq!(left_by_vaultup(&shop), "");
}

#[test]
fn vaultup_killed_during_a_dump_out_of_a_pod_is_resumed_and_loses_nothing() {
    let (folder, shop) = shop();
    let before = shop.digest().unwrap();
    let mut meeting = Rendezvous::arrange(
        folder.path(),
        &shop.cluster_tools(),
        "kubectl",
        &["pg_dump", "--snapshot="],
        Meeting::InOutput(100_000),
    )
    .unwrap();
    let mut command = shop.command(&["run", "--to", "2.0.0"]);
    meeting.on_path_of(&mut command).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    meeting.wait(&mut child).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // Its kubectl ends now, since nobody reads it. The dump in the pod may stay, with its locks.
    meeting.let_go().unwrap();
    let mut resume = shop.command(&["resume"]);
    meeting.on_path_of(&mut resume).unwrap();
    expect(&Ran::of(resume.output().unwrap()), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.digest().unwrap(), before);
    assert_eq!(left_by_vaultup(&shop), "");
}
