//! Settings against the JSON Schema of a plugin.
//!
//! The schema comes from a component that nobody trusts yet, so before anything is compiled:
//! - nothing is fetched: `$ref` leads only into the schema itself or to [`SECRET`];
//! - no `$ref` leads in a circle, and with all of them filled in the schema stays small, so that
//!   neither time nor stack grows with its wit;
//! - patterns are matched in linear time, and there are few.
//!
//! Messages name keys and what is expected, never the value: it may be confidential.

mod plain;

use std::collections::BTreeMap;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::SettingsFault;
use crate::error::FAULTS_MAX;
use crate::nearest::{did_you_mean, nearest};
use crate::pattern::shown;
use crate::settings::SECRET_KEY;

/// What a schema refers to where `{ secret = "name" }` is expected.
pub(super) const SECRET: &str = "vaultup:secret";
/// The most schemas within a schema when every `$ref` is filled in.
pub(super) const EXPANDED_MAX: u64 = 20_000;
/// The most `$ref`s that lead to one another.
pub(super) const REFERENCES_DEEP_MAX: usize = 32;
/// The most regular expressions.
pub(super) const PATTERNS_MAX: usize = 50;
/// The most bytes of one compiled regular expression: room for Unicode classes, none for bombs.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Keywords that would make `$ref` mean something else.
const KEYWORDS_REFUSED: [&str; 6] =
    ["$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef"];
/// The most forms of an `anyOf` that an error describes.
const FORMS_SHOWN_MAX: usize = 4;

/// Checks that a schema can be used: its form, then that JSON Schema's own schema allows it, then
/// that it compiles.
pub(super) fn check_schema(schema: &Value) -> Result<(), String> {
    compiled(&surveyed(schema)?).map(drop)
}

/// Checks what keeps using a schema safe, of a schema that [`check_schema`] accepted before.
pub(super) fn check_form(schema: &Value) -> Result<(), String> {
    surveyed(schema).map(drop)
}

/// Checks settings against a schema that [`check_schema`] accepted, now or before.
pub(super) fn check(schema: &Value, settings: &Value) -> Result<(), Vec<SettingsFault>> {
    let unusable = |reason: String| {
        let message = format!("the plugin's schema cannot be used: {reason}");
        vec![fault(String::new(), message, "tell the plugin's vendor")]
    };
    let schema = surveyed(schema).map_err(unusable)?;
    if plain::accepts(&schema, settings) {
        return Ok(());
    }
    let validator = compiled(&schema).map_err(unusable)?;
    let mut faults: Vec<SettingsFault> = validator
        .iter_errors(settings)
        .take(FAULTS_MAX)
        .flat_map(|error| described(&schema, &error))
        .collect();
    faults.sort_by(|a, b| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
    faults.dedup();
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// The schema with what it refers to of ours filled in, if it is small and stands for itself.
fn surveyed(schema: &Value) -> Result<Value, String> {
    let schema = with_secrets(schema);
    let mut survey =
        Survey { root: &schema, sizes: BTreeMap::new(), open: Vec::new(), patterns: 0 };
    if survey.size(&schema)? > EXPANDED_MAX {
        return Err(format!("with its `$ref`s filled in it has more than {EXPANDED_MAX} parts"));
    }
    if survey.patterns > PATTERNS_MAX {
        return Err(format!("it has more than {PATTERNS_MAX} patterns"));
    }
    Ok(schema)
}

fn compiled(schema: &Value) -> Result<Validator, String> {
    let linear = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
    jsonschema::options().offline().with_pattern_options(linear).build(schema).map_err(|error| {
        match error.instance_path().as_str() {
            "" => shown(&error.to_string()),
            place => format!("at `{}`: {}", shown(place), shown(&error.to_string())),
        }
    })
}

/// The schema with `{ "$ref": "vaultup:secret" }` filled in.
fn with_secrets(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let mut filled: Map<String, Value> =
                keywords.iter().map(|(key, value)| (key.clone(), with_secrets(value))).collect();
            if keywords.get("$ref").and_then(Value::as_str) == Some(SECRET) {
                filled.remove("$ref");
                filled.insert("type".to_owned(), json!("object"));
                filled.insert("required".to_owned(), json!([SECRET_KEY]));
                filled.insert("additionalProperties".to_owned(), json!(false));
                let name = json!({ SECRET_KEY: { "type": "string" } });
                filled.insert("properties".to_owned(), name);
            }
            Value::Object(filled)
        }
        Value::Array(items) => Value::Array(items.iter().map(with_secrets).collect()),
        other => other.clone(),
    }
}

/// Measures a schema without compiling it.
struct Survey<'s> {
    root: &'s Value,
    sizes: BTreeMap<&'s str, u64>,
    /// The `$ref`s that are being followed.
    open: Vec<&'s str>,
    patterns: usize,
}

impl<'s> Survey<'s> {
    fn size(&mut self, schema: &'s Value) -> Result<u64, String> {
        let mut size = 1_u64;
        match schema {
            Value::Array(items) => {
                for item in items {
                    size = size.saturating_add(self.size(item)?);
                }
            }
            Value::Object(keywords) => {
                for (keyword, value) in keywords {
                    size = size.saturating_add(self.keyword(keyword, value)?);
                }
            }
            _ => {}
        }
        Ok(size)
    }

    fn keyword(&mut self, keyword: &'s str, value: &'s Value) -> Result<u64, String> {
        match (keyword, value) {
            ("$ref", Value::String(target)) => self.followed(target),
            (_, Value::String(_)) if KEYWORDS_REFUSED.contains(&keyword) => {
                Err(format!("it uses `{keyword}`, which settings do not need"))
            }
            ("pattern", Value::String(_)) => {
                self.patterns += 1;
                Ok(1)
            }
            ("patternProperties", Value::Object(properties)) => {
                self.patterns += properties.len();
                self.size(value)
            }
            _ => self.size(value),
        }
    }

    fn followed(&mut self, target: &'s str) -> Result<u64, String> {
        if let Some(size) = self.sizes.get(target) {
            return Ok(*size);
        }
        let name = shown(target);
        let pointer = target.strip_prefix('#').ok_or_else(|| {
            format!("its `$ref` `{name}` leads outside: use `#/$defs/…` or `{SECRET}`")
        })?;
        let schema = self
            .root
            .pointer(pointer)
            .ok_or_else(|| format!("its `$ref` `{name}` leads nowhere"))?;
        if self.open.contains(&target) {
            return Err(format!("its `$ref` `{name}` leads in a circle"));
        }
        if self.open.len() >= REFERENCES_DEEP_MAX {
            return Err(format!("more than {REFERENCES_DEEP_MAX} `$ref`s lead to one another"));
        }
        self.open.push(target);
        let size = self.size(schema)?;
        self.open.pop();
        self.sizes.insert(target, size);
        Ok(size)
    }
}

fn fault(pointer: String, message: String, help: impl Into<String>) -> SettingsFault {
    SettingsFault { pointer, is_key: false, message, help: help.into() }
}

fn described(schema: &Value, error: &ValidationError<'_>) -> Vec<SettingsFault> {
    let pointer = error.instance_path().as_str().to_owned();
    let what = named(&pointer);
    let one = |message: String, help: String| vec![fault(pointer.clone(), message, help)];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = known_keys(schema, error.schema_path().as_str());
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            unexpected.iter().map(|key| unknown_key(&pointer, key, &known)).collect()
        }
        ValidationErrorKind::Required { property } => {
            let key = shown(property.as_str().unwrap_or_default());
            let there = error.instance().as_object().into_iter().flat_map(Map::keys);
            let help = match nearest(&key, there.map(String::as_str)) {
                Some(slip) => format!("did you mean `{key}` where `{}` stands?", shown(slip)),
                None => format!("add `{key} = …`"),
            };
            one(format!("`{key}` is missing in {what}"), help)
        }
        ValidationErrorKind::Type { kind } => {
            let expected = expected_types(kind);
            let got = words(error.instance());
            one(format!("expected {expected} in {what}, got {got}"), format!("write {expected}"))
        }
        ValidationErrorKind::Enum { options } => {
            let choices: Vec<String> = options
                .as_array()
                .into_iter()
                .flatten()
                .map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned))
                .collect();
            let value = error.instance().as_str().unwrap_or_default().to_owned();
            let help = did_you_mean(&value, choices.iter().map(String::as_str));
            one(format!("{what} is none of the values that are possible"), help)
        }
        ValidationErrorKind::Pattern { pattern } => {
            let help = format!("write what matches `{}`", shown(pattern));
            one(format!("{what} has the wrong form"), help)
        }
        ValidationErrorKind::FalseSchema => {
            one(format!("nothing is expected in {what}"), "take it away".to_owned())
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            forms(schema, &pointer, context)
        }
        _ => {
            let reason = shown(&error.masked_with("the value").to_string());
            one(format!("{reason}, in {what}"), "write what the plugin expects".to_owned())
        }
    }
}

/// What is wrong with the only form that the value can be meant for, or all forms in words.
fn forms(
    schema: &Value,
    pointer: &str,
    context: &[Vec<ValidationError<'static>>],
) -> Vec<SettingsFault> {
    let is_other_type = |error: &ValidationError<'_>| {
        error.instance_path().as_str() == pointer
            && matches!(error.kind(), ValidationErrorKind::Type { .. })
    };
    let meant: Vec<_> = context.iter().filter(|errors| !errors.iter().any(is_other_type)).collect();
    if let [errors] = meant.as_slice() {
        return errors.iter().flat_map(|error| described(schema, error)).collect();
    }
    let form = |errors: &Vec<ValidationError<'static>>| {
        errors.first().and_then(|error| described(schema, error).into_iter().next())
    };
    let reasons: Vec<String> =
        context.iter().filter_map(form).map(|fault| fault.message).take(FORMS_SHOWN_MAX).collect();
    let message = format!("{} has none of the forms that are possible", named(pointer));
    vec![fault(pointer.to_owned(), message, reasons.join("; or "))]
}

fn unknown_key(pointer: &str, key: &str, known: &[&str]) -> SettingsFault {
    let segment = key.replace('~', "~0").replace('/', "~1");
    SettingsFault {
        pointer: format!("{pointer}/{segment}"),
        is_key: true,
        message: format!("unknown key `{}` in {}", shown(key), named(pointer)),
        help: did_you_mean(key, known.iter().copied()),
    }
}

/// The keys that the schema beside an `additionalProperties` knows.
fn known_keys(schema: &Value, path: &str) -> Vec<String> {
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    let properties = schema.pointer(above).and_then(|schema| schema.get("properties"));
    properties.and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect()
}

/// `the settings`, or `` `hosts.0` ``.
fn named(pointer: &str) -> String {
    if pointer.is_empty() {
        return "the settings".to_owned();
    }
    let dotted = pointer.trim_start_matches('/').replace('/', ".");
    format!("`{}`", shown(&dotted.replace("~1", "/").replace("~0", "~")))
}

fn expected_types(kind: &TypeKind) -> String {
    let types: Vec<&str> = match kind {
        TypeKind::Single(single) => vec![type_words(*single)],
        TypeKind::Multiple(several) => several.iter().map(type_words).collect(),
    };
    types.join(" or ")
}

fn type_words(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "nothing",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "a table",
    }
}

fn words(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
