//! Wrong lock files.

use model::lock::{LOCK_BYTES_MAX, Lock, PLUGINS_MAX};
use model::{Problem, error::code};

use crate::{Wrong, refuse};

const DIGEST: &str = "blake3:0000000000000000000000000000000000000000000000000000000000000000";

fn good() -> String {
    format!(
        "format = 1\n[[plugin]]\nname = \"helm\"\nversion = \"0.1.0\"\nsource = \"./helm.wasm\"\n\
         contract = \"0.1\"\ndigest = \"{DIGEST}\"\n"
    )
}

#[test]
fn a_wrong_lock_is_refused() {
    Lock::parse(&good(), "f").unwrap();
    refuse(&good(), &[("»granted-on = 1", 3, "unknown key `granted-on`")], Lock::parse);
    const CASES: &[Wrong] = &[
        ("format = »3", 7, "format 3"),
        ("format = 1\nplugin = »{}", 5, "expected a list in `plugin`"),
        ("format = 1\nplugin = [»1]", 5, "expected a table in `plugin[0]`"),
        ("format = 1\n[[»plugins]]", 3, "did you mean `plugin`?"),
        ("format = 1\n»[[plugin]]", 4, "is missing in `plugin[0]`"),
        ("format = 1\n»<<<<<<< HEAD", 2, "no TOML"),
    ];
    refuse("", CASES, Lock::parse);
}

#[test]
fn a_wrong_value_or_half_a_grant_is_refused() {
    let cases: [(&str, &str, u16, &str); 9] = [
        ("\"0.1.0\"", "\"0.1\"", 6, "no semantic version"),
        ("\"helm\"", "\"Helm\"", 6, "not a name"),
        ("\"0.1\"", "\"one\"", 6, "no contract version"),
        ("blake3:00", "sha256:00", 6, "no digest"),
        ("blake3:00", "blake3:0", 6, "no digest"),
        ("blake3:00", "blake3:0G", 6, "no digest"),
        ("\"./helm.wasm\"", "3", 5, "expected a text"),
        ("contract", "granted-by = \"me\"\ncontract", 4, "lacks `granted`"),
        (
            "contract",
            "granted = \"DIGEST\"\ngranted-at = \"now\"\ngranted-by = \"me\"\nneeds = {}\ncontract",
            6,
            "no time",
        ),
    ];
    for (old, new, number, fragment) in cases {
        let text = good().replacen(old, &new.replace("DIGEST", DIGEST), 1);
        let error = Lock::parse(&text, "f").unwrap_err();
        assert!(error.faults().iter().any(|fault| fault.code.0 == number), "{text}: {error}");
        assert!(error.to_string().contains(fragment), "{text}: {error}");
    }
}

#[test]
fn needs_that_nobody_granted_are_refused() {
    let granted = format!(
        "{}granted = \"{DIGEST}\"\ngranted-at = \"2026-05-02T14:02:11Z\"\ngranted-by = \"me\"\n",
        good()
    );
    for (needs, number) in [
        ("needs = {}", code::LOCK_EDITED),
        ("needs.http = [{ host = \"evil.example:443\" }]", code::LOCK_EDITED),
        ("needs.everything = true", code::WRONG_VALUE),
        ("needs.process = [{ class = \"read\", runs = { shell = \"x\" } }]", code::WRONG_VALUE),
        (
            "needs.process = [{ class = \"read\", runs = { arguments = [\"/bin/sh\"] }, \
             variables = [], environment = [] }]",
            code::WRONG_VALUE,
        ),
        ("needs = []", code::WRONG_TYPE),
    ] {
        let error = Lock::parse(&format!("{granted}{needs}"), "f").unwrap_err();
        assert_eq!(error.code(), number, "{needs}: {error}");
    }
}

#[test]
fn limits_hold_at_their_number_and_not_one_past_it() {
    let plugins = |count: usize| {
        let each =
            |number| good().replace("format = 1\n", "").replace("helm\"", &format!("h{number}\""));
        format!("format = 1\n{}", (0..count).map(each).collect::<String>())
    };
    assert_eq!(Lock::parse(&plugins(PLUGINS_MAX), "f").unwrap().plugins.len(), PLUGINS_MAX);
    assert_eq!(Lock::parse(&plugins(PLUGINS_MAX + 1), "f").unwrap_err().code(), code::TOO_MANY);
    let twice = format!("{}{}", good(), good().replace("format = 1\n", ""));
    assert_eq!(Lock::parse(&twice, "f").unwrap_err().code(), code::DUPLICATE_NAME);
    let padded = |bytes: usize| format!("format = 1\n#{}", "x".repeat(bytes - 12));
    Lock::parse(&padded(LOCK_BYTES_MAX), "f").unwrap();
    let error = Lock::parse(&padded(LOCK_BYTES_MAX + 1), "f").unwrap_err();
    assert_eq!(error.code(), code::FILE_TOO_LARGE);
}
