//! The objects of a YAML text, such as a chart's manifest.

use serde::Deserialize;
use serde_json::Value;
use vaultup_sdk::Error;

/// The most objects of one text: a large chart has some hundreds.
pub const OBJECTS_MAX: usize = 5_000;

/// The objects of a text, in order; empty documents are left out, lists are unfolded.
///
/// # Errors
/// [`vaultup_sdk::Case::Corrupt`] with line and column if it is no YAML, or has something else than
/// objects.
pub fn objects(text: &str) -> Result<Vec<Value>, Error> {
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| {
            Error::corrupt("the manifest is no YAML that can be read")
                .with_platform(error.to_string())
        })?;
        match value {
            Value::Null => {}
            Value::Object(mut object) if is_list(&object) => {
                if let Some(Value::Array(items)) = object.remove("items") {
                    objects.extend(items);
                }
            }
            object @ Value::Object(_) => objects.push(object),
            _ => return Err(Error::corrupt("the manifest has a document that is no object")),
        }
        if objects.len() > OBJECTS_MAX {
            let message = format!("the manifest has more than {OBJECTS_MAX} objects");
            return Err(Error::corrupt(message));
        }
    }
    Ok(objects)
}

/// Kind and name of an object, as commands say it: `Deployment/shop`.
#[must_use]
pub fn reference(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn is_list(object: &serde_json::Map<String, Value>) -> bool {
    object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
        && object.contains_key("items")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn documents_are_objects_in_order_and_empty_ones_are_none() {
        let text = "---\n# Source: a\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n\
                    kind: List\nitems: [{kind: Secret, metadata: {name: b}}]\n";
        let objects = objects(text).unwrap();
        let names: Vec<String> = objects.iter().map(reference).collect();
        assert_eq!(names, ["ConfigMap/a", "Secret/b"]);
    }

    #[test]
    fn what_is_no_yaml_or_no_object_is_refused() {
        for text in ["a: [", "- 1", "text", "\t"] {
            objects(text).unwrap_err();
        }
    }

    #[test]
    fn as_many_objects_as_the_limit_are_read_and_one_more_is_refused() {
        let text = |count: usize| "kind: A\n---\n".repeat(count);
        assert_eq!(objects(&text(OBJECTS_MAX)).unwrap().len(), OBJECTS_MAX);
        objects(&text(OBJECTS_MAX + 1)).unwrap_err();
    }
}
