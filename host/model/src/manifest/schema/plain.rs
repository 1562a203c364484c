//! The quick yes: whether settings fit a schema that uses plain keywords only.
//!
//! Why: before its first answer `jsonschema` compiles JSON Schema's own schema, which takes longer
//! than everything else that a command does before it asks a plugin a question.
//!
//! Invariant: yes is said only where `jsonschema` says it too, of any schema that it accepts; the
//! tests hold the two against each other. Whatever is not understood here, and every fault, is left
//! to `jsonschema`, which alone words errors.

use serde_json::{Map, Value};

/// The one dialect that is understood; it is also that of a schema which names none.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Whether settings fit for certain.
pub(super) fn accepts(schema: &Value, settings: &Value) -> bool {
    fits(schema, schema, settings) == Some(true)
}

/// Whether a value fits a part of the schema. `None`: something in that part is not understood.
fn fits(root: &Value, schema: &Value, value: &Value) -> Option<bool> {
    let keywords = match schema {
        Value::Bool(fits) => return Some(*fits),
        Value::Object(keywords) => keywords,
        _ => return None,
    };
    let mut all = true;
    // Also after a no: one keyword that is not understood makes everything uncertain.
    for (keyword, its) in keywords {
        all &= fits_keyword(root, keywords, (keyword, its), value)?;
    }
    Some(all)
}

fn fits_keyword(
    root: &Value,
    beside: &Map<String, Value>,
    (keyword, its): (&str, &Value),
    value: &Value,
) -> Option<bool> {
    match keyword {
        "$defs" | "$comment" | "title" | "description" | "default" | "examples" => Some(true),
        "$schema" => (its == DIALECT).then_some(true),
        "$ref" => fits(root, referred(root, its.as_str()?)?, value),
        "type" => fits_type(its, value),
        "enum" => its.as_array()?.iter().try_fold(false, |any, one| Some(any | equal(one, value)?)),
        "const" => equal(its, value),
        "oneOf" => count(root, its, value).map(|(fitting, _)| fitting == 1),
        "anyOf" => count(root, its, value).map(|(fitting, _)| fitting > 0),
        "allOf" => count(root, its, value).map(|(fitting, all)| fitting == all),
        "minimum" => bounded(its, value, |bound, number| number >= bound),
        "maximum" => bounded(its, value, |bound, number| number <= bound),
        "minLength" => sized(its, text_length(value), |bound, length| length >= bound),
        "maxLength" => sized(its, text_length(value), |bound, length| length <= bound),
        "minItems" => sized(its, value.as_array().map(Vec::len), |bound, length| length >= bound),
        "maxItems" => sized(its, value.as_array().map(Vec::len), |bound, length| length <= bound),
        "items" => all(value.as_array().into_iter().flatten().map(|item| fits(root, its, item))),
        "required" => {
            let Value::Object(entries) = value else { return Some(true) };
            let names = its.as_array()?.iter();
            all(names.map(|name| name.as_str().map(|name| entries.contains_key(name))))
        }
        "properties" => {
            let entries = value.as_object();
            let known = its.as_object()?.iter();
            all(known.filter_map(|(name, schema)| Some(fits(root, schema, entries?.get(name)?))))
        }
        "additionalProperties" if !beside.contains_key("patternProperties") => {
            let known = beside.get("properties").and_then(Value::as_object);
            let is_other = |name: &str| known.is_none_or(|known| !known.contains_key(name));
            let entries = value.as_object().into_iter().flatten();
            let others = entries.filter(|(name, _)| is_other(name));
            all(others.map(|(_, entry)| fits(root, its, entry)))
        }
        _ => None,
    }
}

/// True if all are; `None` if one is uncertain.
fn all(mut each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    each.try_fold(true, |all, one| Some(all & one?))
}

/// How many of the schemas the value fits, and how many there are.
fn count(root: &Value, schemas: &Value, value: &Value) -> Option<(usize, usize)> {
    let schemas = schemas.as_array()?;
    let fitting = schemas
        .iter()
        .try_fold(0, |count, schema| Some(count + usize::from(fits(root, schema, value)?)))?;
    Some((fitting, schemas.len()))
}

/// What a `$ref` leads to; the survey has seen that none leads in a circle.
fn referred<'s>(root: &'s Value, target: &str) -> Option<&'s Value> {
    let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'))?;
    root.pointer(pointer)
}

fn fits_type(types: &Value, value: &Value) -> Option<bool> {
    match types {
        Value::String(name) => is_type(name, value),
        Value::Array(names) => {
            names.iter().try_fold(false, |any, name| Some(any | is_type(name.as_str()?, value)?))
        }
        _ => None,
    }
}

fn is_type(name: &str, value: &Value) -> Option<bool> {
    match name {
        "null" => Some(value.is_null()),
        "boolean" => Some(value.is_boolean()),
        "string" => Some(value.is_string()),
        "array" => Some(value.is_array()),
        "object" => Some(value.is_object()),
        "number" => Some(value.is_number()),
        // 1.0 is an integer as well, and 1e400 who knows.
        "integer" if value.is_f64() => None,
        "integer" => Some(value.is_number()),
        _ => None,
    }
}

/// Numbers that are written differently may be equal, and lists and tables may hold such.
fn equal(one: &Value, value: &Value) -> Option<bool> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Some(one == value),
        _ => None,
    }
}

fn bounded(bound: &Value, value: &Value, holds: fn(i128, i128) -> bool) -> Option<bool> {
    match value {
        Value::Number(_) => Some(holds(whole(bound)?, whole(value)?)),
        _ => Some(true),
    }
}

fn whole(number: &Value) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn sized(bound: &Value, length: Option<usize>, holds: fn(u64, u64) -> bool) -> Option<bool> {
    match length {
        Some(length) => Some(holds(bound.as_u64()?, length as u64)),
        None => Some(true),
    }
}

/// In characters, as JSON Schema counts.
fn text_length(value: &Value) -> Option<usize> {
    value.as_str().map(|text| text.chars().count())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..4).prop_map(Value::from),
            prop_oneof![Just(1.0), Just(1.5)].prop_map(Value::from),
            "[aä]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..3)
                    .prop_map(|entries| json!(entries)),
            ]
        })
    }

    fn keyword(inner: BoxedStrategy<Value>) -> impl Strategy<Value = (&'static str, Value)> {
        const TYPES: [&str; 7] =
            ["null", "boolean", "string", "array", "object", "number", "integer"];
        const BOUNDS: [&str; 4] = ["minLength", "maxLength", "minItems", "maxItems"];
        const MANY: [&str; 3] = ["oneOf", "anyOf", "allOf"];
        const ENDS: [&str; 2] = ["minimum", "maximum"];
        const TARGETS: [&str; 2] = ["#/$defs/text", "#/$defs/list"];
        let many = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            prop::sample::select(&TYPES[..]).prop_map(|name| ("type", json!(name))),
            prop::sample::subsequence(&TYPES[..], 1..4).prop_map(|names| ("type", json!(names))),
            prop::collection::vec(value(), 1..3).prop_map(|values| ("enum", json!(values))),
            value().prop_map(|value| ("const", value)),
            (prop::sample::select(&BOUNDS[..]), 0_u64..3).prop_map(|(k, n)| (k, json!(n))),
            (prop::sample::select(&ENDS[..]), -2_i64..3)
                .prop_map(|(keyword, bound)| (keyword, json!(bound))),
            prop::collection::btree_set("[abc]", 0..3).prop_map(|names| ("required", json!(names))),
            prop::collection::btree_map("[abc]", inner.clone(), 0..3)
                .prop_map(|known| ("properties", json!(known))),
            inner.clone().prop_map(|schema| ("additionalProperties", schema)),
            inner.prop_map(|schema| ("items", schema)),
            (prop::sample::select(&MANY[..]), many)
                .prop_map(|(keyword, schemas)| (keyword, json!(schemas))),
            prop::sample::select(&TARGETS[..]).prop_map(|target| ("$ref", json!(target))),
        ]
    }

    fn schema() -> impl Strategy<Value = Value> {
        any::<bool>().prop_map(Value::from).prop_recursive(3, 16, 3, |inner| {
            prop::collection::vec(keyword(inner.boxed()), 0..4)
                .prop_map(|keywords| keywords.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
                .prop_map(Value::Object)
        })
    }

    fn whole_schema() -> impl Strategy<Value = Value> {
        schema().prop_map(|schema| match schema {
            Value::Object(mut keywords) => {
                let defs = json!({
                    "text": { "type": "string", "minLength": 1 },
                    "list": { "type": "array", "items": { "$ref": "#/$defs/text" } },
                });
                keywords.insert("$defs".to_owned(), defs);
                Value::Object(keywords)
            }
            other => other,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_is_decided_is_what_jsonschema_decides(
            schema in whole_schema(),
            value in value(),
        ) {
            let validator = jsonschema::options().offline().build(&schema).unwrap();
            if let Some(decided) = fits(&schema, &schema, &value) {
                prop_assert_eq!(decided, validator.is_valid(&value));
            }
        }
    }

    #[test]
    fn settings_as_plugins_have_them_are_decided() {
        let schema = json!({
            "$schema": DIALECT,
            "type": "object",
            "required": ["path"],
            "additionalProperties": false,
            "$defs": {
                "command": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                "secret": {
                    "type": "object",
                    "required": ["secret"],
                    "additionalProperties": false,
                    "properties": { "secret": { "type": "string" } },
                },
            },
            "properties": {
                "path": { "type": "string", "minLength": 1, "description": "where" },
                "check": { "oneOf": [{ "$ref": "#/$defs/command" }, { "$ref": "#/$defs/secret" }] },
                "port": { "type": "integer", "minimum": 1, "maximum": 65_535 },
            },
        });
        let decided = |settings: Value| fits(&schema, &schema, &settings);
        assert_eq!(decided(json!({ "path": "data", "check": ["true"], "port": 1 })), Some(true));
        assert_eq!(decided(json!({ "path": "data", "check": { "secret": "a" } })), Some(true));
        for wrong in [
            json!({}),
            json!({ "path": "" }),
            json!({ "path": "data", "pth": 1 }),
            json!({ "path": "data", "check": [] }),
            json!({ "path": "data", "check": { "secret": "a", "more": 1 } }),
            json!({ "path": "data", "port": 65_536 }),
        ] {
            assert_eq!(decided(wrong.clone()), Some(false), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_decided() {
        let undecided = [
            json!({ "pattern": "^a" }),
            json!({ "patternProperties": {}, "additionalProperties": false }),
            json!({ "$schema": "http://json-schema.org/draft-04/schema#" }),
            json!({ "not": { "type": "string" } }),
            json!({ "type": "null", "format": "uri" }),
            json!({ "$ref": "#/%24defs" }),
        ];
        for schema in undecided {
            assert_eq!(fits(&schema, &schema, &json!({ "a": 1 })), None, "{schema}");
        }
        // 1.0 equals 1, and is an integer.
        assert_eq!(fits(&json!({}), &json!({ "const": 1 }), &json!(1.0)), None);
        assert_eq!(fits(&json!({}), &json!({ "type": "integer" }), &json!(1.0)), None);
        assert_eq!(fits(&json!({}), &json!({ "maximum": 1 }), &json!(1.5)), None);
    }
}
