//! Wrong manifests, contracts that are not offered, and what an operator is shown of the right.

use std::collections::BTreeMap;

use model::manifest::{
    CONTRACT_OFFERED, Class, ENTRIES_MAX, MANIFEST_BYTES_MAX, Manifest, PROCESS_NEEDS_MAX, Runs,
};
use model::{Error, Problem, error::code};
use serde_json::json;

use crate::{Wrong, refuse};

const HEAD: &str = "format = 1\nname = \"helm\"\nversion = \"0.1.0\"\ncontract = \"0.1\"\n\
    description = \"Helm releases\"\nexports = [\"deploy\"]\n";

const TOOL: &str = "format = 1\nname = \"helm\"\nversion = \"0.1.0\"\ncontract = \"0.1\"\n\
    description = \"Helm releases\"\nexports = [\"deploy\"]\ntools = [{ name = \"helm\" }]\n";

#[test]
fn a_wrong_head_is_refused() {
    const CASES: &[Wrong] =
        &[("»format = 1", 4, "`name` is missing"), ("format = »2\nanything = true", 7, "format 2")];
    refuse("", CASES, Manifest::parse);
    let replaced = |old: &str, new: &str| HEAD.replacen(old, new, 1);
    let cases: [(&str, &str, u16, u32, u32, &str); 11] = [
        ("\"helm\"", "\"Helm\"", 6, 2, 8, "not a name"),
        ("\"helm\"", "[]", 5, 2, 8, "expected a text in `name`"),
        ("\"0.1.0\"", "\"0.1\"", 6, 3, 11, "no semantic version"),
        ("\"0.1\"", "\"0.1.0\"", 6, 4, 12, "no contract version"),
        ("\"0.1\"", "0.1", 5, 4, 12, "write it in quotes"),
        ("\"Helm releases\"", "\"\"", 6, 5, 15, "empty"),
        ("\"Helm releases\"", "\"a\\nb\"", 6, 5, 15, "control character"),
        ("[\"deploy\"]", "[]", 6, 6, 11, "exports nothing"),
        ("[\"deploy\"]", "[\"deplyo\"]", 6, 6, 12, "did you mean `deploy`?"),
        ("[\"deploy\"]", "[\"deploy\", \"deploy\"]", 8, 6, 11, "exported twice"),
        ("exports", "exprots", 4, 1, 1, "did you mean `exports` where `exprots` stands?"),
    ];
    for (old, new, number, line, column, fragment) in cases {
        let error = Manifest::parse(&replaced(old, new), "plugin.toml").unwrap_err();
        let place = error.place().unwrap();
        assert_eq!((error.code().0, place.line, place.column), (number, line, column), "{error}");
        let said = format!("{error} {}", error.next().unwrap_or_default());
        assert!(said.contains(fragment), "{said}");
    }
}

/// Follow [`TOOL`].
const WRONG_NEEDS: &[Wrong] = &[
    ("»tool = []", 3, "did you mean `tools`?"),
    ("[[process]]\nclass = »\"reed\"\nargv = [\"helm\"]", 6, "did you mean `read`?"),
    ("»[[process]]\nargv = [\"helm\"]", 4, "`class` is missing in `process[0]`"),
    ("»[[process]]\nclass = \"read\"", 17, "none of `argv`, `setting`, `release`"),
    ("»[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nsetting = \"a\"", 17, "more than one"),
    ("[[process]]\nclass = \"read\"\nargv = »\"helm status\"", 5, "expected a list"),
    ("[[process]]\nclass = \"read\"\nargv = »[]", 102, "begin with the tool"),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\", »1]", 5, "expected a text"),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\", »\"*\"]", 102, "wildcard"),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\", »\"{a:b}\"]", 102, "no known kind"),
    ("[[process]]\nclass = \"read\"\nargv = [»\"/bin/sh\"]", 102, "no tool"),
    ("[[process]]\nclass = \"read\"\nargv = »[\"hlem\"]", 103, "did you mean `helm`?"),
    ("[[process]]\nclass = \"change\"\nargv = »[\"sh\"]", 103, "add `[[tools]]`"),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\", »\"{a:text}\"]", 104, "only reads"),
    (
        "[[process]]\nclass = \"read\"\nargv = [\"helm\", »\"--set={a:assignment}*\"]",
        104,
        "`class = \"change\"`",
    ),
    ("[[process]]\nclass = \"read\"\nargv = »[\"helm\", \"{sql:literal}\"]", 108, "[literals]"),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nvariables = »[\"a\"]", 17, "placeholders"),
    ("[[process]]\nclass = \"read\"\nrelease = \"a\"\nvariables = [»\"A\"]", 6, "not a name"),
    ("[[process]]\nclass = \"read\"\nrelease = »\"a..b\"", 6, "empty part"),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\"]\n»shell = true", 3, "unknown key `shell`"),
    (
        "[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nenvironment = [»\"A=B\"]",
        6,
        "names no environment variables",
    ),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nenvironment = [»\"*\"]", 6, "HELM_*"),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nenvironment = [»\"H*\"]", 6, "HELM_*"),
    (
        "[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nenvironment = [»\"LD_*\"]",
        106,
        "which code",
    ),
    (
        "[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nenvironment = [»\"LD_PRELOAD\"]",
        106,
        "no plugin may set it",
    ),
    ("[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nenvironment = [»\"PATH\"]", 106, "`PATH`"),
    (
        "[[process]]\nclass = \"read\"\nargv = [\"helm\"]\nenvironment = [»\"BASH_*\"]",
        106,
        "BASH_*",
    ),
    ("[[process]]\nclass = \"read\"\nsetting = »\"drain\"", 107, "the schema has no `drain`"),
    ("[[files]]\nsetting = »\"chart\"\naccess = \"read\"", 107, "cannot have `chart`"),
    ("[[http]]\nsetting = »\"url\"", 107, "cannot have `url`"),
    (
        "[[files]]\nsetting = »\"a.dyr\"\naccess = \"read\"\n[settings.properties.a]\n\
         properties.dir = {}\nadditionalProperties = false",
        107,
        "did you mean `dir`?",
    ),
    ("»[[files]]\nsetting = \"a\"\n[settings]", 4, "`access` is missing"),
    ("[[files]]\nsetting = \"a\"\naccess = »\"rw\"\n[settings]", 6, "known: read, write"),
    ("[[files]]\nsetting = \"a\"\naccess = \"read\"\nbeside = »1\n[settings]", 5, "true or false"),
    ("»[[http]]", 17, "none of `setting`, `host`"),
    ("[[http]]\nhost = »\"api.example\"", 6, "no host with port"),
    ("[[http]]\nhost = »\"*.example:443\"", 6, "no wildcards"),
    ("[[http]]\nhost = »\"api.example:0\"", 6, "no host with port"),
    ("[[http]]\nhost = »\"http://api.example:80\"", 6, "no host with port"),
    ("[literals]\ncount = »3", 5, "expected a text in `literals.count`"),
    ("[literals]\ncount = »\"\"", 6, "empty"),
    ("[literals]\n»Count = \"x\"", 6, "not a name"),
];

#[test]
fn a_wrong_need_is_refused() {
    refuse(TOOL, WRONG_NEEDS, Manifest::parse);
}

#[test]
fn a_wrong_tool_is_refused() {
    const CASES: &[Wrong] = &[
        ("»[[tools]]", 4, "`name` is missing in `tools[0]`"),
        ("[[tools]]\nname = »\"/bin/sh\"", 6, "without a slash"),
        ("[[tools]]\nname = »\"../sh\"", 6, "without a slash"),
        ("[[tools]]\nname = »\"{a}\"", 6, "without a slash"),
        ("[[tools]]\nname = \"a\"\nversion = »\"new\"", 6, "no version range"),
        ("[[tools]]\nname = \"a\"\nask = »\"version\"", 5, "expected a list"),
        ("[[tools]]\nname = \"a\"\n[[tools]]\nname = »\"a\"", 8, "declared twice"),
        ("[[tools]]\nname = \"a\"\n»path = \"/bin/a\"", 3, "unknown key `path`"),
    ];
    refuse(HEAD, CASES, Manifest::parse);
}

#[test]
fn a_schema_that_is_none_or_that_could_hang_is_refused() {
    const CASES: &[Wrong] = &[
        ("settings = »3", 5, "expected a table in `settings`"),
        ("»[settings]\ntype = \"objekt\"", 105, "at `/type`"),
        ("»[settings]\nproperties.a.pattern = \"(\"", 105, "cannot be used"),
        ("»[settings]\nproperties.a.pattern = \"(?=a)\"", 105, "cannot be used"),
        ("»[settings]\nproperties.a.\"$ref\" = \"https://evil.example/s\"", 105, "leads outside"),
        ("»[settings]\nproperties.a.\"$ref\" = \"file:///etc/passwd\"", 105, "leads outside"),
        ("»[settings]\nproperties.a.\"$ref\" = \"#/$defs/b\"", 105, "leads nowhere"),
        ("»[settings]\nproperties.a.\"$ref\" = \"#\"", 105, "in a circle"),
        (
            "»[settings]\n\"$ref\" = \"#/$defs/a\"\n\"$defs\".a.\"$ref\" = \"#/$defs/a\"",
            105,
            "circle",
        ),
        ("»[settings]\n\"$id\" = \"https://a.example\"", 105, "`$id`"),
        ("»[settings]\n\"$dynamicRef\" = \"#a\"", 105, "`$dynamicRef`"),
        ("»[settings]\n\"$schema\" = \"https://evil.example/schema\"", 105, "cannot be used"),
    ];
    refuse(HEAD, CASES, Manifest::parse);
}

#[test]
fn a_schema_that_doubles_itself_or_leads_too_deep_is_refused_soon() {
    let doubling = |count: usize| {
        let each = |n| {
            let reference = format!("{{ \"$ref\" = \"#/$defs/d{}\" }}", n + 1);
            format!("\"$defs\".d{n}.allOf = [{reference}, {reference}]\n")
        };
        let last = format!("\"$defs\".d{count}.type = \"string\"\n");
        format!(
            "{HEAD}[settings]\nproperties.a.\"$ref\" = \"#/$defs/d0\"\n{}{last}",
            (0..count).map(each).collect::<String>()
        )
    };
    Manifest::parse(&doubling(5), "f").unwrap();
    let error = Manifest::parse(&doubling(30), "f").unwrap_err();
    assert_eq!(error.code(), code::SCHEMA_INVALID);
    assert!(error.to_string().contains("more than 20000 parts"), "{error}");
    let chain = |count: usize| {
        let each = |n| format!("\"$defs\".d{n}.\"$ref\" = \"#/$defs/d{}\"\n", n + 1);
        let last = format!("\"$defs\".d{count}.type = \"string\"\n");
        format!(
            "{HEAD}[settings]\nproperties.a.\"$ref\" = \"#/$defs/d0\"\n{}{last}",
            (0..count).map(each).collect::<String>()
        )
    };
    Manifest::parse(&chain(31), "f").unwrap();
    let error = Manifest::parse(&chain(1000), "f").unwrap_err();
    assert!(error.to_string().contains("`$ref`s lead to one another"), "{error}");
    let patterns = |count: usize| {
        let each = |n| format!("properties.p{n}.pattern = \"^[a-z]{{1,5}}$\"\n");
        format!("{HEAD}[settings]\n{}", (0..count).map(each).collect::<String>())
    };
    Manifest::parse(&patterns(50), "f").unwrap();
    let error = Manifest::parse(&patterns(51), "f").unwrap_err();
    assert!(error.to_string().contains("more than 50 patterns"), "{error}");
}

#[test]
fn a_contract_that_is_not_offered_is_said_with_both_versions() {
    let with = |contract: &str| HEAD.replace("\"0.1\"", &format!("\"{contract}\""));
    let manifest = Manifest::parse(&with("0.0"), "f").unwrap();
    manifest.check_contract().unwrap();
    Manifest::parse(&with("0.1"), "f").unwrap().check_contract().unwrap();
    let newer = Manifest::parse(&with("0.2"), "f").unwrap().check_contract().unwrap_err();
    assert_eq!(newer.code(), code::CONTRACT_TOO_NEW);
    let said = newer.to_string();
    assert!(said.contains("0.2") && said.contains(&CONTRACT_OFFERED.to_string()), "{said}");
    assert!(newer.next().unwrap().contains("`vaultup plugin add ./helm.wasm`"));
    let other = Manifest::parse(&with("1.0"), "f").unwrap().check_contract().unwrap_err();
    assert_eq!(other.code(), code::CONTRACT_OTHER_MAJOR);
}

#[test]
fn words_of_a_newer_contract_are_no_unknown_keys() {
    let text = HEAD.replace("\"0.1\"", "\"0.2\"") + "[[sockets]]\nhost = \"x\"\n";
    assert!(matches!(Manifest::parse(&text, "f").unwrap_err(), Error::ContractTooNew { .. }));
    let text = HEAD.to_owned() + "[[sockets]]\nhost = \"x\"\n";
    assert_eq!(Manifest::parse(&text, "f").unwrap_err().code(), code::UNKNOWN_KEY);
}

#[test]
fn limits_hold_at_their_number_and_not_one_past_it() {
    let needs = |count: usize| {
        format!("{TOOL}{}", "[[process]]\nclass = \"read\"\nargv = [\"helm\"]\n".repeat(count))
    };
    Manifest::parse(&needs(PROCESS_NEEDS_MAX), "f").unwrap();
    let error = Manifest::parse(&needs(PROCESS_NEEDS_MAX + 1), "f").unwrap_err();
    assert_eq!(error.code(), code::TOO_MANY);
    let hosts = |count: usize| format!("{HEAD}{}", "[[http]]\nhost = \"a:1\"\n".repeat(count));
    Manifest::parse(&hosts(ENTRIES_MAX), "f").unwrap();
    assert_eq!(Manifest::parse(&hosts(ENTRIES_MAX + 1), "f").unwrap_err().code(), code::TOO_MANY);
    let padded = |bytes: usize| format!("{HEAD}#{}", "x".repeat(bytes - HEAD.len() - 1));
    Manifest::parse(&padded(MANIFEST_BYTES_MAX), "f").unwrap();
    let error = Manifest::parse(&padded(MANIFEST_BYTES_MAX + 1), "f").unwrap_err();
    assert_eq!(error.code(), code::FILE_TOO_LARGE);
}

/// A manifest with one of everything.
const WHOLE: &str = r#"
    format = 1
    name = "helm"
    version = "0.1.0"
    contract = "0.1"
    description = "Helm releases"
    exports = ["deploy"]
    tools = [{ name = "helm", version = ">=3.14, <5", ask = ["version", "--short"] }]
    literals.count = "SELECT count(*)"
    [[process]]
    class = "read"
    argv = ["helm", "status", "{release}", "--sql={q:literal}?"]
    [[process]]
    class = "change"
    argv = ["helm", "upgrade", "{release}"]
    environment = ["KUBECONFIG", "HELM_*"]
    [[process]]
    class = "change"
    setting = "drain"
    variables = ["instance"]
    [[process]]
    class = "change"
    release = "migrate.command"
    [[files]]
    setting = "chart"
    access = "write"
    beside = true
    [[http]]
    setting = "gateway"
    [[http]]
    host = "api.example:443"
    [settings]
    type = "object"
    additionalProperties = false
    properties.chart.type = "string"
    properties.gateway.type = "string"
    properties.drain = { type = "array", items.type = "string" }
    properties.uri.anyOf = [{ type = "string" }, { "$ref" = "vaultup:secret" }]
    properties.users.items.properties.key = { properties.secret.type = "string" }
"#;

#[test]
fn an_operator_is_shown_everything_that_is_asked_for() {
    let needs = Manifest::parse(WHOLE, "f").unwrap().needs();
    let expected = [
        "may run, to learn the version: helm version --short (made for >=3.14, <5)",
        "may run, only reading: helm status {release} --sql={q:literal}?",
        "may run, changing things: helm upgrade {release}; sets KUBECONFIG, HELM_*",
        "may run, changing things: your command in the setting `drain`; fills in instance",
        "may run, changing things: the release's command in `migrate.command`",
        "may read and change files under the path in the setting `chart`, and `….vaultup-…` \
         beside them",
        "may talk to the host of the URL in the setting `gateway`",
        "may talk to api.example:443",
        "may use, without seeing it, the secret in the setting `uri`",
        "may use, without seeing it, the secret in the setting `users.*.key`",
        "may pass this text (`count`): SELECT count(*)",
    ];
    assert_eq!(needs.describe(), expected);
}

#[test]
fn the_same_or_less_needs_no_new_grant_and_anything_more_does() {
    let granted = Manifest::parse(WHOLE, "f").unwrap().needs();
    assert!(granted.wider_than(&granted).is_empty());
    let less = Manifest::parse(HEAD, "f").unwrap().needs();
    assert!(less.wider_than(&granted).is_empty());
    assert_eq!(granted.wider_than(&less), granted.describe());
    let narrower = [
        ("[\"KUBECONFIG\", \"HELM_*\"]", "[\"HELM_HOME\", \"HELM_A_*\"]"),
        ("access = \"write\"", "access = \"read\""),
        ("beside = true", "beside = false"),
        ("variables = [\"instance\"]", ""),
        (", version = \">=3.14, <5\"", ""),
    ];
    for (old, new) in narrower {
        let needs = Manifest::parse(&WHOLE.replacen(old, new, 1), "f").unwrap().needs();
        assert_eq!(needs.wider_than(&granted), Vec::<String>::new(), "{new}");
        assert_ne!(needs.digest(), granted.digest(), "{new}");
    }
    let wider = [
        ("\"KUBECONFIG\"", "\"KUBE_*\"", "KUBE_*"),
        ("argv = [\"helm\", \"upgrade\"", "argv = [\"helm\", \"uninstall\"", "helm uninstall"),
        (
            "class = \"change\"\n    argv",
            "class = \"read\"\n    argv",
            "only reading: helm upgrade",
        ),
        ("class = \"read\"", "class = \"change\"", "changing things: helm status"),
        ("\"version\", \"--short\"", "\"-c\", \"reboot\"", "helm -c reboot"),
        ("setting = \"drain\"", "setting = \"chart\"", "setting `chart`"),
        ("\"instance\"", "\"instance\", \"host\"", "instance, host"),
        ("setting = \"gateway\"", "host = \"b.example:443\"", "b.example:443"),
        ("api.example", "evil.example", "evil.example"),
        ("SELECT count(*)", "DROP TABLE orders", "DROP TABLE orders, changed"),
        (
            "properties.chart.type = \"string\"",
            "properties.chart = {\"$ref\" = \"vaultup:secret\"}",
            "the secret in the setting `chart`",
        ),
    ];
    for (old, new, fragment) in wider {
        assert!(WHOLE.contains(old), "{old}");
        let needs = Manifest::parse(&WHOLE.replacen(old, new, 1), "f").unwrap().needs();
        let lines = needs.wider_than(&granted);
        assert!(lines.len() == 1 && lines[0].contains(fragment), "{new}: {lines:?}");
    }
    let read_only = Manifest::parse(&WHOLE.replacen("\"write\"", "\"read\"", 1), "f").unwrap();
    assert_eq!(granted.wider_than(&read_only.needs()).len(), 1);
}

#[test]
fn a_variable_that_decides_which_code_runs_is_never_allowed() {
    let manifest = Manifest::parse(WHOLE, "f").unwrap();
    let change = |need: &&model::manifest::ProcessNeed| {
        need.class == Class::Change && matches!(need.runs, Runs::Arguments(_))
    };
    let mut need = manifest.process.iter().find(change).unwrap().clone();
    assert!(need.allows_environment("KUBECONFIG") && need.allows_environment("HELM_X"));
    assert!(!need.allows_environment("KUBECONFIG2") && !need.allows_environment("HELM"));
    // Even if a need came from elsewhere than a manifest that was read.
    need.environment = vec!["*".to_owned(), "LD_PRELOAD".to_owned()];
    for name in ["LD_PRELOAD", "LD_AUDIT", "PATH", "BASH_ENV", "DYLD_INSERT_LIBRARIES"] {
        assert!(!need.allows_environment(name), "{name}");
    }
}

#[test]
fn a_command_keeps_what_the_plugin_fills_in_and_the_rest_is_filled_in() {
    let manifest = Manifest::parse(WHOLE, "f").unwrap();
    let variables: BTreeMap<String, String> =
        [("target".to_owned(), "live".to_owned())].into_iter().collect();
    let settings = json!({
        "chart": "${target}/$${x}",
        "drain": ["./drain", "${instance}", "${target}", "$${x}"],
    });
    let filled = manifest.interpolate_settings(&settings, &variables).unwrap();
    let expected =
        json!({ "chart": "live/${x}", "drain": ["./drain", "${instance}", "live", "$${x}"] });
    assert_eq!(filled, expected);
    let wrong = json!({ "chart": "${instance}" });
    let error = manifest.interpolate_settings(&wrong, &variables).unwrap_err();
    assert_eq!(error.code(), code::UNKNOWN_VARIABLE);
    let wrong = json!({ "drain": ["a", "${instanze}"] });
    match manifest.interpolate_settings(&wrong, &variables).unwrap_err() {
        Error::UnknownVariable { pointer, help, .. } => {
            assert_eq!(pointer, "/drain/1");
            assert!(help.contains("did you mean `instance`?"), "{help}");
        }
        other => panic!("{other:?}"),
    }
    let entry = json!({ "migrate": { "command": ["up", "${target}"] } });
    let filled = manifest.interpolate_entry(&entry, &variables).unwrap();
    assert_eq!(filled, json!({ "migrate": { "command": ["up", "live"] } }));
}
