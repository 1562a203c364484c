//! Changes within what was granted.

use super::*;

#[test]
fn a_write_replaces_keeps_permissions_and_gives_what_was_there() {
    let world = World::new();
    fs::set_permissions(world.at(".env"), Permissions::from_mode(0o644)).unwrap();
    let before = world.root.previous(path(".env")).unwrap();
    let previous = world.root.write(path(".env"), b"TAG=2\n").unwrap();
    assert_eq!(previous, Previous::File { content: b"TAG=1\n".to_vec(), mode: 0o644 });
    assert_eq!(before, previous);
    assert_eq!(fs::read(world.at(".env")).unwrap(), b"TAG=2\n");
    assert_eq!(world.at(".env").metadata().unwrap().mode() & 0o7777, 0o644);
    assert_eq!(world.root.write(path("new"), b"x").unwrap(), Previous::Absent);
    assert_eq!(world.at("new").metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(names(&world.root, ""), [".env", "current", "new", "releases"], "a leftover");
    world.root.put_back(path(".env"), &previous).unwrap();
    world.root.put_back(path("new"), &Previous::Absent).unwrap();
    world.root.put_back(path("new"), &Previous::Absent).unwrap();
    assert_eq!(fs::read(world.at(".env")).unwrap(), b"TAG=1\n");
    assert_eq!(names(&world.root, ""), [".env", "current", "releases"]);
}

#[test]
fn a_write_keeps_the_owner_and_takes_away_the_right_to_run_as_somebody_else() {
    let world = World::new();
    fs::set_permissions(world.at(".env"), Permissions::from_mode(0o4755)).unwrap();
    let owner = rustix::process::geteuid().is_root().then_some(12_345);
    std::os::unix::fs::chown(world.at(".env"), owner, None).unwrap();
    world.root.write(path(".env"), b"x").unwrap();
    let found = world.at(".env").metadata().unwrap();
    assert_eq!(found.mode() & 0o7777, 0o755);
    assert_eq!(found.uid(), owner.unwrap_or(found.uid()));
}

#[test]
fn a_link_is_switched_at_one_stroke_and_put_back() {
    let world = World::new();
    let previous = world.root.link(path("current"), "releases/2").unwrap();
    assert_eq!(previous, Previous::Link { to: "releases/1".to_owned() });
    assert_eq!(fs::read_link(world.at("current")).unwrap(), Path::new("releases/2"));
    world.root.put_back(path("current"), &previous).unwrap();
    assert_eq!(fs::read_link(world.at("current")).unwrap(), Path::new("releases/1"));
    assert_eq!(world.root.link(path("next"), "./releases/../current").unwrap(), Previous::Absent);
    assert!(matches!(world.root.link(path(".env"), "current"), Err(Error::WrongKind { .. })));
    assert!(matches!(world.root.link(path("releases"), "current"), Err(Error::WrongKind { .. })));
    assert_eq!(names(&world.root, ""), [".env", "current", "next", "releases"], "a leftover");
}

#[test]
fn no_link_is_made_that_points_out_of_the_root() {
    let world = World::new();
    for to in ["", "/etc", "..", "../outside", "releases/../../outside", "a\0b"] {
        let result = world.root.link(path("current"), to);
        assert!(matches!(result, Err(Error::LinkRefused { .. })), "{to:?}: {result:?}");
    }
    world.root.link(path("releases/latest"), "../releases/1").unwrap();
    world.root.link(path("releases/latest"), "../../releases/1").unwrap_err();
    assert_eq!(fs::read_link(world.at("current")).unwrap(), Path::new("releases/1"));
}

#[test]
fn directories_are_made_with_those_above_them() {
    let world = World::new();
    world.root.create_directory(path("a/b/c")).unwrap();
    world.root.create_directory(path("a/b/c")).unwrap();
    assert_eq!(world.at("a/b").metadata().unwrap().mode() & 0o7777, 0o700);
    world.root.create_directory(path("current/new")).unwrap();
    assert!(world.at("releases/1/new").is_dir());
    let error = world.root.create_directory(path(".env/x")).unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. }), "{error}");
}

#[test]
fn a_rename_never_overwrites_and_an_exchange_swaps() {
    let world = World::new();
    let root = &world.root;
    root.rename(path(".env"), path("releases/env")).unwrap();
    assert!(matches!(
        root.rename(path("releases/env"), path("current")),
        Err(Error::Exists { .. })
    ));
    assert!(matches!(root.rename(path("nothing"), path("x")), Err(Error::Absent { .. })));
    root.exchange(path("releases/env"), path("current")).unwrap();
    assert_eq!(root.read(path("current")).unwrap(), b"TAG=1\n");
    assert_eq!(fs::read_link(world.at("releases/env")).unwrap(), Path::new("releases/1"));
    assert!(matches!(root.exchange(path("current"), path("no")), Err(Error::Absent { .. })));
    assert!(matches!(root.rename(path(""), path("x")), Err(Error::PathMalformed { .. })));
}

#[test]
fn only_what_vaultup_made_is_removed_and_no_link_is_followed() {
    let world = World::new();
    let tree = world.at("store.vaultup-7");
    fs::create_dir_all(tree.join("read-only/below")).unwrap();
    fs::write(tree.join("read-only/below/file"), "").unwrap();
    symlink("../../outside", tree.join("beside")).unwrap();
    symlink("/etc", tree.join("etc")).unwrap();
    fs::set_permissions(tree.join("read-only"), Permissions::from_mode(0o500)).unwrap();
    world.root.remove(path("store.vaultup-7")).unwrap();
    world.root.remove(path("store.vaultup-7")).unwrap();
    world.root.remove(path("no/store.vaultup-7")).unwrap();
    assert!(!tree.exists());
    symlink("../outside", world.at("link.vaultup-1")).unwrap();
    world.root.remove(path("link.vaultup-1")).unwrap();
    world.outside_is_untouched();
    for kept in ["releases", ".env", "", "current"] {
        let error = world.root.remove(path(kept)).unwrap_err();
        assert!(matches!(error, Error::NotRemovable { .. }), "{kept}: {error}");
    }
    fs::create_dir_all(world.at("x.vaultup-1/below")).unwrap();
    world.root.remove(path("x.vaultup-1/below")).unwrap_err();
}

#[test]
fn a_directory_of_many_files_is_removed_in_pieces() {
    let world = World::new();
    fs::create_dir(world.at("many.vaultup-1")).unwrap();
    for index in 0..10_000 {
        fs::write(world.at(&format!("many.vaultup-1/{index}")), "").unwrap();
    }
    world.root.remove(path("many.vaultup-1")).unwrap();
    assert!(!world.at("many.vaultup-1").exists());
}

#[test]
fn a_root_for_reading_is_not_changed() {
    let world = World::new();
    let root = Root::open(&world.at(""), Access::Read).unwrap();
    let results = [
        root.write(path(".env"), b"x").map(drop),
        root.link(path("current"), "releases").map(drop),
        root.put_back(path(".env"), &Previous::Absent),
        root.create_directory(path("new")),
        root.rename(path(".env"), path("x")),
        root.exchange(path(".env"), path("current")),
        root.remove(path("x.vaultup-1")),
    ];
    for result in results {
        assert!(matches!(result, Err(Error::PathReadOnly { .. })), "{result:?}");
    }
    assert_eq!(root.read(path(".env")).unwrap(), b"TAG=1\n");
}
