//! Plugins as files, from the bytes to the grant. Components are written by hand: none is run.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::Name;
use model::contract::Interface;
use model::problem::{Exit, Problem};
use tempfile::TempDir;
use vaultup_registry::{
    Bundled, CODES, COMPONENT_BYTES_MAX, Error, NAMES_MAX, PluginStore, Registry, inspect,
    lock_file,
};
use wasm_encoder::{CustomSection, Encode};

const DEPLOY: &str = "vaultup:plugin/deploy@0.1.0";

/// A manifest of the plugin `host` that deploys.
fn manifest(more: &str) -> String {
    format!(
        "format = 1\nname = \"host\"\nversion = \"0.1.0\"\ncontract = \"0.1\"\n\
         description = \"a test\"\nexports = [\"deploy\"]\n{more}"
    )
}

const RUNS: &str = "[[tools]]\nname = \"true\"\n[[process]]\nclass = \"read\"\nargv = [\"true\"]\n";

/// A component with these imports and exports, all empty instances.
fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let imports: String =
        imports.iter().map(|name| format!("(import \"{name}\" (instance))")).collect();
    let exports: String = exports
        .iter()
        .enumerate()
        .map(|(n, name)| format!("(instance $i{n}) (export \"{name}\" (instance $i{n}))"))
        .collect();
    wat::parse_str(format!("(component {imports} {exports})")).unwrap()
}

fn with_manifest(mut component: Vec<u8>, manifest: &str) -> Vec<u8> {
    component.push(0);
    let data = manifest.as_bytes().into();
    CustomSection { name: "vaultup:manifest".into(), data }.encode(&mut component);
    component
}

fn plugin(more: &str) -> Vec<u8> {
    with_manifest(component(&[], &[DEPLOY]), &manifest(more))
}

fn refused(bytes: &[u8]) -> Error {
    inspect(bytes).unwrap_err()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A stack's directory with a registry.
struct House {
    scratch: TempDir,
    registry: Registry,
}

impl House {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let registry = Self::registry(&scratch, "data");
        Self { scratch, registry }
    }

    fn registry(scratch: &TempDir, data: &str) -> Registry {
        let store = PluginStore::open(&scratch.path().join(data)).unwrap();
        let bundled = Bundled::beside(&scratch.path().join("bin/vaultup"));
        Registry::new(store, bundled, scratch.path())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn lock(&self) -> PathBuf {
        self.at(lock_file::LOCK_FILE)
    }

    /// Adds a component as `./host.wasm` and grants what it asks for.
    fn add_and_grant(&self, bytes: &[u8]) {
        fs::write(self.at("host.wasm"), bytes).unwrap();
        let fetched = self.registry.fetch("./host.wasm", self.scratch.path()).unwrap();
        lock_file::change(&self.lock(), |lock| {
            self.registry.install(lock, &fetched)?;
            self.registry.grant(lock, &name("host"), Timestamp::UNIX_EPOCH, "ana@desk")
        })
        .unwrap();
    }

    fn granted(&self) -> Result<vaultup_registry::Granted, Error> {
        self.registry.granted(&lock_file::read(&self.lock()).unwrap(), &name("host"))
    }
}

#[test]
fn a_plugin_tells_its_manifest_exports_and_imports_without_being_compiled() {
    let imports =
        ["vaultup:plugin/process@0.1.0", "wasi:cli/exit@0.2.6", "wasi:random/random@0.2.0"];
    let helper = "example:helper/tools@1.0.0";
    let bytes = with_manifest(component(&imports, &[DEPLOY, helper]), &manifest(RUNS));
    let inspected = inspect(&bytes).unwrap();
    assert_eq!(inspected.manifest.name, name("host"));
    assert_eq!(inspected.exports, [Interface::Deploy]);
    assert_eq!(inspected.imports, imports);
    assert_eq!(inspected.digest, vaultup_registry::digest(&bytes));
    assert!(inspected.digest.starts_with("blake3:") && inspected.digest.len() == 71);
}

#[test]
fn what_is_no_component_is_told_apart() {
    assert!(matches!(refused(b""), Error::NotWebAssembly));
    assert!(matches!(refused(b"\x7fELF and so on"), Error::NotWebAssembly));
    let module = wat::parse_str("(module (func))").unwrap();
    assert!(matches!(refused(&module), Error::CoreModule));
    assert!(matches!(refused(&component(&[], &[DEPLOY])), Error::ManifestMissing));
    let twice = with_manifest(plugin(""), &manifest(""));
    assert!(matches!(refused(&twice), Error::Damaged(_)));
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused_and_never_panics() {
    let nested = "(component (core module (func (export \"f\")) (data \"0123456789\")))";
    let whole = with_manifest(wat::parse_str(nested).unwrap(), &manifest(""));
    for length in 0..whole.len() {
        inspect(&whole[..length]).unwrap_err();
    }
    let whole = plugin("");
    for length in 0..whole.len() {
        inspect(&whole[..length]).unwrap_err();
    }
}

#[test]
fn a_flipped_bit_never_panics() {
    let whole = with_manifest(component(&["wasi:cli/exit@0.2.6"], &[DEPLOY]), &manifest(""));
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Some bits are a letter of the description; what matters is that an answer comes.
        let _ = inspect(&bytes);
    }
}

#[test]
fn the_largest_component_is_looked_at_and_one_byte_more_is_not() {
    let mut bytes = b"\0asm".to_vec();
    bytes.resize(COMPONENT_BYTES_MAX, 0);
    assert!(matches!(refused(&bytes), Error::Damaged(_)));
    bytes.push(0);
    assert!(matches!(refused(&bytes), Error::TooLarge { .. }));
}

#[test]
fn as_many_names_as_are_allowed_are_read_and_not_one_more() {
    let helpers: Vec<String> =
        (0..NAMES_MAX).map(|n| format!("example:helper/i{n}@1.0.0")).collect();
    let mut exports: Vec<&str> = helpers.iter().map(String::as_str).collect();
    exports[0] = DEPLOY;
    inspect(&with_manifest(component(&[], &exports), &manifest(""))).unwrap();
    exports.push("example:helper/one-more@1.0.0");
    let error = refused(&with_manifest(component(&[], &exports), &manifest("")));
    assert!(matches!(error, Error::Damaged(_)), "{error}");
}

#[test]
fn exports_must_be_those_of_the_manifest() {
    let health = "vaultup:plugin/health-check@0.1.0";
    for exports in [&[][..], &[DEPLOY, health], &[health], &["example:helper/deploy@0.1.0"]] {
        let error = refused(&with_manifest(component(&[], exports), &manifest("")));
        assert!(matches!(error, Error::ExportsDiffer { .. }), "{exports:?}: {error}");
    }
}

#[test]
fn imports_beyond_the_contract_and_language_runtimes_are_refused_by_name() {
    let refused_names = [
        "wasi:filesystem/types@0.2.6",
        "wasi:filesystem/preopens@0.2.6",
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/outgoing-handler@0.2.6",
        "wasi:cli/run@0.2.6",
        "wasi:cli/exit@0.3.0",
        "wasi:randomness/x@0.2.0",
        "example:evil/everything@1.0.0",
        "vaultup:plugin/everything@0.1.0",
        "vaultup:other/process@0.1.0",
        "anything",
    ];
    for import in refused_names {
        let error = refused(&with_manifest(component(&[import], &[DEPLOY]), &manifest(RUNS)));
        assert!(error.to_string().contains(import), "{error}");
        assert!(matches!(error, Error::ImportRefused { .. }));
    }
}

#[test]
fn an_interface_that_the_manifest_does_not_ask_for_is_refused() {
    for import in ["process", "files", "http"] {
        let imported = format!("vaultup:plugin/{import}@0.1.0");
        let error = refused(&with_manifest(component(&[&imported], &[DEPLOY]), &manifest("")));
        assert!(matches!(&error, Error::ImportNotAsked { import: found, .. } if found == import));
        assert!(error.next().unwrap().contains(&format!("[[{import}]]")));
    }
    for import in ["log", "progress", "cancel", "clock", "secret", "artifact", "types"] {
        let imported = format!("vaultup:plugin/{import}@0.1.0");
        inspect(&with_manifest(component(&[&imported], &[DEPLOY]), &manifest(""))).unwrap();
    }
}

#[test]
fn a_newer_contract_is_refused_and_both_versions_are_named() {
    let told = manifest("").replace("contract = \"0.1\"", "contract = \"0.7\"");
    let by_manifest = with_manifest(component(&[], &[DEPLOY]), &told);
    // The manifest says 0.1, and the component was built against something newer.
    let newer = "vaultup:plugin/deploy@0.7.0";
    let by_export = with_manifest(component(&[], &[newer]), &manifest(""));
    let newer = "vaultup:plugin/log@0.7.3";
    let by_import = with_manifest(component(&[newer], &[DEPLOY]), &manifest(""));
    for bytes in [by_manifest, by_export, by_import] {
        let error = refused(&bytes);
        let said = error.to_string();
        assert!(said.contains("0.7") && said.contains("0.1"), "{said}");
        assert_eq!(error.code().0, 100);
        assert_eq!(error.exit(), Exit::BadInput);
    }
}

#[test]
fn a_wrong_manifest_has_its_place() {
    let wrong = manifest("exprots = []\n");
    let error = refused(&with_manifest(component(&[], &[DEPLOY]), &wrong));
    assert_eq!(error.place().unwrap().file, "plugin.toml");
    assert_eq!(error.place().unwrap().line, 7);
}

#[test]
fn the_store_is_private_and_gives_only_what_its_names_say() {
    let house = House::new();
    house.add_and_grant(&plugin(""));
    let digest = house.granted().unwrap().digest().to_owned();
    let path = house.registry.store().path(&digest).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(house.registry.store().read(&digest).unwrap(), plugin(""));
    fs::write(&path, plugin(RUNS)).unwrap();
    assert!(matches!(house.registry.store().read(&digest), Err(Error::StoreDamaged { .. })));
    assert!(matches!(house.granted(), Err(Error::StoreDamaged { .. })));
    // Adding it again mends it.
    house.add_and_grant(&plugin(""));
    house.granted().unwrap();
    house.registry.store().remove(&digest).unwrap();
    house.registry.store().remove(&digest).unwrap();
    assert!(!house.registry.store().contains(&digest));
}

#[test]
fn only_a_digest_leads_to_a_file_of_the_store() {
    let house = House::new();
    let short = format!("blake3:{}", "a".repeat(63));
    let upper = format!("blake3:{}", "A".repeat(64));
    let path = format!("blake3:{}", "../".repeat(21) + "a");
    for text in ["", "blake3:", "../../etc/passwd", &short, &upper, &path] {
        assert!(matches!(house.registry.store().path(text), Err(Error::NoDigest { .. })));
        assert!(!house.registry.store().contains(text));
    }
}

#[test]
fn a_plugin_that_is_not_installed_is_named_with_the_nearest_one() {
    let house = House::new();
    house.add_and_grant(&plugin(""));
    let lock = lock_file::read(&house.lock()).unwrap();
    let error = house.registry.granted(&lock, &name("hosts")).unwrap_err();
    assert_eq!(error.to_string(), "plugin `hosts` is not installed (did you mean `host`?)");
    assert_eq!(
        error.next().unwrap(),
        "`vaultup plugin add hosts`, or `vaultup plugin add ./hosts.wasm`"
    );
    let error = house.registry.granted(&lock, &name("postgres")).unwrap_err();
    assert_eq!(error.to_string(), "plugin `postgres` is not installed");
}

#[test]
fn what_was_not_granted_or_revoked_does_not_run() {
    let house = House::new();
    fs::write(house.at("host.wasm"), plugin(RUNS)).unwrap();
    let fetched = house.registry.fetch("./host.wasm", house.scratch.path()).unwrap();
    let installed =
        lock_file::change(&house.lock(), |lock| house.registry.install(lock, &fetched)).unwrap();
    assert_eq!(installed.name, name("host"));
    assert!(installed.to_grant.iter().any(|line| line.contains("true")), "{installed:?}");
    let error = house.granted().unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }));
    assert_eq!(error.next().unwrap(), "`vaultup plugin grant host`");
    house.add_and_grant(&plugin(RUNS));
    house.granted().unwrap();
    lock_file::change(&house.lock(), |lock| lock_file::revoke(lock, &name("host"))).unwrap();
    assert!(matches!(house.granted(), Err(Error::NotGranted { .. })));
    let again = lock_file::change(&house.lock(), |lock| lock_file::revoke(lock, &name("host")));
    assert!(matches!(again, Err(Error::NotGranted { .. })));
    lock_file::change(&house.lock(), |lock| lock_file::remove(lock, &name("host"))).unwrap();
    assert!(matches!(house.granted(), Err(Error::NotInstalled { .. })));
}

#[test]
fn an_update_that_asks_for_no_more_keeps_its_grant_and_one_that_asks_for_more_loses_it() {
    let house = House::new();
    house.add_and_grant(&plugin(RUNS));
    let update = |bytes: &[u8]| {
        fs::write(house.at("host.wasm"), bytes).unwrap();
        let fetched = house.registry.fetch("./host.wasm", house.scratch.path()).unwrap();
        lock_file::change(&house.lock(), |lock| house.registry.install(lock, &fetched)).unwrap()
    };
    let newer = manifest(RUNS).replace("0.1.0", "0.2.0");
    let installed = update(&with_manifest(component(&[], &[DEPLOY]), &newer));
    assert_eq!(installed.to_grant, Vec::<String>::new());
    assert_eq!(house.granted().unwrap().manifest().version.to_string(), "0.2.0");
    let wider = RUNS.replace("class = \"read\"", "class = \"change\"");
    let installed = update(&plugin(&wider));
    assert_eq!(installed.to_grant.len(), 1, "{installed:?}");
    assert!(matches!(house.granted(), Err(Error::NotGranted { .. })));
}

#[test]
fn needs_beyond_the_grant_are_refused_even_for_the_digest_in_the_lock() {
    let house = House::new();
    house.add_and_grant(&plugin(RUNS));
    // A lock whose grant belongs to other needs, its own digest right.
    let mut lock = lock_file::read(&house.lock()).unwrap();
    let narrow = inspect(&plugin("")).unwrap().manifest.needs();
    lock.plugins.get_mut(&name("host")).unwrap().grant.as_mut().unwrap().needs = narrow;
    let error = house.registry.granted(&lock, &name("host")).unwrap_err();
    assert!(matches!(&error, Error::Wider { wider, .. } if wider.len() == 2), "{error}");
    assert_eq!(error.next().unwrap(), "`vaultup plugin grant host`");
}

#[test]
fn the_same_lock_on_another_machine_fetches_what_it_names_and_nothing_else() {
    let house = House::new();
    house.add_and_grant(&plugin(RUNS));
    let lock = lock_file::read(&house.lock()).unwrap();
    assert_eq!(lock.plugins[&name("host")].source, "./host.wasm");
    let elsewhere = House::registry(&house.scratch, "other-data");
    elsewhere.granted(&lock, &name("host")).unwrap();
    assert!(elsewhere.store().contains(&lock.plugins[&name("host")].digest));
    // There, the file was exchanged before it was ever kept.
    fs::write(house.at("host.wasm"), plugin("")).unwrap();
    let third = House::registry(&house.scratch, "third-data");
    let error = third.granted(&lock, &name("host")).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    assert!(error.next().unwrap().contains("vaultup plugin add ./host.wasm"));
    fs::remove_file(house.at("host.wasm")).unwrap();
    assert!(matches!(third.granted(&lock, &name("host")), Err(Error::File { .. })));
    // Where it was kept, its source does not matter.
    house.granted().unwrap();
}

#[test]
fn a_component_under_anothers_name_is_refused() {
    let house = House::new();
    house.add_and_grant(&plugin(""));
    let mut lock = lock_file::read(&house.lock()).unwrap();
    let locked = lock.plugins.remove(&name("host")).unwrap();
    lock.plugins.insert(name("helm"), locked);
    let error = house.registry.granted(&lock, &name("helm")).unwrap_err();
    assert!(matches!(error, Error::NameDiffers { .. }), "{error}");
}

#[test]
fn bundled_plugins_go_by_name_and_need_a_grant_like_any_other() {
    let scratch = tempfile::tempdir().unwrap();
    for place in ["bin/plugins", "share/vaultup/plugins"] {
        fs::create_dir_all(scratch.path().join(place)).unwrap();
    }
    fs::write(scratch.path().join("bin/plugins/host.wasm"), plugin("")).unwrap();
    fs::write(scratch.path().join("bin/plugins/README.md"), "no plugin").unwrap();
    let other = manifest("").replace("\"host\"", "\"files\"");
    let other = with_manifest(component(&[], &[DEPLOY]), &other);
    fs::write(scratch.path().join("share/vaultup/plugins/files.wasm"), other).unwrap();
    let house = House { registry: House::registry(&scratch, "data"), scratch };
    let names: Vec<&str> = house.registry.bundled().names().map(Name::as_str).collect();
    assert_eq!(names, ["files", "host"]);
    let fetched = house.registry.fetch("host", Path::new("/")).unwrap();
    assert_eq!(fetched.source.to_string(), "host");
    lock_file::change(&house.lock(), |lock| house.registry.install(lock, &fetched)).unwrap();
    assert!(matches!(house.granted(), Err(Error::NotGranted { .. })));
    let error = house.registry.fetch("hots", Path::new("/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no plugin `hots` comes with vaultup: files, host do (did you mean `host`?)"
    );
}

#[test]
fn a_change_that_fails_leaves_the_lock_as_it_was() {
    let house = House::new();
    house.add_and_grant(&plugin(""));
    let before = fs::read(house.lock()).unwrap();
    let failed = lock_file::change(&house.lock(), |lock| {
        lock.plugins.clear();
        lock_file::revoke(lock, &name("host"))
    });
    assert!(matches!(failed, Err(Error::NotInstalled { .. })));
    assert_eq!(fs::read(house.lock()).unwrap(), before);
    fs::write(house.lock(), "format = 1\n[[plugin]]\nnme = \"host\"\n").unwrap();
    let error = lock_file::read(&house.lock()).unwrap_err();
    assert_eq!(error.place().unwrap().line, 2);
}

#[test]
fn changes_from_several_threads_lose_nothing() {
    let house = House::new();
    let names: Vec<String> = (0..16).map(|n| format!("plugin-{n}")).collect();
    std::thread::scope(|scope| {
        for text in &names {
            let (lock, registry) = (house.lock(), house.registry.clone());
            let file = house.at(&format!("{text}.wasm"));
            scope.spawn(move || {
                let own = manifest("").replace("\"host\"", &format!("\"{text}\""));
                fs::write(&file, with_manifest(component(&[], &[DEPLOY]), &own)).unwrap();
                let fetched = registry.fetch(file.to_str().unwrap(), Path::new("/")).unwrap();
                lock_file::change(&lock, |lock| registry.install(lock, &fetched)).unwrap();
            });
        }
    });
    assert_eq!(lock_file::read(&house.lock()).unwrap().plugins.len(), names.len());
}

#[test]
fn every_error_says_what_to_do_next() {
    let house = House::new();
    let lock = lock_file::read(&house.lock()).unwrap();
    let errors = [
        refused(b""),
        refused(&wat::parse_str("(module)").unwrap()),
        refused(&component(&[], &[])),
        refused(&with_manifest(component(&["x"], &[DEPLOY]), &manifest(""))),
        refused(&with_manifest(component(&[], &[]), &manifest(""))),
        house.registry.granted(&lock, &name("host")).unwrap_err(),
        house.registry.fetch("./nothing.wasm", house.scratch.path()).unwrap_err(),
        house.registry.fetch("nothing", house.scratch.path()).unwrap_err(),
    ];
    for error in errors {
        assert!(error.next().is_some_and(|next| !next.is_empty()), "{error}");
        assert!(CODES.iter().any(|(number, _)| *number == error.code().0), "{error}");
        assert!(error.state().is_none(), "nothing was changed");
    }
}
