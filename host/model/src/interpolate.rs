//! `${name}` in texts: what is known only when something runs.
//!
//! | written | becomes |
//! |---|---|
//! | `${release.version}` | the version that the run leads to |
//! | `${previous.version}` | the version that ran when the run began |
//! | `${stack.name}` | the stack's name |
//! | `${stack.directory}` | directory of the stack file, absolute |
//! | `${target}` | `live`, or the name of the copy |
//! | `$${` | the characters `${` |
//! | `$`, `$x`, `$$` | themselves |
//!
//! A plugin may bring more names for the operator's own commands (`variables` in its manifest).
//! They are known later, so such a text goes through twice: the first pass *reserves* the plugin's
//! names and leaves them, and `$${`, as they are; the last pass reserves nothing and resolves them.
//!
//! # Invariants
//! - A value that is filled in is never read again: `${` in it stays what it is.
//! - Keys are not interpolated, and neither are the names of secrets.
//! - A text never grows past [`TEXT_BYTES_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::pattern::shown;
use crate::settings::secret_reference;

/// The variables that the host knows. [`crate::stack::Probe`]s and [`crate::stack::Smoke`]s may
/// use only these.
pub const HOST_VARIABLES: [&str; 5] =
    ["previous.version", "release.version", "stack.directory", "stack.name", "target"];

/// The most bytes of one text after interpolation.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// Fills in `${…}` in every text of a JSON value.
///
/// `reserved` names are left as they are, for a later pass; see the module.
///
/// # Errors
/// [`Error::UnknownVariable`] for a name that is neither known nor reserved,
/// [`Error::BrokenVariable`] for `${` without `}`; both with a JSON pointer to the text.
pub fn interpolate(
    value: &Value,
    variables: &BTreeMap<String, String>,
    reserved: &BTreeSet<String>,
) -> Result<Value, Error> {
    below(value, &Names { variables, reserved }, &mut String::new())
}

/// Fills in `${…}` in one text; the last pass.
///
/// # Errors
/// As [`interpolate`], with an empty pointer.
pub fn interpolate_text(text: &str, variables: &BTreeMap<String, String>) -> Result<String, Error> {
    filled(text, &Names { variables, reserved: &BTreeSet::new() }, "")
}

struct Names<'n> {
    variables: &'n BTreeMap<String, String>,
    reserved: &'n BTreeSet<String>,
}

fn below(value: &Value, names: &Names<'_>, pointer: &mut String) -> Result<Value, Error> {
    let length = pointer.len();
    let mut step = |segment: &str, value: &Value| {
        pointer.push('/');
        pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
        let result = below(value, names, pointer);
        pointer.truncate(length);
        result
    };
    match value {
        Value::String(text) => filled(text, names, pointer).map(Value::String),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| step(&index.to_string(), item)).collect()
        }
        Value::Object(_) if secret_reference(value).is_some() => Ok(value.clone()),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, item)| Ok((key.clone(), step(key, item)?)))
            .collect::<Result<_, _>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

fn filled(text: &str, names: &Names<'_>, pointer: &str) -> Result<String, Error> {
    let broken = |reason: String| Error::BrokenVariable { pointer: pointer.to_owned(), reason };
    let is_last_pass = names.reserved.is_empty();
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find("${") {
        let (before, from) = rest.split_at(position);
        if let Some(plain) = before.strip_suffix('$') {
            result.push_str(if is_last_pass { plain } else { before });
            result.push_str("${");
            rest = &from[2..];
        } else {
            result.push_str(before);
            let Some((name, after)) = from[2..].split_once('}') else {
                let shown = shown(from);
                return Err(broken(format!("`{shown}` begins a variable that does not end")));
            };
            match names.value(name, pointer)? {
                Filled::Last(value) => result.push_str(value),
                Filled::Reserved => result.push_str(&from[..from.len() - after.len()]),
                // A later pass must not read what this one filled in.
                Filled::ReadAgain(value) => {
                    if value.ends_with('$') || (result.ends_with('$') && value.starts_with('{')) {
                        let name = shown(name);
                        return Err(broken(format!("the value of `${{{name}}}` ends in `$`")));
                    }
                    result.push_str(&value.replace("${", "$${"));
                }
            }
            rest = after;
        }
        if result.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    result.push_str(rest);
    if result.len() > TEXT_BYTES_MAX {
        return Err(broken(format!(
            "a text grows to more than {TEXT_BYTES_MAX} bytes when its variables are filled in"
        )));
    }
    Ok(result)
}

/// What stands in place of a name.
enum Filled<'n> {
    /// This, and nothing reads it again.
    Last(&'n str),
    /// This, and a later pass reads the text around it again.
    ReadAgain(&'n str),
    /// Nothing yet.
    Reserved,
}

impl<'n> Names<'n> {
    fn value(&self, name: &str, pointer: &str) -> Result<Filled<'n>, Error> {
        if self.reserved.contains(name) {
            return Ok(Filled::Reserved);
        }
        match self.variables.get(name) {
            Some(value) if self.reserved.is_empty() => Ok(Filled::Last(value)),
            Some(value) => Ok(Filled::ReadAgain(value)),
            None => {
                let known: BTreeSet<&str> =
                    self.variables.keys().chain(self.reserved.iter()).map(String::as_str).collect();
                Err(Error::UnknownVariable {
                    name: shown(name),
                    pointer: pointer.to_owned(),
                    help: did_you_mean(name, known.iter().copied()),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::{any, prop, proptest};
    use serde_json::{Value, json};

    use super::{TEXT_BYTES_MAX, interpolate, interpolate_text};
    use crate::error::{Error, code};
    use crate::problem::Problem;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn reserved(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn last(text: &str) -> Result<String, Error> {
        interpolate_text(text, &variables(&[("stack.name", "shop"), ("odd", "${odd}$"), ("e", "")]))
    }

    #[test]
    fn variables_are_filled_in_and_escapes_resolved() {
        let cases = [
            ("", ""),
            ("plain $ text $x $$", "plain $ text $x $$"),
            ("${stack.name}", "shop"),
            ("a${stack.name}b${stack.name}", "ashopbshop"),
            ("$${stack.name}", "${stack.name}"),
            ("$$${stack.name}", "$${stack.name}"),
            ("${odd}{x}", "${odd}${x}"),
            ("${e}", ""),
            ("}{ ${stack.name}}", "}{ shop}"),
        ];
        for (text, expected) in cases {
            assert_eq!(last(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_name_names_the_nearest() {
        let error = last("${stack.nmae}").unwrap_err();
        assert_eq!(error.code(), code::UNKNOWN_VARIABLE);
        assert!(error.next().unwrap().contains("did you mean `stack.name`?"), "{error:?}");
    }

    #[test]
    fn a_variable_that_does_not_end_is_refused_and_so_is_one_without_name() {
        assert_eq!(last("a ${stack.name").unwrap_err().code(), code::BROKEN_VARIABLE);
        assert_eq!(last("${").unwrap_err().code(), code::BROKEN_VARIABLE);
        assert_eq!(last("${}").unwrap_err().code(), code::UNKNOWN_VARIABLE);
        assert_eq!(last("${ stack.name }").unwrap_err().code(), code::UNKNOWN_VARIABLE);
    }

    #[test]
    fn an_error_points_to_the_text_within_the_value() {
        let value = json!({"a/b": [{"c~d": "${no}"}]});
        match interpolate(&value, &BTreeMap::new(), &BTreeSet::new()).unwrap_err() {
            Error::UnknownVariable { pointer, .. } => {
                assert_eq!(pointer, "/a~1b/0/c~0d");
                assert_eq!(value.pointer(&pointer).unwrap(), "${no}");
            }
            other => assert!(matches!(other, Error::UnknownVariable { .. }), "{other:?}"),
        }
    }

    #[test]
    fn keys_and_names_of_secrets_stay_as_they_are() {
        let value = json!({"${no}": {"secret": "${no}"}, "n": 1, "t": true, "x": null});
        assert_eq!(interpolate(&value, &BTreeMap::new(), &BTreeSet::new()).unwrap(), value);
    }

    #[test]
    fn two_passes_give_what_one_pass_with_all_names_gives() {
        let host = variables(&[("stack.directory", "/srv/a${b}c"), ("target", "live")]);
        let plugin = variables(&[("instance", "one")]);
        let both: BTreeMap<String, String> =
            host.clone().into_iter().chain(plugin.clone()).collect();
        let texts = [
            "${stack.directory}/${instance}",
            "$${instance}",
            "$${stack.directory} ${target}",
            "$${${instance}",
            "{${target}}${instance}",
        ];
        for text in texts {
            let value = Value::from(text);
            let first = interpolate(&value, &host, &reserved(&["instance"])).unwrap();
            let second = interpolate(&first, &plugin, &BTreeSet::new()).unwrap();
            assert_eq!(second, interpolate_text(text, &both).unwrap(), "{text}");
        }
    }

    #[test]
    fn a_value_that_would_join_what_follows_is_refused_where_it_is_read_again() {
        let host = variables(&[("d", "/srv/a$")]);
        let error = interpolate(&"${d}${i}".into(), &host, &reserved(&["i"])).unwrap_err();
        assert_eq!(error.code(), code::BROKEN_VARIABLE);
        assert_eq!(interpolate_text("${d}{i}", &host).unwrap(), "/srv/a${i}");
    }

    #[test]
    fn a_text_grows_to_the_limit_and_no_byte_further() {
        let long = variables(&[("v", &"x".repeat(TEXT_BYTES_MAX))]);
        assert_eq!(interpolate_text("${v}", &long).unwrap().len(), TEXT_BYTES_MAX);
        let error = interpolate_text("${v}y", &long).unwrap_err();
        assert_eq!(error.code(), code::BROKEN_VARIABLE);
        interpolate_text(&"${v}".repeat(10_000), &long).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), odd in "[${}a]{0,12}") {
            let known = variables(&[("a", "$"), ("", "{")]);
            for text in [text, odd] {
                let _ = interpolate_text(&text, &known);
                let _ = interpolate(&text.into(), &known, &reserved(&["aa"]));
            }
        }

        #[test]
        fn two_passes_agree_with_one_whatever_the_values_are(
            text in prop::collection::vec("[$]{0,2}|[{}]|[$][{](h|p)[}]|x", 0..8),
            host in "[${}hpx]{0,5}",
            plugin in "[${}hpx]{0,5}",
        ) {
            let text = text.concat();
            let both = variables(&[("h", &host), ("p", &plugin)]);
            let first = interpolate(
                &text.as_str().into(), &variables(&[("h", &host)]), &reserved(&["p"]));
            if let Ok(first) = first {
                let second =
                    interpolate(&first, &variables(&[("p", &plugin)]), &BTreeSet::new()).unwrap();
                assert_eq!(second, interpolate_text(&text, &both).unwrap());
            }
        }
    }
}
