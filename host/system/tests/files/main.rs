//! Granted files against every trick that leads out of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod changing;
mod measuring;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use model::manifest::Access;
use vaultup_system::Error;
use vaultup_system::files::{
    ENTRIES_MAX, EntryKind, FILE_BYTES_MAX, Measure, Previous, Relative, Root, TREE_DEPTH_MAX,
};

/// A granted directory `root` with something secret beside it.
struct World {
    scratch: tempfile::TempDir,
    root: Root,
}

impl World {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("root/releases/1")).unwrap();
        fs::write(scratch.path().join("root/releases/1/app"), "one").unwrap();
        fs::write(scratch.path().join("root/.env"), "TAG=1\n").unwrap();
        symlink("releases/1", scratch.path().join("root/current")).unwrap();
        fs::create_dir(scratch.path().join("outside")).unwrap();
        fs::write(scratch.path().join("outside/key"), "private").unwrap();
        let root = Root::open(&scratch.path().join("root"), Access::Write).unwrap();
        Self { scratch, root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join("root").join(path)
    }

    fn outside_is_untouched(&self) {
        let outside = self.scratch.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("key")).unwrap(), "private");
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
    }
}

fn path(text: &str) -> Relative<'_> {
    Relative::parse(text).unwrap()
}

fn measured(root: &Root, text: &str) -> Measure {
    root.measure(path(text), &mut |_| true).unwrap()
}

fn names(root: &Root, text: &str) -> Vec<String> {
    root.entries(path(text)).unwrap().into_iter().map(|entry| entry.name).collect()
}

// ---- reading -------------------------------------------------------------------------------

#[test]
fn what_is_there_is_described_listed_and_read() {
    let world = World::new();
    let root = &world.root;
    assert_eq!(names(root, ""), [".env", "current", "releases"]);
    let link = root.describe(path("current")).unwrap().unwrap();
    assert_eq!((link.kind, link.link.as_deref()), (EntryKind::Link, Some("releases/1")));
    let file = root.describe(path("current/app")).unwrap().unwrap();
    assert_eq!((file.name.as_str(), file.kind, file.bytes), ("app", EntryKind::File, 3));
    assert_eq!(root.describe(path("")).unwrap().unwrap().kind, EntryKind::Directory);
    assert_eq!(root.describe(path("nothing")).unwrap(), None);
    assert_eq!(root.describe(path(".env/below")).unwrap(), None);
    assert_eq!(root.read(path("current/app")).unwrap(), b"one");
    assert_eq!(root.path(path("current/app")).unwrap(), world.at("current/app"));
    assert_eq!(root.path(path("releases/2")).unwrap(), world.at("releases/2"));
    assert!(matches!(root.read(path("nothing")), Err(Error::Absent { .. })));
    assert!(matches!(root.entries(path(".env")), Err(Error::WrongKind { .. })));
    let room = root.room().unwrap();
    assert!(room.bytes_free > 0 && room.bytes_free <= room.bytes_total);
}

#[test]
fn no_link_leads_out_whatever_is_asked_of_it() {
    let world = World::new();
    let outside = world.scratch.path().join("outside");
    symlink("/etc", world.at("etc")).unwrap();
    symlink("../outside", world.at("beside")).unwrap();
    symlink(&outside, world.at("absolute")).unwrap();
    symlink("../outside/key", world.at("key")).unwrap();
    symlink("../outside/new", world.at("dangling")).unwrap();
    symlink("beside", world.at("twice")).unwrap();
    symlink("/proc/self/environ", world.at("environ")).unwrap();
    symlink("/proc/self/root", world.at("magic")).unwrap();
    let root = &world.root;
    for link in ["etc/passwd", "beside/key", "absolute/key", "twice/key", "magic/etc/passwd"] {
        assert!(matches!(root.read(path(link)), Err(Error::PathEscapes { .. })), "{link}");
        assert!(matches!(root.describe(path(link)), Err(Error::PathEscapes { .. })), "{link}");
        assert!(matches!(root.path(path(link)), Err(Error::PathEscapes { .. })), "{link}");
        assert!(matches!(root.write(path(link), b"x"), Err(Error::PathEscapes { .. })), "{link}");
        assert!(matches!(root.link(path(link), "x"), Err(Error::PathEscapes { .. })), "{link}");
    }
    for link in ["etc", "beside", "absolute", "twice", "magic"] {
        root.entries(path(link)).unwrap_err();
        root.measure(path(link), &mut |_| true).unwrap_err();
        root.create_directory(path(&format!("{link}/new"))).unwrap_err();
        let into = format!("{link}/.env");
        root.rename(path(".env"), path(&into)).unwrap_err();
        root.exchange(path(".env"), path(&into)).unwrap_err();
        root.remove(path(&format!("{link}/x.vaultup-1"))).unwrap_err();
        // The link itself may be looked at.
        assert_eq!(root.describe(path(link)).unwrap().unwrap().kind, EntryKind::Link);
    }
    for link in ["key", "environ", "dangling"] {
        assert!(matches!(root.read(path(link)), Err(Error::PathEscapes { .. })), "{link}");
        assert!(matches!(root.path(path(link)), Err(Error::PathEscapes { .. })), "{link}");
        assert!(matches!(root.write(path(link), b"x"), Err(Error::WrongKind { .. })), "{link}");
    }
    world.outside_is_untouched();
}

#[test]
fn paths_that_climb_or_end_in_a_slash_are_no_paths() {
    for text in ["..", "../outside/key", "releases/../../outside", "/etc/passwd", "etc/", "a\0b"] {
        assert!(matches!(Relative::parse(text), Err(Error::PathMalformed { .. })), "{text}");
    }
}

#[test]
fn a_link_swapped_in_the_middle_of_a_path_never_leads_out() {
    let world = World::new();
    let (inside, link) = (world.at("swapped"), world.at("link"));
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("key"), "public").unwrap();
    symlink("../outside", &link).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                renameat_with(CWD, &inside, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let (mut read, mut refused) = (0, 0);
        for _ in 0..20_000 {
            match world.root.read(path("swapped/key")) {
                Ok(content) => {
                    assert_eq!(content, b"public");
                    read += 1;
                }
                Err(_) => refused += 1,
            }
            let _ = world.root.write(path("swapped/new"), b"x");
            if read > 100 && refused > 100 {
                break;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused: nothing was swapped");
    });
    world.outside_is_untouched();
}

#[test]
fn what_is_no_file_is_not_read_and_does_not_hang() {
    let world = World::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.at("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = UnixListener::bind(world.at("socket")).unwrap();
    for (name, called) in [("fifo", "a FIFO"), ("socket", "a socket"), ("releases", "a directory")]
    {
        match world.root.read(path(name)) {
            Err(Error::WrongKind { found, .. }) => assert_eq!(found, called),
            result => panic!("{name}: {result:?}"),
        }
        world.root.write(path(name), b"x").unwrap_err();
    }
    let devices = Root::open(Path::new("/dev"), Access::Read).unwrap();
    let error = devices.read(path("null")).unwrap_err();
    assert!(matches!(error, Error::WrongKind { found: "a device", .. }), "{error}");
}

#[test]
fn nothing_of_the_kernels_own_is_a_root_or_below_one() {
    for granted in ["/proc/self", "/proc/self/environ", "/sys/kernel"] {
        let error = Root::open(Path::new(granted), Access::Read).unwrap_err();
        assert!(matches!(error, Error::PathEscapes { .. }), "{granted}: {error}");
    }
    let all = Root::open(Path::new("/"), Access::Read).unwrap();
    let error = all.read(path("proc/self/environ")).unwrap_err();
    assert!(matches!(error, Error::PathEscapes { .. }), "{error}");
    let error = all.measure(path("proc/self/environ"), &mut |_| true).unwrap_err();
    assert!(matches!(error, Error::PathEscapes { .. }), "{error}");
}

#[test]
fn a_hard_link_is_the_file_itself() {
    let world = World::new();
    fs::hard_link(world.at(".env"), world.at("hard")).unwrap();
    assert_eq!(world.root.read(path("hard")).unwrap(), b"TAG=1\n");
    world.root.write(path("hard"), b"TAG=2\n").unwrap();
    assert_eq!(fs::read(world.at(".env")).unwrap(), b"TAG=1\n", "replacing breaks the link");
}

#[test]
fn a_file_at_the_limit_is_read_and_written_and_one_byte_more_is_not() {
    let world = World::new();
    for (bytes, fits) in [(FILE_BYTES_MAX, true), (FILE_BYTES_MAX + 1, false)] {
        fs::write(world.at("large"), vec![b'x'; bytes]).unwrap();
        assert_eq!(world.root.read(path("large")).is_ok(), fits);
        assert_eq!(world.root.write(path("new"), &vec![b'x'; bytes]).is_ok(), fits);
        assert_eq!(world.root.write(path("large"), b"x").is_ok(), fits, "not to be put back");
    }
}

#[test]
fn a_directory_at_the_limit_is_listed_and_one_entry_more_is_not() {
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = Root::open(scratch.path(), Access::Read).unwrap();
    let original = scratch.path().join("0");
    fs::write(&original, "").unwrap();
    // Links are several times cheaper to make than files.
    for index in 1..ENTRIES_MAX {
        fs::hard_link(&original, scratch.path().join(index.to_string())).unwrap();
    }
    assert_eq!(root.entries(path("")).unwrap().len(), ENTRIES_MAX);
    fs::hard_link(&original, scratch.path().join("more")).unwrap();
    assert!(matches!(root.entries(path("")), Err(Error::TooManyEntries { .. })));
}

#[test]
fn an_absolute_path_is_located_below_its_root_only() {
    let world = World::new();
    let located = |text: &Path| world.root.locate(text).map(|path| path.as_str().to_owned());
    assert_eq!(located(&world.at("releases/1")).as_deref(), Some("releases/1"));
    assert_eq!(located(world.scratch.path().join("root").as_path()).as_deref(), Some(""));
    assert_eq!(located(&world.at("../outside")), None);
    assert_eq!(located(Path::new("/etc")), None);
    assert_eq!(located(&world.scratch.path().join("root2")), None);
}

// ---- narrower roots ------------------------------------------------------------------------

#[test]
fn a_file_as_a_root_is_that_file_only() {
    let world = World::new();
    symlink(".env", world.at("env")).unwrap();
    for granted in [".env", "env"] {
        let root = Root::open(&world.at(granted), Access::Write).unwrap();
        assert_eq!(
            root.location().canonicalize().unwrap(),
            world.at(".env").canonicalize().unwrap()
        );
        assert_eq!(root.read(path("")).unwrap(), b"TAG=1\n");
        root.write(path(""), b"TAG=2\n").unwrap();
        assert_eq!(fs::read(world.at(".env")).unwrap(), b"TAG=2\n");
        root.write(path(""), b"TAG=1\n").unwrap();
        assert_eq!(measured(&root, "").bytes, 6);
        for other in [".env", "current", "releases/1/app"] {
            assert!(matches!(root.read(path(other)), Err(Error::PathEscapes { .. })), "{other}");
            root.write(path(other), b"x").unwrap_err();
        }
        root.entries(path("")).unwrap_err();
        root.remove(path("x.vaultup-1")).unwrap_err();
    }
    assert!(world.at("env").is_symlink(), "the operator's link was replaced");
}

#[test]
fn beside_a_granted_path_only_what_vaultup_makes_is_seen() {
    let world = World::new();
    for name in ["store", "store.vaultup-1", "store.vaultup-", "store2", "stor", "x.vaultup-1"] {
        fs::create_dir(world.at(name)).unwrap();
        fs::write(world.at(name).join("data"), name).unwrap();
    }
    symlink("../.env", world.at("store/env")).unwrap();
    symlink("store", world.at("store.vaultup-link")).unwrap();
    let root = Root::open_beside(&world.at("store"), Access::Write).unwrap();
    assert_eq!(names(&root, ""), ["store", "store.vaultup-1", "store.vaultup-link"]);
    assert_eq!(root.read(path("store.vaultup-1/data")).unwrap(), b"store.vaultup-1");
    for other in ["store2/data", "stor/data", "x.vaultup-1/data", "store.vaultup-/data", ".env"] {
        assert!(matches!(root.read(path(other)), Err(Error::PathEscapes { .. })), "{other}");
        root.path(path(other)).unwrap_err();
        root.write(path(other), b"x").unwrap_err();
        root.create_directory(path(other)).unwrap_err();
    }
    // Beneath the parent, and yet not granted.
    assert!(matches!(root.read(path("store/env")), Err(Error::PathEscapes { .. })));
    assert!(matches!(
        root.read(path("store.vaultup-link/data")),
        Err(Error::Absent { .. }) | Err(Error::PathEscapes { .. })
    ));
    root.rename(path("store"), path("store2/x")).unwrap_err();
    root.rename(path("store"), path("y")).unwrap_err();
    root.measure(path(""), &mut |_| true).unwrap_err();

    root.create_directory(path("store.vaultup-2")).unwrap();
    root.exchange(path("store"), path("store.vaultup-1")).unwrap();
    assert_eq!(root.read(path("store/data")).unwrap(), b"store.vaultup-1");
    assert_ne!(measured(&root, "store"), measured(&root, "store.vaultup-1"));
    root.remove(path("store.vaultup-1")).unwrap();
    root.remove(path("x.vaultup-1")).unwrap_err();
    root.remove(path("store")).unwrap_err();
    assert_eq!(root.locate(&world.at("store/data")).unwrap().as_str(), "store/data");
    assert!(root.locate(&world.at("store2")).is_none());
}

#[test]
fn what_is_not_there_or_not_absolute_is_no_root() {
    let world = World::new();
    assert!(matches!(Root::open(&world.at("no"), Access::Read), Err(Error::Absent { .. })));
    Root::open(Path::new("src"), Access::Read).unwrap_err();
    Root::open_beside(Path::new("src/lib.rs"), Access::Read).unwrap_err();
    Root::open_beside(Path::new("/"), Access::Read).unwrap_err();
    let absent = Root::open_beside(&world.at("no"), Access::Write).unwrap();
    assert_eq!(absent.describe(path("no")).unwrap(), None);
    Root::open_beside(&world.at("no/no"), Access::Write).unwrap_err();
}
