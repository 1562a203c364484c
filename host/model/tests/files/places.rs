//! Faults that are found after reading, at their file, line and column.

use std::collections::{BTreeMap, BTreeSet};

use model::manifest::Manifest;
use model::stack::Stack;
use model::{Name, Problem, error::code, interpolate};

const STACK: &str = "format = 1\nstack.name = \"s\"\n[components.api]\nplugin = \"host\"\n\
    [components.api.settings]\ndirectory = 3\n\
    hosts = [\n  { name = \"a\" },\n  { nmae = \"b\" },\n]\n\
    [components.api.settings.deep]\n\"a/b\" = \"${no.such}\"\n";

const PLUGIN: &str = "format = 1\nname = \"host\"\nversion = \"0.1.0\"\ncontract = \"0.1\"\n\
    description = \"d\"\nexports = [\"deploy\"]\n[settings]\nrequired = [\"port\"]\n\
    properties.directory.type = \"string\"\nproperties.hosts.items.additionalProperties = false\n\
    properties.hosts.items.properties.name.type = \"string\"\n";

#[test]
fn what_a_schema_refuses_is_shown_in_the_stack_file() {
    let (stack, places) = Stack::parse_with_places(STACK, "vaultup.toml").unwrap();
    let api = &stack.components[&Name::parse("api").unwrap()];
    let manifest = Manifest::parse(PLUGIN, "plugin.toml").unwrap();
    let faults = manifest.check_settings(&api.settings).unwrap_err();
    let error = places.settings_faults(&["components", "api", "settings"], faults);
    let found: Vec<String> =
        error.faults().iter().map(|fault| format!("{} {}", fault.place, fault.message)).collect();
    let expected = [
        "vaultup.toml:5:1 `port` is missing in the settings",
        "vaultup.toml:6:13 expected a text in `directory`, got a whole number",
        "vaultup.toml:9:5 unknown key `nmae` in `hosts.1`",
    ];
    assert_eq!(found, expected);
    assert_eq!(error.code(), code::SETTINGS_INVALID);
}

#[test]
fn a_variable_without_value_is_shown_in_the_stack_file() {
    let (stack, places) = Stack::parse_with_places(STACK, "vaultup.toml").unwrap();
    let api = &stack.components[&Name::parse("api").unwrap()];
    let error = interpolate(&api.settings, &BTreeMap::new(), &BTreeSet::new()).unwrap_err();
    let error = places.variable_fault(&["components", "api", "settings"], error);
    assert_eq!(error.place().unwrap().to_string(), "vaultup.toml:12:9");
    assert_eq!(error.code(), code::UNKNOWN_VARIABLE);
}

#[test]
fn the_flags_of_a_run_without_stack_file_have_places_too() {
    let flags =
        [("directory", "/srv"), ("hosts.0.name", "a"), ("hosts.1.nmae", "b"), ("port", "1")];
    let flags: Vec<(String, String)> =
        flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (stack, places) =
        Stack::from_flags_with_places(&Name::parse("host").unwrap(), &flags).unwrap();
    let host = &stack.components[&Name::parse("host").unwrap()];
    let manifest = Manifest::parse(PLUGIN, "plugin.toml").unwrap();
    let faults = manifest.check_settings(&host.settings).unwrap_err();
    let error = places.settings_faults(&["components", "host", "settings"], faults);
    assert_eq!(error.place().unwrap().to_string(), "--set:3:1");
}

#[test]
fn a_path_that_is_not_there_leads_to_what_it_lies_in() {
    let (_, places) = Stack::parse_with_places(STACK, "f").unwrap();
    assert_eq!(places.value(&["components", "api", "plugin"]).to_string(), "f:4:10");
    assert_eq!(places.key(&["components", "api", "plugin"]).to_string(), "f:4:1");
    assert_eq!(places.value(&["components", "api", "waves", "0"]).to_string(), "f:3:1");
    assert_eq!(places.value(&["nothing"]).to_string(), "f:1:1");
}
