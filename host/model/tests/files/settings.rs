//! Settings against a plugin's schema: what is refused, where, and that no value is repeated.

use model::manifest::{Manifest, SettingsFault};
use serde_json::{Value, json};

fn manifest() -> Manifest {
    let text = r##"
        format = 1
        name = "host"
        version = "0.1.0"
        contract = "0.1"
        description = "a test"
        exports = ["deploy"]
        [settings]
        type = "object"
        required = ["directory"]
        additionalProperties = false
        properties.directory = { type = "string", minLength = 1, maxLength = 10 }
        properties.port = { type = "integer", minimum = 1, maximum = 65535 }
        properties.mode = { enum = ["rolling", "at-once"] }
        properties.version = { type = "string", pattern = "^[0-9.]+$" }
        properties.size = { type = ["string", "integer"] }
        properties.uri.anyOf = [{ type = "string" }, { "$ref" = "vaultup:secret" }]
        properties.hosts = { type = "array", minItems = 1, items = { "$ref" = "#/$defs/host" } }
        ["settings"."$defs".host]
        type = "object"
        required = ["name"]
        additionalProperties = false
        properties.name.type = "string"
        properties.address.type = "string"
    "##;
    Manifest::parse(text, "plugin.toml").unwrap()
}

fn faults(mut settings: Value) -> Vec<SettingsFault> {
    if let Value::Object(entries) = &mut settings {
        entries.entry("directory").or_insert_with(|| json!("/srv"));
    }
    manifest().check_settings(&settings).err().unwrap_or_default()
}

#[test]
fn settings_that_the_schema_allows_are_accepted() {
    let good = [
        json!({}),
        json!({"port": 1, "mode": "rolling", "version": "1.2", "size": 3, "uri": "x"}),
        json!({"uri": {"secret": "name"}, "size": "3", "hosts": [{"name": "a"}]}),
    ];
    for settings in good {
        assert_eq!(faults(settings.clone()), [], "{settings}");
    }
}

#[test]
fn each_fault_names_its_place_and_what_to_write_instead() {
    let cases: [(Value, &str, &str, &str); 18] = [
        (
            json!({"prot": 80}),
            "/prot",
            "unknown key `prot` in the settings",
            "did you mean `port`?",
        ),
        (json!({"a/b~c": 80}), "/a~1b~0c", "unknown key `a/b~c`", "known: directory, hosts"),
        (json!({"directory": 3}), "/directory", "expected a text in `directory`, got a whole", ""),
        (json!({"directory": ""}), "/directory", "`directory`", ""),
        (json!({"directory": "12345678901"}), "/directory", "10 characters", ""),
        (json!({"port": "80"}), "/port", "expected a whole number in `port`, got a text", ""),
        (json!({"port": 8.5}), "/port", "expected a whole number in `port`, got a number", ""),
        (json!({"port": 0}), "/port", "minimum", ""),
        (json!({"port": 70000}), "/port", "maximum", ""),
        (json!({"mode": "roling"}), "/mode", "none of the values", "did you mean `rolling`?"),
        (json!({"mode": true}), "/mode", "none of the values", "known: rolling, at-once"),
        (json!({"version": "v1"}), "/version", "wrong form", "`^[0-9.]+$`"),
        (
            json!({"size": []}),
            "/size",
            "expected a whole number or a text in `size`, got a list",
            "",
        ),
        (json!({"uri": 3}), "/uri", "none of the forms", "expected a text in `uri`"),
        (json!({"uri": {"sekret": "x"}}), "/uri", "`secret` is missing", "where `sekret` stands"),
        (json!({"hosts": []}), "/hosts", "`hosts`", ""),
        (
            json!({"hosts": [{"name": "a"}, {}]}),
            "/hosts/1",
            "`name` is missing in `hosts.1`",
            "add",
        ),
        (
            json!({"hosts": [{"name": "a", "adress": "b"}]}),
            "/hosts/0/adress",
            "unknown key `adress` in `hosts.0`",
            "did you mean `address`?",
        ),
    ];
    for (settings, pointer, message, help) in cases {
        let found = faults(settings.clone());
        let hit =
            found.iter().find(|fault| fault.pointer == pointer && fault.message.contains(message));
        let hit = hit.unwrap_or_else(|| panic!("{settings}: {found:#?}"));
        assert!(hit.help.contains(help) && !hit.help.is_empty(), "{settings}: {hit:?}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let settings = json!({"port": "x", "mode": "y", "prot": 1, "hosts": [{"name": 1}]});
    let found: Vec<String> = faults(settings).into_iter().map(|fault| fault.pointer).collect();
    assert_eq!(found, ["/hosts/0/name", "/mode", "/port", "/prot"]);
    assert_eq!(
        manifest().check_settings(&json!({})).unwrap_err()[0].message,
        "`directory` is missing in the settings"
    );
    assert_eq!(manifest().check_settings(&json!([])).unwrap_err()[0].pointer, "");
}

#[test]
fn no_value_is_repeated_since_it_may_be_a_password() {
    let wrong = [
        json!({"directory": "hunter2-hunter2"}),
        json!({"port": "hunter2"}),
        json!({"mode": "hunter2"}),
        json!({"version": "hunter2"}),
        json!({"size": ["hunter2"]}),
        json!({"uri": ["hunter2"]}),
        json!({"uri": {"secret": ["hunter2"]}}),
        json!({"hosts": "hunter2"}),
        json!({"hosts": ["hunter2"]}),
    ];
    for settings in wrong {
        let found = faults(settings.clone());
        assert!(!found.is_empty(), "{settings}");
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
}

#[test]
fn a_plugin_without_a_schema_takes_no_settings() {
    let text = "format = 1\nname = \"p\"\nversion = \"0.1.0\"\ncontract = \"0.1\"\n\
                description = \"d\"\nexports = [\"backup\"]\n";
    let manifest = Manifest::parse(text, "f").unwrap();
    manifest.check_settings(&json!({})).unwrap();
    assert_eq!(manifest.check_settings(&json!({"a": 1})).unwrap_err()[0].pointer, "/a");
    let closed = format!("{text}[settings]\nadditionalProperties = false\n");
    let manifest = Manifest::parse(&closed, "f").unwrap();
    let fault = &manifest.check_settings(&json!({"a": 1})).unwrap_err()[0];
    assert!(fault.message.contains("is expected") || fault.pointer == "/a", "{fault:?}");
}
