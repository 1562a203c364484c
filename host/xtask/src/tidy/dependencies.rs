//! What depends on what: arrows point down, and each library has a reason.

use std::collections::BTreeSet;

use super::words::has_word;
use super::{Finding, Member, Need, Source, Tree};

const ROOT: &str = "Cargo.toml";
/// Shorter is no reason.
const REASON_CHARACTERS_MIN: usize = 10;
/// Sections of a member's manifest end like this if they list dependencies.
const SECTION_END: &str = "dependencies]";

/// The one member with lints of its own, and in what they differ.
const UNSAFE_MANIFEST: &str = "host/sandbox/Cargo.toml";
const UNSAFE_FORBIDDEN: &str = "rust::unsafe_code=\"forbid\"";
const UNSAFE_DENIED: &str = "rust::unsafe_code=\"deny\"";

/// The rooms of the house: which of them each may ask. A crate that is not here has no place yet.
const ARROWS: &[(&str, &[&str])] = &[
    ("vaultup-model", &[]),
    ("vaultup-engine", &["vaultup-model"]),
    ("vaultup-journal", &["vaultup-model"]),
    ("vaultup-system", &["vaultup-model"]),
    // What is fetched comes over HTTP.
    ("vaultup-registry", &["vaultup-model", "vaultup-system"]),
    ("vaultup-vault", &["vaultup-model"]),
    // What a plugin imports is an effect of `system`, or a stream of `vault`; which plugin it is,
    // `registry` knows.
    ("vaultup-sandbox", &["vaultup-model", "vaultup-registry", "vaultup-system", "vaultup-vault"]),
    (
        "vaultup-runner",
        &[
            "vaultup-engine",
            "vaultup-journal",
            "vaultup-model",
            "vaultup-registry",
            "vaultup-sandbox",
            "vaultup-system",
            "vaultup-vault",
        ],
    ),
    (
        "vaultup-cli",
        &[
            "vaultup-engine",
            "vaultup-journal",
            "vaultup-model",
            "vaultup-registry",
            "vaultup-runner",
            "vaultup-sandbox",
            "vaultup-system",
            "vaultup-vault",
        ],
    ),
    // In native tests only: what a manifest grants, the host decides.
    ("vaultup-sdk", &["vaultup-model"]),
    ("vaultup-kubectl", &["vaultup-sdk"]),
    ("vaultup-evil", &["vaultup-sdk"]),
    ("vaultup-sample", &[]),
    ("vaultup-sim", &["vaultup-engine", "vaultup-model"]),
    ("vaultup-tests-cli", &[]),
    ("xtask", &["vaultup-tests-cli"]),
];
/// Plugins know what a stranger's plugin could know, and what they share among themselves.
const PLUGIN_PREFIX: &str = "vaultup-plugin-";
const PLUGIN_ARROWS: &[&str] = &["vaultup-kubectl", "vaultup-sdk"];
/// Tests of the whole may look into every room.
const TESTS: &str = "tests/";

/// Libraries that only some crates may know, so that the trust boundary stays where it is. What
/// lies in `tests/`, and a crate's own tests, may look in from outside.
const ONE_CRATE: &[(&str, &[&str])] = &[
    ("anyhow", &["vaultup-cli", "xtask"]),
    ("clap", &["vaultup-cli"]),
    ("reqwest", &["vaultup-system", "vaultup-registry"]),
    ("rusqlite", &["vaultup-journal"]),
    ("wasmtime", &["vaultup-sandbox"]),
    ("wasmtime-wasi", &["vaultup-sandbox"]),
];

/// Every library in the root manifest says in a comment what it is there for.
pub(super) fn reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(root) = tree.file(ROOT) else { return findings };
    for (number, name, line) in dependency_lines(root) {
        let reason = line.split_once('#').map_or("", |(_, reason)| reason.trim());
        if reason.chars().count() < REASON_CHARACTERS_MIN && !line.contains("path =") {
            let message = format!("say in a comment on the line what `{name}` is there for");
            findings.push(root.finding(number, message));
        }
    }
    findings
}

/// Members inherit versions and features, so that both are said once.
pub(super) fn versions_stand_in_the_root(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in manifests(tree) {
        for (number, name, line) in dependency_lines(manifest) {
            if !line.contains("workspace = true") {
                let message = format!("`{name}` stands in the root's [workspace.dependencies]");
                findings.push(manifest.finding(number, message));
            }
        }
    }
    findings
}

/// Members inherit the lints. The one that may load compiled code repeats them: what is forbidden
/// cannot be excepted, so that it denies it instead.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = tree.file(ROOT).map_or("", |file| &file.text);
    for manifest in manifests(tree) {
        if manifest.text.contains("[lints]\nworkspace = true") {
            continue;
        }
        if manifest.path != UNSAFE_MANIFEST {
            findings.push(manifest.finding(0, "inherit the lints: `[lints]` `workspace = true`"));
        } else if lint_levels(&manifest.text, "") != unsafe_denied(lint_levels(root, "workspace."))
        {
            findings
                .push(manifest.finding(0, "repeat the workspace's lints, `unsafe_code` denied"));
        }
    }
    findings
}

/// Arrows between the crates of the house point down.
pub(super) fn arrows(tree: &Tree) -> Vec<Finding> {
    let house: BTreeSet<&str> = tree.members.iter().map(|member| member.name.as_str()).collect();
    let mut findings = Vec::new();
    for member in &tree.members {
        let Some(down) = arrows_of(&member.name) else {
            if !member.folder.starts_with(TESTS) {
                let message = format!("`{}` is not in the table of arrows", member.name);
                findings.push(in_manifest(member, message));
            }
            continue;
        };
        let inside = member.dependencies.iter().filter(|need| house.contains(&*need.package));
        for need in inside.filter(|need| !need.is_for_tests) {
            if !down.contains(&need.package.as_str()) {
                let message = format!("the arrow to `{}` does not point down", need.package);
                findings.push(in_manifest(member, message));
            }
        }
    }
    findings
}

/// A trust boundary has one side that knows.
pub(super) fn one_crate_knows(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in tree.members.iter().filter(|member| !member.folder.starts_with(TESTS)) {
        for (library, knowing) in ONE_CRATE {
            let knows = |need: &Need| need.package == *library && !need.is_for_tests;
            if member.dependencies.iter().any(knows) && !knowing.contains(&member.name.as_str()) {
                let message = format!("only {} may know `{library}`", knowing.join(", "));
                findings.push(in_manifest(member, message));
            }
        }
    }
    findings
}

/// What is asked for is used: by a member's code, and by a member.
pub(super) fn unused(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &tree.members {
        for need in member.dependencies.iter().filter(|need| !is_named(tree, member, need)) {
            let message = format!("`{}` is not used by the code", need.package);
            findings.push(in_manifest(member, message));
        }
    }
    let Some(root) = tree.file(ROOT) else { return findings };
    let asked = |name: &str| manifests(tree).any(|file| asks_for(file, name));
    for (number, name, _) in dependency_lines(root) {
        if !asked(name) {
            findings.push(root.finding(number, format!("no member asks for `{name}`")));
        }
    }
    findings
}

/// The lints that a manifest sets, without comments and spaces.
fn lint_levels(manifest: &str, prefix: &str) -> BTreeSet<String> {
    let mut levels = BTreeSet::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            let name = line.trim_matches(['[', ']']).strip_prefix(prefix).unwrap_or_default();
            section = name.strip_prefix("lints.").unwrap_or_default();
        } else if let Some((lint, level)) = line.split('#').next().and_then(|l| l.split_once('='))
            && !section.is_empty()
        {
            levels.insert(format!("{section}::{}={}", lint.trim(), level.trim()));
        }
    }
    levels
}

fn unsafe_denied(levels: BTreeSet<String>) -> BTreeSet<String> {
    levels.into_iter().map(|level| level.replace(UNSAFE_FORBIDDEN, UNSAFE_DENIED)).collect()
}

fn arrows_of(name: &str) -> Option<&'static [&'static str]> {
    if name.starts_with(PLUGIN_PREFIX) {
        return Some(PLUGIN_ARROWS);
    }
    ARROWS.iter().find(|(from, _)| *from == name).map(|(_, down)| *down)
}

fn in_manifest(member: &Member, message: String) -> Finding {
    Finding::new(format!("{}/{ROOT}", member.folder), 0, message)
}

/// Whether the code names the library: anywhere if it is for tests, else outside of `tests/`.
fn is_named(tree: &Tree, member: &Member, need: &Need) -> bool {
    let folder = format!("{}/", member.folder);
    let tests = format!("{folder}tests/");
    let mut files = tree.rust().filter(|file| {
        file.path.starts_with(&folder) && (need.is_for_tests || !file.path.starts_with(&tests))
    });
    files.any(|file| file.code.lines().any(|line| has_word(line, &need.identifier)))
}

/// The manifests of members.
fn manifests(tree: &Tree) -> impl Iterator<Item = &Source> {
    let paths = tree.members.iter().map(|member| format!("{}/{ROOT}", member.folder));
    paths.filter_map(|path| tree.file(&path))
}

fn asks_for(manifest: &Source, name: &str) -> bool {
    dependency_lines(manifest).iter().any(|(_, asked, _)| *asked == name)
}

/// Number, name and text of each line that asks for a library. The house writes one line each.
fn dependency_lines(manifest: &Source) -> Vec<(usize, &str, &str)> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for (number, line) in manifest.lines() {
        if line.starts_with('[') {
            is_inside = line.trim_end().ends_with(SECTION_END);
        } else if is_inside
            && !line.trim_start().starts_with('#')
            && let Some((key, _)) = line.split_once('=')
        {
            let name = key.trim().split('.').next().unwrap_or_default();
            found.push((number, name, line));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{shown, tree};
    use super::*;

    fn member(name: &str, folder: &str, needs: &[(&str, bool)]) -> Member {
        let need = |(package, is_for_tests): &(&str, bool)| Need {
            package: (*package).to_owned(),
            identifier: package.replace('-', "_"),
            is_for_tests: *is_for_tests,
        };
        let dependencies = needs.iter().map(need).collect();
        Member { name: name.to_owned(), folder: folder.to_owned(), dependencies }
    }

    #[test]
    fn a_library_without_a_reason_is_found() {
        let root = "[workspace]\nresolver = \"3\"\n[workspace.dependencies]\n# A heading\n\
                    model = { path = \"host/model\" }\nserde = \"1\" # every format on disk\n\
                    toml = { version = \"1\", features = [\"x\"] } # files\n[profile.dev]\na = 1\n";
        assert_eq!(
            shown(&reasons(&tree(&[(ROOT, root)]))),
            ["error: Cargo.toml:7: say in a comment on the line what `toml` is there for"]
        );
    }

    #[test]
    fn a_version_of_a_members_own_is_found() {
        let mut tree = tree(&[
            ("host/a/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
            ("host/b/Cargo.toml", "[dev-dependencies]\nserde = \"1\"\n"),
        ]);
        tree.members = vec![member("a", "host/a", &[]), member("b", "host/b", &[])];
        assert_eq!(
            shown(&versions_stand_in_the_root(&tree)),
            ["error: host/b/Cargo.toml:2: `serde` stands in the root's [workspace.dependencies]"]
        );
    }

    #[test]
    fn lints_of_a_members_own_are_found_even_where_unsafe_code_is_excepted() {
        let root = "[workspace.lints.rust]\nunsafe_code = \"forbid\" # why\nx = \"warn\"\n\
                    [workspace.lints.clippy]\ny = \"deny\"\n[profile.dev]\nz = \"1\"\n";
        let own =
            "[lints.rust]\nunsafe_code = \"deny\"\nx = \"warn\"\n[lints.clippy]\ny=\"deny\"\n";
        let found = |sandbox: &str| {
            let mut tree = tree(&[
                (ROOT, root),
                ("host/a/Cargo.toml", "[lints]\nworkspace = true\n"),
                ("host/b/Cargo.toml", own),
                (UNSAFE_MANIFEST, sandbox),
            ]);
            let folders = ["host/a", "host/b", "host/sandbox"];
            tree.members = folders.iter().map(|folder| member("x", folder, &[])).collect();
            shown(&lints(&tree))
        };
        let inherit = "error: host/b/Cargo.toml: inherit the lints: `[lints]` `workspace = true`";
        assert_eq!(found(own), [inherit]);
        assert_eq!(found(&own.replace("\"warn\"", "\"deny\"")).len(), 2);
        assert_eq!(found(&own.replace("[lints.clippy]\ny=\"deny\"\n", "")).len(), 2);
    }

    #[test]
    fn an_arrow_that_points_up_or_sideways_is_found() {
        let members = vec![
            member("vaultup-model", "host/model", &[("serde", false)]),
            member("vaultup-engine", "host/engine", &[("vaultup-model", false)]),
            member("vaultup-vault", "host/vault", &[("vaultup-engine", false)]),
            member("vaultup-system", "host/system", &[("vaultup-engine", true)]),
            member("vaultup-plugin-host", "plugins/host", &[("vaultup-model", false)]),
            member("vaultup-crash", "tests/crash", &[("vaultup-engine", false)]),
            member("vaultup-new", "host/new", &[]),
        ];
        assert_eq!(
            shown(&arrows(&Tree { members, ..Tree::default() })),
            [
                "error: host/vault/Cargo.toml: the arrow to `vaultup-engine` does not point down",
                "error: plugins/host/Cargo.toml: the arrow to `vaultup-model` does not point down",
                "error: host/new/Cargo.toml: `vaultup-new` is not in the table of arrows",
            ]
        );
    }

    #[test]
    fn the_table_of_arrows_has_no_circle() {
        // Each row asks only rows that stand before it.
        for (index, (from, down)) in ARROWS.iter().enumerate() {
            for to in *down {
                assert!(ARROWS[..index].iter().any(|(above, _)| above == to), "{from} → {to}");
            }
        }
    }

    #[test]
    fn a_library_that_only_one_crate_may_know_is_found_elsewhere() {
        let members = vec![
            member("vaultup-sandbox", "host/sandbox", &[("wasmtime", false)]),
            member("vaultup-runner", "host/runner", &[("wasmtime", false)]),
            member("vaultup-vault", "host/vault", &[("rusqlite", true)]),
        ];
        assert_eq!(
            shown(&one_crate_knows(&Tree { members, ..Tree::default() })),
            ["error: host/runner/Cargo.toml: only vaultup-sandbox may know `wasmtime`"]
        );
    }

    #[test]
    fn what_nobody_uses_is_found() {
        let mut tree = tree(&[
            (ROOT, "[workspace.dependencies]\nserde = \"1\"\nwasm-thing = \"1\"\ntoml = \"1\"\n"),
            (
                "host/a/Cargo.toml",
                "[dependencies]\nserde.workspace = true\nwasm-thing = { workspace = true }\n",
            ),
            ("host/a/src/lib.rs", "// serde\nuse wasm_thing::X;\n"),
            ("host/a/tests/b.rs", "use serde::Serialize;\n"),
        ]);
        tree.members = vec![member("a", "host/a", &[("serde", false), ("wasm-thing", false)])];
        assert_eq!(
            shown(&unused(&tree)),
            [
                "error: host/a/Cargo.toml: `serde` is not used by the code",
                "error: Cargo.toml:4: no member asks for `toml`",
            ]
        );
        tree.members = vec![member("a", "host/a", &[("serde", true)])];
        assert_eq!(unused(&tree).len(), 1);
    }
}
