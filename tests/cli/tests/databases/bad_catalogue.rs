//! What is wrong with a MongoDB database, its server or its settings: each has a code, says in
//! which state everything is, and what to type next. Nothing is changed.

use std::process::{Command, Output};

use stage::{Meeting, MongoShop, Rendezvous};

use crate::mongo::shop_at;

#[track_caller]
fn answered(shop: &MongoShop, what: &str, output: &Output, says: &str, before: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "{what}: {said}");
    for part in ["error[VU", "state: ", "next: ", says] {
        assert!(said.contains(part), "{what}: no `{part}` in: {said}");
    }
    assert_eq!(shop.server.everything().unwrap(), before, "{what}");
    assert_eq!(shop.shop.serving().unwrap().as_deref(), Some("1.0.0"), "{what}");
}

#[test]
fn a_catalogue_that_cannot_be_backed_up_or_restored_is_refused_before_anything_changes() {
    let (_folder, shop) = shop_at("1.0.0", 100);
    let before = shop.server.everything().unwrap();
    let create = || shop.command(&["backup", "create"]).output().unwrap();
    let rewrite = |from: &str, by: &str| {
        let whole = shop.datastore("[\"print(db.items.countDocuments({}))\"]");
        assert!(whole.contains(from), "{from}");
        shop.shop.write_stack_file(&whole.replace(from, by)).unwrap();
    };

    rewrite("database = \"shop\"", "database = \"nosuch\"");
    answered(
        &shop,
        "no such database",
        &create(),
        "the database nosuch has no collection",
        &before,
    );

    rewrite(&format!("port = {}", shop.server.port()), "port = 1");
    answered(&shop, "no server", &create(), "see whether the server runs", &before);

    rewrite("print(db.items.countDocuments({}))", "db.items.findOne({ _id: -1 }) || ''");
    answered(&shop, "empty check", &create(), "printed nothing", &before);

    rewrite("written-by = [\"api\"]\n", "");
    let plan = shop.command(&["plan", "--to", "2.0.0"]).output().unwrap();
    answered(&shop, "no `written-by`", &plan, "nobody knows who writes", &before);
}

/// A backup that was changed while it was taken is none, and whoever reads it is told what to do.
#[test]
fn a_catalogue_that_is_written_to_while_it_is_dumped_is_not_backed_up() {
    let (folder, shop) = shop_at("1.0.0", 5000);
    let meeting = Meeting::InOutput(100_000);
    let tools = shop.server.tools();
    let mut rendezvous =
        Rendezvous::arrange(folder.path(), &tools, "mongodump", &["--db=shop"], meeting).unwrap();
    let mut command = shop.command(&["backup", "create"]);
    rendezvous.on_path_of(&mut command).unwrap();
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    rendezvous.wait(&mut child).unwrap();
    shop.server.shell("db.items.insertOne({ _id: 'written meanwhile' })").unwrap();
    let before = shop.server.everything().unwrap();
    rendezvous.let_go().unwrap();
    let output = child.wait_with_output().unwrap();
    answered(&shop, "a live writer", &output, "changed while it was dumped", &before);
}

#[test]
fn an_archive_of_another_database_is_not_put_in_the_place_of_this_one() {
    let (_folder, shop) = shop_at("1.0.0", 100);
    let set = shop.back_up().unwrap();
    shop.server.shell("db.getSiblingDB('other').a.insertOne({ _id: 1 })").unwrap();
    let others = shop.datastore("[\"print(1)\"]");
    let others = others.replace("database = \"shop\"", "database = \"other\"");
    shop.shop.write_stack_file(&others).unwrap();
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    assert_ne!(restored.status, Some(0), "{}", restored.shown());
    assert!(restored.shown().contains("backup of the database shop"), "{}", restored.shown());
    let other = shop.server.shell("print(db.getSiblingDB('other').a.countDocuments({}))").unwrap();
    assert_eq!(other, "1");
}

/// The tests' server knows no passwords; that one is refused is enough to see where it shows.
#[test]
fn a_password_in_an_address_stands_in_no_argument_and_is_shown_nowhere() {
    const PASSWORD: &str = "s%40lt-and-sweet";
    let (folder, shop) = shop_at("1.0.0", 100);
    let port = shop.server.port();
    let secret = format!("uri: mongodb://shop:{PASSWORD}@127.0.0.1:{port}/shop\n");
    let datastore = shop.datastore("[\"print(1)\"]");
    let address = format!("host = \"127.0.0.1\"\nport = {port}\n");
    assert!(datastore.contains(&address));
    let datastore = datastore.replace(&address, "config = { secret = \"catalogue\" }\n");
    let secrets = "\n[secrets]\ncatalogue = { env = \"CATALOGUE\" }\n";
    shop.shop.write_stack_file(&(datastore + secrets)).unwrap();
    let mut create = shop.command(&["backup", "create", "--verbose", "--verbose"]);
    let refused = create.env("CATALOGUE", &secret).output().unwrap();
    let said = format!("{refused:?}");
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("error[VU"), "{said}");
    for form in [PASSWORD, "s@lt-and-sweet"] {
        assert!(!said.contains(form), "{said}");
        let mut search = Command::new("grep");
        let found = search.args(["-rlF", form]).arg(folder.path().join("home")).output().unwrap();
        assert!(found.stdout.is_empty(), "{form} is in {found:?}");
    }
}
