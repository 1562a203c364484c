//! Measures of files and trees.

use super::*;

#[test]
fn copies_measure_the_same_and_every_difference_shows() {
    let make = |change: &dyn Fn(&Path)| {
        let world = World::new();
        fs::set_permissions(world.at(".env"), Permissions::from_mode(0o640)).unwrap();
        change(&world.at(""));
        measured(&world.root, "").digest
    };
    let same = make(&|_| {});
    assert_eq!(make(&|_| {}), same);
    let times = make(&|top| fs::write(top.join("releases/1/app"), "one").unwrap());
    assert_eq!(times, same, "times count");
    let socket = make(&|top| drop(UnixListener::bind(top.join("socket")).unwrap()));
    assert_eq!(socket, same, "sockets count");
    type Change<'a> = (&'a str, &'a dyn Fn(&Path));
    let changes: &[Change<'_>] = &[
        ("content", &|top| fs::write(top.join(".env"), "TAG=2\n").unwrap()),
        ("length", &|top| fs::write(top.join(".env"), "TAG=1").unwrap()),
        ("name", &|top| fs::rename(top.join(".env"), top.join(".enw")).unwrap()),
        ("place", &|top| fs::rename(top.join(".env"), top.join("releases/.env")).unwrap()),
        ("empty file", &|top| fs::write(top.join("new"), "").unwrap()),
        ("empty directory", &|top| fs::create_dir(top.join("new")).unwrap()),
        ("permissions", &|top| {
            fs::set_permissions(top.join(".env"), Permissions::from_mode(0o600)).unwrap();
        }),
        ("directory's permissions", &|top| {
            fs::set_permissions(top, Permissions::from_mode(0o700)).unwrap();
        }),
        ("link", &|top| {
            fs::remove_file(top.join("current")).unwrap();
            symlink("releases/2", top.join("current")).unwrap();
        }),
        ("link to file", &|top| {
            fs::remove_file(top.join("current")).unwrap();
            fs::write(top.join("current"), "releases/1").unwrap();
        }),
        ("FIFO", &|top| {
            let mode = rustix::fs::Mode::RWXU;
            rustix::fs::mkfifoat(rustix::fs::CWD, top.join("fifo"), mode).unwrap();
        }),
    ];
    let mut seen = vec![same];
    for (name, change) in changes {
        let digest = make(change);
        assert!(!seen.contains(&digest), "{name} does not show");
        seen.push(digest);
    }
}

#[test]
fn a_measure_counts_files_and_bytes_and_names_its_digest() {
    let world = World::new();
    let whole = measured(&world.root, "");
    assert_eq!((whole.count, whole.bytes), (2, 9));
    assert!(whole.digest.starts_with("blake3:") && whole.digest.len() == 7 + 64);
    assert_eq!(measured(&world.root, "current"), measured(&world.root, "releases/1"));
    let file = measured(&world.root, ".env");
    assert_eq!((file.count, file.bytes), (1, 6));
}

#[test]
fn a_measure_stops_when_it_is_told_to() {
    let world = World::new();
    let error = world.root.measure(path(""), &mut |bytes| bytes < 1).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
}

#[test]
fn a_tree_at_the_depth_limit_is_measured_and_removed_and_one_level_more_is_not() {
    for (levels, fits) in [(TREE_DEPTH_MAX, true), (TREE_DEPTH_MAX + 1, false)] {
        let world = World::new();
        let mut deep = world.at("tree.vaultup-1");
        for _ in 1..levels {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        let result = world.root.measure(path("tree.vaultup-1"), &mut |_| true);
        assert_eq!(result.is_ok(), fits, "{result:?}");
        let result = world.root.remove(path("tree.vaultup-1"));
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
}
