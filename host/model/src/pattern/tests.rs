//! What patterns accept, and above all what they refuse.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod any_argument;

use super::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX, ARGUMENTS_MAX, Argument, DIGITS_MAX,
    ELEMENT_BYTES_MAX, ELEMENTS_MAX, Kind, LABEL_BYTES_MAX, MatchContext, Mismatch,
    NAME_VALUE_BYTES_MAX, Pattern, SHOWN_CHARACTERS_MAX, is_name, shown,
};

/// Grants `/srv` and below, one setting, one literal, one secret.
struct Context;

impl MatchContext for Context {
    fn is_setting(&self, text: &str) -> bool {
        ["./drain now", "-x", ""].contains(&text)
    }
    fn is_literal(&self, text: &str) -> bool {
        ["SELECT 1\n-- two", "-- SELECT 2"].contains(&text)
    }
    fn is_granted_path(&self, path: &str) -> bool {
        path == "/srv" || path.starts_with("/srv/")
    }
    fn is_granted_secret(&self, name: &str) -> bool {
        name == "token"
    }
}

/// Grants everything: what is refused all the same is refused by the pattern itself.
struct Everything;

impl MatchContext for Everything {
    fn is_setting(&self, _: &str) -> bool {
        true
    }
    fn is_literal(&self, _: &str) -> bool {
        true
    }
    fn is_granted_path(&self, _: &str) -> bool {
        true
    }
    fn is_granted_secret(&self, _: &str) -> bool {
        true
    }
}

fn texts(arguments: &[&str]) -> Vec<Argument> {
    arguments.iter().map(|text| Argument::Text((*text).to_owned())).collect()
}

fn matched(pattern: &[&str], arguments: &[&str]) -> Result<(), Mismatch> {
    Pattern::parse(pattern).unwrap().matches(&texts(arguments), &Context)
}

const HELM: [&str; 12] = [
    "helm",
    "upgrade",
    "{release}",
    "{chart:path}",
    "--namespace={namespace}",
    "--values={values:path}*",
    "--set-string={assignment:assignment}*",
    "--history-max={count:number}?",
    "--description={why:text}?",
    "--timeout={timeout:duration}",
    "--wait?",
    "--reset-values",
];

#[test]
fn a_command_of_the_shape_is_accepted() {
    let accepted: [&[&str]; 4] = [
        &["helm", "upgrade", "shop", "/srv/c", "--namespace=a", "--timeout=5m", "--reset-values"],
        &[
            "helm",
            "upgrade",
            "shop",
            "/srv/c",
            "--namespace=a",
            "--values=/srv/1",
            "--values=/srv/2",
            "--timeout=90s",
            "--wait",
            "--reset-values",
        ],
        &[
            "helm",
            "upgrade",
            "shop",
            "/srv/c",
            "--namespace=a",
            "--set-string=a.b[0]=x y",
            "--set-string=c=",
            "--history-max=0",
            "--timeout=500ms",
            "--reset-values",
        ],
        &[
            "helm",
            "upgrade",
            "shop",
            "/srv/c",
            "--namespace=a",
            "--description=-- the\nrest",
            "--timeout=1h",
            "--reset-values",
        ],
    ];
    for arguments in accepted {
        matched(&HELM, arguments).unwrap();
    }
}

#[test]
fn a_flag_that_the_pattern_does_not_have_gets_in_nowhere() {
    let good = [
        "helm",
        "upgrade",
        "shop",
        "/srv/c",
        "--namespace=a",
        "--values=/srv/v",
        "--set-string=a=b",
        "--timeout=5m",
        "--wait",
        "--reset-values",
    ];
    matched(&HELM, &good).unwrap();
    let injected = [
        "--post-renderer=/bin/sh",
        "--post-renderer",
        "/bin/sh",
        "-o",
        "-",
        "--",
        "--kubeconfig=/srv/k",
        "--values",
        "--values=../w",
        "--namespace=-b",
        "--wait=false",
        "",
        " ",
        "\n",
        "--wait\n",
        "\0",
        "–wait",
        "—post-renderer=/bin/sh",
        "−o",
        "--WAIT",
        "--wait ",
        "$(reboot)",
        ";reboot",
        "`reboot`",
        "|sh",
    ];
    for flag in injected {
        for position in 0..=good.len() {
            let mut arguments = good.to_vec();
            arguments.insert(position, flag);
            matched(&HELM, &arguments).unwrap_err();
        }
        for position in 0..good.len() {
            let mut arguments = good.to_vec();
            arguments[position] = flag;
            matched(&HELM, &arguments).unwrap_err();
        }
    }
}

#[test]
fn the_order_is_fixed_and_nothing_may_be_missing() {
    let good =
        ["helm", "upgrade", "shop", "/srv/c", "--namespace=a", "--timeout=5m", "--reset-values"];
    for position in 0..good.len() {
        let mut arguments = good.to_vec();
        arguments.remove(position);
        matched(&HELM, &arguments).unwrap_err();
    }
    for position in 1..good.len() {
        let mut arguments = good.to_vec();
        arguments.swap(position - 1, position);
        matched(&HELM, &arguments).unwrap_err();
    }
    matched(&HELM, &[]).unwrap_err();
}

/// For each kind what it accepts and what it refuses, standing alone.
const KINDS: [(Kind, &[&str], &[&str]); 8] = [
    (
        Kind::Name,
        &["shop", "a.example/b:1@sha256:0f", "2.5.0+x", "A", "deployment/api", "a..b", "1"],
        &[
            "", "-n", "a b", "a/../b", "a/..", "a;b", "a=b", "a$b", "a\n", "é", ".a", "/a", "@f",
            "+x", "a\0", "a*", "a{b}", "a,b", "a|b", "a'b", "a\"b", "a\\b", "~a",
        ],
    ),
    (Kind::Number, &["0", "42", "007"], &["", "-1", "+1", "1.5", "1e9", "0x1", " 1", "1\n", "٣"]),
    (
        Kind::Duration,
        &["0s", "90s", "5m", "2h", "500ms"],
        &["", "90", "s", "1h30m", "-1s", "1.5s", "1d", "5M", "5 m", "5s\n"],
    ),
    (
        Kind::Path,
        &["/srv", "/srv/a b", "/srv/a..b", "/srv/-x"],
        &[
            "",
            "srv",
            "./srv",
            "/etc/passwd",
            "/srv/../etc",
            "/srv/..",
            "/srv\0",
            "/srv/a\nb",
            "-/srv",
            "~/x",
            "/srvx",
        ],
    ),
    (Kind::Setting, &["./drain now"], &["", "./drain", "./drain now ", "other", "-x"]),
    (
        Kind::Literal,
        &["SELECT 1\n-- two"],
        &["", "SELECT 1", "SELECT 1\n-- two;", "select 1\n-- two", "-- SELECT 2"],
    ),
    (
        Kind::Text,
        &["anything", "two\nlines\tand tabs", "=", "/etc/passwd", "é", " -o", "a-b"],
        &["", "-o", "--x=y", "-", "–o", "—o", "−o", "‐o", "－o", "\0", "a\0", "a\r", "\u{1b}[2J"],
    ),
    (
        Kind::Assignment,
        &["a=b", "a.b[0]=c d", "a=", "a==", "_a=-x", "image.tag=2.5.0", "a=b\nc"],
        &["", "a", "=b", "-a=b", "--a=b", "a b=c", "a\n=b", "a=\0", ".a=b", "[0]=b", "é=b"],
    ),
];

#[test]
fn each_kind_accepts_and_refuses() {
    for (kind, accepted, refused) in KINDS {
        for text in accepted {
            assert!(kind.accepts_alone(text, &Context), "{kind:?} refuses {text:?}");
        }
        for text in refused {
            assert!(!kind.accepts_alone(text, &Context), "{kind:?} accepts {text:?}");
        }
    }
}

#[test]
fn after_a_prefix_a_value_may_begin_with_a_dash_where_its_kind_allows() {
    matched(&["t", "--m={m:text}"], &["t", "--m=-o"]).unwrap();
    matched(&["t", "--m={m:setting}"], &["t", "--m=-x"]).unwrap();
    matched(&["t", "--m={m:literal}"], &["t", "--m=-- SELECT 2"]).unwrap();
    matched(&["t", "--m={m}"], &["t", "--m=-o"]).unwrap_err();
    matched(&["t", "--m={m:path}"], &["t", "--m=-/srv"]).unwrap_err();
    matched(&["t", "--m={m:setting}"], &["t", "--m="]).unwrap_err();
}

#[test]
fn a_secret_file_is_taken_by_its_own_placeholder_only() {
    let secret = |prefix: &str, name: &str| {
        let name = name.to_owned();
        vec![
            Argument::Text("t".to_owned()),
            Argument::SecretFile { prefix: prefix.to_owned(), name },
        ]
    };
    let pattern = Pattern::parse(&["t", "--config={c:secret-file}"]).unwrap();
    pattern.matches(&secret("--config=", "token"), &Context).unwrap();
    pattern.matches(&secret("--config=", "other"), &Context).unwrap_err();
    pattern.matches(&secret("--confi", "token"), &Context).unwrap_err();
    pattern.matches(&secret("", "token"), &Context).unwrap_err();
    pattern.matches(&texts(&["t", "--config=/srv/x"]), &Everything).unwrap_err();
    let alone = Pattern::parse(&["t", "{c:secret-file}"]).unwrap();
    alone.matches(&secret("", "token"), &Context).unwrap();
    alone.matches(&secret("--x=", "token"), &Context).unwrap_err();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::SecretFile) {
        let pattern =
            Pattern::parse(&["t".to_owned(), format!("{{c:{}}}", kind.as_str())]).unwrap();
        pattern.matches(&secret("", "token"), &Everything).unwrap_err();
    }
    let literal = Pattern::parse(&["t", "--config="]).unwrap();
    literal.matches(&secret("--config=", "token"), &Everything).unwrap_err();
}

#[test]
fn what_is_no_pattern_is_refused_and_the_element_named() {
    let cases: [(&[&str], usize, &str); 30] = [
        (&[], 0, "empty"),
        (&[""], 0, "empty"),
        (&["/bin/sh"], 0, "no tool"),
        (&["./sh"], 0, "no tool"),
        (&["a/b"], 0, "no tool"),
        (&[".."], 0, "no tool"),
        (&["."], 0, "no tool"),
        (&["-sh"], 0, "no tool"),
        (&["{tool}"], 0, "no tool"),
        (&["sh?"], 0, "no tool"),
        (&["sh*"], 0, "no tool"),
        (&["sh\n"], 0, "control"),
        (&["t", "*"], 1, "wildcard"),
        (&["t", "?"], 1, "wildcard"),
        (&["t", "**"], 1, "wildcard"),
        (&["t", "--x*?"], 1, "wildcard"),
        (&["t", ""], 1, "empty"),
        (&["t", "{"], 1, "without `}`"),
        (&["t", "}"], 1, "without `{`"),
        (&["t", "{}"], 1, "label"),
        (&["t", "{A}"], 1, "label"),
        (&["t", "{a b}"], 1, "label"),
        (&["t", "{a:}"], 1, "kind"),
        (&["t", "{a:names}"], 1, "kind"),
        (&["t", "{a:any}"], 1, "kind"),
        (&["t", "{a}{b}"], 1, "goes on"),
        (&["t", "{a}x"], 1, "goes on"),
        (&["t", "--x{a}"], 1, "before its placeholder"),
        (&["t", "x-{a}"], 1, "before its placeholder"),
        (&["t", "--f={{json .}}"], 1, "goes on"),
    ];
    for (elements, element, fragment) in cases {
        let error = Pattern::parse(elements).unwrap_err();
        assert_eq!(error.element, element, "{elements:?}: {error}");
        assert!(error.reason.contains(fragment), "{elements:?}: {error}");
    }
}

#[test]
fn a_mismatch_says_which_argument_what_was_expected_and_what_came() {
    let error = matched(&HELM, &["helm", "upgrade", "-o"]).unwrap_err();
    assert_eq!(error.position, 2);
    assert!(error.expected.contains("`{release}` (a name"), "{error}");
    assert_eq!(error.got, "`-o`");
    let error = matched(&["t", "--a?", "{b:number}*", "c"], &["t", "x"]).unwrap_err();
    assert_eq!(error.expected, "`--a?` or `{b:number}*` (a number) or `c`");
    let error = matched(&["t", "a"], &["t"]).unwrap_err();
    assert_eq!((error.position, error.got.as_str()), (1, "the end"));
    let error = matched(&["t"], &["t", "a"]).unwrap_err();
    assert_eq!((error.position, error.expected.as_str()), (1, "the end"));
}

#[test]
fn what_is_shown_is_cut_and_cannot_forge_a_screen() {
    assert_eq!(shown("a\u{1b}[2J\n\0\u{202e}b"), "a\\u{1b}[2J\\u{a}\\u{0}\\u{202e}b");
    let long = "ä".repeat(SHOWN_CHARACTERS_MAX);
    assert_eq!(shown(&long), long);
    assert_eq!(shown(&format!("{long}x")), format!("{long}…"));
    let error = matched(&["t"], &[&"\n".repeat(100_000)]).unwrap_err();
    assert!(error.got.len() < 3000 && !error.got.contains('\n'));
}

#[test]
fn every_limit_holds_at_its_number_and_not_one_past_it() {
    let elements = |count: usize| {
        let mut elements = vec!["t".to_owned()];
        elements.resize(count, "a".to_owned());
        elements
    };
    Pattern::parse(&elements(ELEMENTS_MAX)).unwrap();
    Pattern::parse(&elements(ELEMENTS_MAX + 1)).unwrap_err();
    Pattern::parse(&["t", &"a".repeat(ELEMENT_BYTES_MAX)]).unwrap();
    Pattern::parse(&["t", &"a".repeat(ELEMENT_BYTES_MAX + 1)]).unwrap_err();
    Pattern::parse(&["t", &format!("{{{}}}", "a".repeat(LABEL_BYTES_MAX))]).unwrap();
    Pattern::parse(&["t", &format!("{{{}}}", "a".repeat(LABEL_BYTES_MAX + 1))]).unwrap_err();
    assert!(is_name(&"a".repeat(NAME_VALUE_BYTES_MAX)));
    assert!(!is_name(&"a".repeat(NAME_VALUE_BYTES_MAX + 1)));
    for kind in [(Kind::Number, ""), (Kind::Duration, "ms")] {
        let text = |digits: usize| format!("{}{}", "1".repeat(digits), kind.1);
        assert!(kind.0.accepts(&text(DIGITS_MAX), &Context));
        assert!(!kind.0.accepts(&text(DIGITS_MAX + 1), &Context));
    }
    let pattern = Pattern::parse(&["t", "{a:text}*"]).unwrap();
    let count = |count: usize| {
        let mut arguments = vec!["t"];
        arguments.resize(count, "a");
        texts(&arguments)
    };
    pattern.matches(&count(ARGUMENTS_MAX), &Context).unwrap();
    pattern.matches(&count(ARGUMENTS_MAX + 1), &Context).unwrap_err();
    let long = |bytes: usize| texts(&["t", &"a".repeat(bytes)]);
    pattern.matches(&long(ARGUMENT_BYTES_MAX), &Context).unwrap();
    pattern.matches(&long(ARGUMENT_BYTES_MAX + 1), &Context).unwrap_err();
    let part = "a".repeat(ARGUMENT_BYTES_MAX);
    let many = ARGUMENTS_BYTES_MAX / ARGUMENT_BYTES_MAX;
    let mut arguments = vec!["t"];
    arguments.resize(many, &part);
    let rest = "a".repeat(ARGUMENT_BYTES_MAX - 1);
    arguments.push(&rest);
    pattern.matches(&texts(&arguments), &Context).unwrap();
    arguments[many] = &part;
    let error = pattern.matches(&texts(&arguments), &Context).unwrap_err();
    assert!(error.expected.contains("bytes of arguments"), "{error}");
}

#[test]
fn the_worst_pattern_ends_soon() {
    // With backtracking this would take longer than the universe has been there.
    let mut elements = vec!["t".to_owned()];
    elements.resize(ELEMENTS_MAX - 1, "{a}*".to_owned());
    elements.push("end".to_owned());
    let mut arguments = vec!["t"];
    arguments.resize(ARGUMENTS_MAX, "a");
    Pattern::parse(&elements).unwrap().matches(&texts(&arguments), &Context).unwrap_err();
}

#[test]
fn only_a_text_that_the_plugin_makes_up_makes_an_element_free() {
    for kind in Kind::ALL {
        let pattern =
            Pattern::parse(&["t".to_owned(), format!("{{a:{}}}", kind.as_str())]).unwrap();
        let is_free = matches!(kind, Kind::Text | Kind::Assignment);
        assert_eq!(pattern.free_element().is_some(), is_free, "{kind:?}");
    }
}
