//! Patterns against generated arguments.

use proptest::prelude::{any, prop, prop_oneof, proptest};

use super::{Context, Everything, texts};
use crate::pattern::{Kind, Pattern, begins_like_a_flag, is_name};

proptest! {
    #[test]
    fn no_argument_that_begins_with_a_dash_is_accepted_by_a_lone_placeholder(
        dash in prop_oneof!["-", "--", "[\u{2010}-\u{2015}\u{2212}\u{fe58}\u{fe63}\u{ff0d}]"],
        rest in any::<String>(),
        repeat in "[*?]?",
    ) {
        let text = format!("{dash}{rest}");
        for kind in Kind::ALL {
            let element = format!("{{a:{}}}{repeat}", kind.as_str());
            let pattern = Pattern::parse(&["t", &element]).unwrap();
            let matched = pattern.matches(&texts(&["t", &text]), &Everything);
            assert!(matched.is_err(), "{kind:?} {text:?}");
        }
    }

    #[test]
    fn a_lone_name_can_never_be_a_flag_a_script_or_a_way_up(text in any::<String>()) {
        if Kind::Name.accepts_alone(&text, &Everything) {
            assert!(!begins_like_a_flag(&text));
            assert!(!text.chars().any(|c| " \n;$`|&<>('\"\\".contains(c)));
            assert!(!text.split('/').any(|part| part == ".."));
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_read(
        elements in prop::collection::vec(
            prop_oneof![
                "(--[a-z]{1,5}=)?[{][a-z]{1,5}(:(name|path|text|number))?[}][*?]?",
                "--[a-z]{1,5}[*?]?",
            ],
            0..6,
        ),
    ) {
        let elements: Vec<String> = std::iter::once("t".to_owned()).chain(elements).collect();
        let pattern = Pattern::parse(&elements).unwrap();
        let again = Pattern::parse(&Vec::<String>::from(pattern.clone())).unwrap();
        assert_eq!(again, pattern);
        let json = serde_json::to_string(&pattern).unwrap();
        assert_eq!(serde_json::from_str::<Pattern>(&json).unwrap(), pattern);
    }

    #[test]
    fn matching_agrees_with_a_plain_search(
        elements in prop::collection::vec("(a|b|[{]x[}]|[{]n:number[}])[*?]?", 0..6),
        arguments in prop::collection::vec("a|b|c|1|-", 0..7),
    ) {
        let elements: Vec<String> = std::iter::once("t".to_owned()).chain(elements).collect();
        let pattern = Pattern::parse(&elements).unwrap();
        let arguments: Vec<String> = std::iter::once("t".to_owned()).chain(arguments).collect();
        let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = search(&elements, &given);
        let matched = pattern.matches(&texts(&given), &Context);
        assert_eq!(matched.is_ok(), found, "{elements:?} {given:?}");
    }

    #[test]
    fn no_texts_panic(
        elements in prop::collection::vec(prop_oneof![any::<String>(), "[{}a:=*?-]{0,8}"], 0..5),
        arguments in prop::collection::vec(any::<String>(), 0..5),
    ) {
        let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if let Ok(pattern) = Pattern::parse(&elements) {
            let _ = pattern.matches(&texts(&given), &Everything);
            let _ = pattern.to_string();
        }
    }
}

/// The obvious way, with backtracking: the oracle.
fn search(elements: &[String], arguments: &[&str]) -> bool {
    let Some((element, rest)) = elements.split_first() else { return arguments.is_empty() };
    let body = element.trim_end_matches(['*', '?']);
    let takes = |text: &str| match body {
        "{x}" => is_name(text),
        "{n:number}" => text.bytes().all(|b| b.is_ascii_digit()),
        literal => text == literal,
    };
    let one = arguments.first().is_some_and(|text| takes(text));
    if element.ends_with('*') {
        search(rest, arguments) || (one && search(elements, &arguments[1..]))
    } else if element.ends_with('?') {
        search(rest, arguments) || (one && search(rest, &arguments[1..]))
    } else {
        one && search(rest, &arguments[1..])
    }
}
