//! No text, however it was made or damaged, makes a parser panic.

use model::lock::Lock;
use model::manifest::Manifest;
use model::release::Release;
use model::stack::Stack;
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

/// Lines that together often make a file which is nearly right.
fn nearly_toml() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "format|stack|components|datastores|secrets|policy|backups|name|version|plugin|settings",
        "needs|waves|health|smoke|within|proof|written-by|keep|http|command|expect|run|env|file",
        "process|argv|class|tools|files|literals|exports|contract|description|from|migrate|schema",
        "[a-z]{1,3}",
    ];
    let path = prop::collection::vec(key, 1..4).prop_map(|keys| keys.join("."));
    let value = prop_oneof![
        "1|-1|true|nan|\"\"|\"1m\"|\"0.1\"|\"2.0.0\"|\"a\"|\"read\"|\"deploy\"|1979-05-27",
        "\\[\\]|\\[\"a\"\\]|\\[\"100%\"\\]|\\[1, \"b\"\\]|\\[\\{\\}\\]|\\{\\}|\\{ a = 1 \\}",
        "\\{ secret = \"a\" \\}|\\{ env = \"A\" \\}|\"\\$\\{target\\}\"|\"\\$\\{\"",
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| format!("{text:?}")),
    ];
    let line = prop_oneof![
        3 => (path.clone(), value).prop_map(|(path, value)| format!("{path} = {value}")),
        1 => path.clone().prop_map(|path| format!("[{path}]")),
        1 => path.prop_map(|path| format!("[[{path}]]")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| format!("format = 1\n{}", lines.join("\n")))
}

fn read_all(text: &str) {
    let shown = [
        Stack::parse(text, "f").err(),
        Release::parse(text, "f").err(),
        Manifest::parse(text, "f").err(),
        Lock::parse(text, "f").err(),
    ];
    for error in shown.into_iter().flatten() {
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        read_all(&text);
    }

    #[test]
    fn texts_that_are_nearly_right(text in nearly_toml()) {
        read_all(&text);
    }

    #[test]
    fn any_bytes_in_the_middle_of_a_good_file(at in 0_usize..1000, bytes in any::<Vec<u8>>()) {
        let good = "format = 1\n[stack]\nname = \"s\"\n[components.a]\nplugin = \"p\"\n\
                    settings = { x = [1, { secret = \"t\" }] }\nneeds = [\"d\"]\n\
                    waves = [\"1\", \"100%\"]\n[[components.a.health]]\nhttp = \"http://x\"\n\
                    [datastores.d]\nplugin = \"q\"\n[secrets]\nt.env = \"T\"\n";
        let at = at % good.len();
        let damaged = [&good.as_bytes()[..at], &bytes, &good.as_bytes()[at..]].concat();
        read_all(&String::from_utf8_lossy(&damaged));
    }
}

#[test]
fn deep_and_long_texts_end_soon() {
    let deep = [
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}1{}", "{ a = ".repeat(50_000), " }".repeat(50_000)),
        format!("a{} = 1", ".a".repeat(100_000)),
        format!("[a{}]", ".a".repeat(100_000)),
        format!("format = 1\nx = [{}]", "1,".repeat(100_000)),
        format!("format = 1\n{}", "ä = 1\n".repeat(50_000)),
        (0..60_000).map(|number| format!("k{number} = \"ä\"\n")).collect(),
        format!("format = 1\nx = \"{}", "\\".repeat(200_000)),
    ];
    for text in deep {
        read_all(&text);
    }
}
