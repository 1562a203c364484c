//! Wrong release files.

use model::release::{FROM_MAX, RELEASE_BYTES_MAX, Release};
use model::{Problem, error::code};

use crate::{Wrong, refuse};

const GOOD: &str = "format = 1\nversion = \"2.5.0\"\n";

#[test]
fn a_wrong_release_is_refused() {
    const CASES: &[Wrong] = &[
        ("from = »\"2.4.x\"", 5, "expected a list in `from`"),
        ("from = [»\"2.*\"]", 6, "no version pattern"),
        ("from = [»\">=2\"]", 6, "no version pattern"),
        ("from = [\"2.4\", »\"\"]", 6, "no version pattern"),
        ("from = [»2.4]", 5, "expected a text in `from[0]`"),
        ("»form = [\"2\"]", 3, "did you mean `from`?"),
        ("notes = »[]", 5, "expected a text in `notes`"),
        ("matrix = »\"\"", 6, "empty"),
        ("»component.api = {}", 3, "did you mean `components`?"),
        ("components = »[]", 5, "expected a table"),
        ("components.api = »\"api:2\"", 5, "expected a table in `components.api`"),
        ("components.»Api = {}", 6, "not a name"),
        ("[components.api]\nimage = »3", 5, "expected a text in `components.api.image`"),
        ("[components.api]\nimage = »\"\"", 6, "empty"),
        ("[components.api]\nchart = \"c\"\n»image = \"i\"", 17, "more than one artifact"),
        ("[components.api]\nsize = »nan", 6, "not finite"),
        ("[components.api]\nconfig = »8", 5, "expected a text in `components.api.config`"),
        ("[components.api]\n»confg = \".env\"", 3, "did you mean `config`?"),
        ("[components.api]\n»require = [\"A\"]", 3, "did you mean `requires`?"),
        ("[datastores.db]\nschema = »1.5", 5, "a text or a whole number"),
        ("[datastores.db]\nschema = »[18]", 5, "a text or a whole number"),
        ("[datastores.db]\nmigration = »\"braking\"", 6, "did you mean `breaking`?"),
        ("[datastores.db]\nmigration = »true", 5, "expected a text"),
        ("[datastores.db]\nmigrate = »[\"up\"]", 5, "expected a table"),
        ("[datastores.db]\nmigrate = »{}", 17, "neither `command` nor `at-start = true`"),
        ("[datastores.db]\nmigrate = »{ with = \"api\" }", 17, "neither `command`"),
        ("[datastores.db]\nmigrate = »{ with = \"api\", at-start = false }", 17, "neither"),
        ("[datastores.db]\nmigrate = »{ at-start = true }", 17, "needs the component"),
        (
            "[datastores.db]\nmigrate = »{ with = \"a\", at-start = true, command = [\"up\"] }",
            17,
            "either a command or happens at start",
        ),
        ("[datastores.db]\nmigrate = { command = »\"up\" }", 5, "there is no shell"),
        ("[datastores.db]\nmigrate = { command = »[] }", 6, "no program"),
        ("[datastores.db]\nmigrate = { command = [\"up\"], with = »\"A\" }", 6, "not a name"),
        (
            "[datastores.db]\nmigrate = { command = [\"up\"], »wiht = \"a\" }",
            3,
            "did you mean `with`?",
        ),
        ("[datastores.db]\nmigrate = { with = \"a\", at-start = »\"true\" }", 5, "true or false"),
    ];
    refuse(GOOD, CASES, Release::parse);
}

#[test]
fn a_wrong_version_is_refused() {
    const CASES: &[Wrong] = &[
        ("»format = 1", 4, "`version` is missing"),
        ("format = 1\nversion = »\"2.5\"", 6, "no semantic version"),
        ("format = 1\nversion = »\"v2.5.0\"", 6, "write three numbers with dots"),
        ("format = 1\nversion = »\"02.5.0\"", 6, "no semantic version"),
        ("format = 1\nversion = »2.5", 5, "write it in quotes"),
        ("format = »0\nversion = 1", 7, "reads format 1"),
    ];
    refuse("", CASES, Release::parse);
}

#[test]
fn limits_hold_at_their_number_and_not_one_past_it() {
    let from = |count: usize| format!("{GOOD}from = [{}]", "\"2\",".repeat(count));
    Release::parse(&from(FROM_MAX), "f").unwrap();
    assert_eq!(Release::parse(&from(FROM_MAX + 1), "f").unwrap_err().code(), code::TOO_MANY);
    let padded = |bytes: usize| format!("{GOOD}#{}", "x".repeat(bytes - GOOD.len() - 1));
    Release::parse(&padded(RELEASE_BYTES_MAX), "f").unwrap();
    let error = Release::parse(&padded(RELEASE_BYTES_MAX + 1), "f").unwrap_err();
    assert_eq!(error.code(), code::FILE_TOO_LARGE);
}
