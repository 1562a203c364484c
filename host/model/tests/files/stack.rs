//! Wrong stack files.

use model::Problem;
use model::error::{FAULTS_MAX, code};
use model::stack::{CHECKS_MAX, PARTS_MAX, RECIPIENTS_MAX, SECRETS_MAX, STACK_BYTES_MAX, Stack};

use crate::{Wrong, refuse};

#[test]
fn a_wrong_head_is_refused() {
    const CASES: &[Wrong] = &[
        ("»", 4, "`format` is missing"),
        ("format»", 2, "no TOML"),
        ("format = »\"1\"", 5, "expected a whole number in `format`, got a text"),
        ("format = »2\nanything = 1", 7, "format 2"),
        ("format = »99999999999999999999", 6, "out of range"),
        ("»stack.name = \"s\"", 4, "add `format = …`"),
        ("»format = 1\n[components.a]\nplugin = \"p\"", 4, "`stack` is missing"),
        (
            "format = 1\nstack = »3\n[components.a]\nplugin = \"p\"",
            5,
            "expected a table in `stack`",
        ),
        ("format = 1\n»[stack]\n[components.a]\nplugin = \"p\"", 4, "`name` is missing in `stack`"),
        ("format = 1\n[stack]\nname = »\"Shop\"\n[components.a]\nplugin = \"p\"", 6, "not a name"),
        ("format = 1\n[stack]\nname = »3\n[components.a]\nplugin = \"p\"", 5, "write it in quotes"),
        (
            "format = 1\n»[stack]\nnmae = \"s\"\n[components.a]\nplugin = \"p\"",
            4,
            "where `nmae` stands",
        ),
        (
            "format = 1\n[stack]\nname = \"s\"\n»relaeses = \"x\"\n[components.a]\nplugin = \"p\"",
            3,
            "did you mean `releases`?",
        ),
        (
            "format = 1\n[stack]\nname = \"s\"\nreleases = »\"\"\n[components.a]\nplugin = \"p\"",
            6,
            "empty",
        ),
        ("»format = 1\nstack.name = \"s\"", 18, "neither a component nor a datastore"),
        (
            "format = 1\nstack.name = \"s\"\n[»component.a]\nplugin = \"p\"\n\
             [components.b]\nplugin = \"p\"",
            3,
            "did you mean `components`?",
        ),
        ("format = 1\nstack.name = \"s\"\n»format = 1", 2, "`format` stands here a second time"),
        ("format = 1\nstack.name = \"s\"\ncomponents = »[]", 5, "expected a table in `components`"),
    ];
    refuse("", CASES, Stack::parse);
}

#[test]
fn as_many_faults_are_told_as_are_allowed_and_not_one_more() {
    for wrong in [FAULTS_MAX, FAULTS_MAX + 1] {
        let keys: String = (0..wrong).map(|number| format!("key-{number} = 1\n")).collect();
        let text = format!("format = 1\nstack.name = \"s\"\ncomponents.a.plugin = \"p\"\n{keys}");
        let error = Stack::parse(&text, "f").unwrap_err();
        assert_eq!(error.faults().len(), FAULTS_MAX);
    }
}

/// A good stack, to which each case below adds what is wrong.
const GOOD: &str = "format = 1\nstack.name = \"shop\"\n\
    [components.api]\nplugin = \"host\"\n\
    [datastores.db]\nplugin = \"files\"\nwritten-by = [\"api\"]\n\
    [secrets.token]\nenv = \"TOKEN\"\n";

/// A second component, to which each case adds keys.
const WEB: &str = "format = 1\nstack.name = \"shop\"\n\
    [components.api]\nplugin = \"host\"\n\
    [datastores.db]\nplugin = \"files\"\n\
    [secrets.token]\nenv = \"TOKEN\"\n\
    [components.web]\nplugin = \"host\"\n";

#[test]
fn the_beginnings_of_the_tables_are_good() {
    Stack::parse(GOOD, "f").unwrap();
    Stack::parse(WEB, "f").unwrap();
}

/// Follow [`WEB`].
const WRONG_COMPONENTS: &[Wrong] = &[
    ("»wavse = [\"100%\"]", 3, "did you mean `waves`? known: plugin, settings, needs"),
    ("»colour = 1", 3, "unknown key `colour` in `components.web`"),
    ("»\"odd key\" = 1", 3, "unknown key `odd key`"),
    ("settings = »3", 5, "expected a table in `components.web.settings`, got a whole number"),
    ("settings = { a = »nan }", 6, "not finite"),
    ("settings = { a = [1, »inf] }", 6, "`components.web.settings.a[1]`"),
    ("settings = { a = »9223372036854775808 }", 6, "64 bits"),
    ("settings.uri = { secret = »\"tokn\" }", 12, "did you mean `token`?"),
    ("settings.list = [{ secret = »\"other\" }]", 12, "no secret `other` is declared"),
    ("settings.uri = { secret = »3 }", 5, "expected the name of a secret"),
    ("rehearsal.settings.uri = { secret = »\"copy\" }", 12, "no secret `copy`"),
    ("rehearsal = »\"copy\"", 5, "expected a table in `components.web.rehearsal`"),
    ("rehearsal = { »setings = {} }", 3, "did you mean `settings`?"),
    ("needs = »\"api\"", 5, "expected a list in `components.web.needs`, got a text"),
    ("needs = [»\"apy\"]", 9, "did you mean `api`?"),
    ("needs = [\"api\", »\"cache\"]", 9, "`web` needs `cache`"),
    ("needs = [\"api\", »\"api\"]", 8, "stands twice"),
    ("needs = [»\"A\"]", 6, "not a name"),
    ("needs = [»1]", 5, "expected a text in `components.web.needs[0]`"),
    ("needs = [»\"web\"]", 10, "web → web"),
    ("waves = »[]", 11, "there are no waves"),
    ("waves = »\"100%\"", 5, "expected a list"),
    ("waves = [»\"0%\", \"100%\"]", 11, "rolls nothing out"),
    ("waves = [»\"0\", \"100%\"]", 11, "rolls nothing out"),
    ("waves = [»\"120%\"]", 11, "more than everything"),
    ("waves = [\"50%\", »\"25%\", \"100%\"]", 11, "not larger than one before it"),
    ("waves = [\"3\", »\"3\", \"100%\"]", 11, "not larger than one before it"),
    ("waves = [\"5\", \"50%\", »\"4\", \"100%\"]", 11, "not larger than one before it"),
    ("waves = [\"1\", »\"50%\"]", 11, "the rest would never be upgraded"),
    ("waves = [»\"3\"]", 11, "the rest would never be upgraded"),
    ("waves = [»\"half\"]", 11, "`half` is no wave"),
    ("waves = [»\"-1\", \"100%\"]", 11, "`-1` is no wave"),
    ("waves = [»\"99999999999\", \"100%\"]", 11, "is no wave"),
    ("waves = [»0.5]", 5, "expected a text in `components.web.waves[0]`"),
    ("within = »5", 5, "expected a duration in quotes"),
    ("within = »\"5\"", 6, "`5` is no duration"),
    ("within = »\"0s\"", 6, "no time"),
    ("within = »\"400d\"", 6, "longer than a year"),
    ("within = »07:30:00", 5, "got a date or time"),
];

#[test]
fn a_wrong_component_is_refused() {
    refuse(WEB, WRONG_COMPONENTS, Stack::parse);
}

#[test]
fn a_component_without_plugin_or_with_another_s_name_is_refused() {
    const CASES: &[Wrong] = &[
        ("»[components.web]\n", 4, "`plugin` is missing in `components.web`"),
        ("[components.web]\nplugin = »\"/bin/sh\"", 6, "not a name"),
        ("[components.web]\nplugin = »[\"p\"]", 5, "expected a text"),
        ("[components.»Web]\nplugin = \"p\"", 6, "`Web` is not a name"),
        ("[components]\nweb = »\"p\"", 5, "expected a table in `components.web`"),
        (
            "[components.a]\nplugin = \"p\"\nneeds = [»\"b\"]\n[components.b]\nplugin = \"p\"\n\
             needs = [\"c\"]\n[components.c]\nplugin = \"p\"\nneeds = [\"a\"]",
            10,
            "a → b → c → a",
        ),
    ];
    refuse(GOOD, CASES, Stack::parse);
    const TWICE: &[Wrong] = &[(
        "format = 1\nstack.name = \"s\"\n[components.db]\nplugin = \"p\"\n\
         [datastores.»db]\nplugin = \"p\"",
        8,
        "`db` is a component and a datastore",
    )];
    refuse("", TWICE, Stack::parse);
}

/// Follow [`WEB`].
const WRONG_CHECKS: &[Wrong] = &[
    ("health = »\"http://x/\"", 5, "expected a table or a list of tables"),
    ("health = [»\"http://x/\"]", 5, "expected a table in `components.web.health[0]`"),
    ("»[components.web.health]\nwithin = \"1m\"", 17, "none of `http`, `command`"),
    (
        "»[components.web.health]\nhttp = \"http://x/\"\ncommand = [\"true\"]",
        17,
        "more than one of",
    ),
    ("[components.web.health]\nhttp = »\"localhost/health\"", 6, "not absolute"),
    ("[components.web.health]\nhttp = »\"ftp://x/\"", 6, "not absolute"),
    ("[components.web.health]\nhttp = »\"http://x/${relase.version}\"", 13, "release.version"),
    ("[components.web.health]\nhttp = »\"http://x/${target\"", 14, "does not end"),
    ("[components.web.health]\nhttp = \"http://x/\"\nwithin = »60", 5, "a duration in quotes"),
    (
        "[components.web.health]\nhttp = \"http://x/\"\n»timeout = \"1m\"",
        3,
        "unknown key `timeout`",
    ),
    ("[components.web.health]\nhttp = \"http://x/\"\nexpect = »200", 5, "expected a table"),
    (
        "[components.web.health]\nhttp = \"http://x/\"\nexpect.status = »\"200\"",
        5,
        "expected a whole number",
    ),
    ("[components.web.health]\nhttp = \"http://x/\"\nexpect.status = »99", 6, "from 100 to 599"),
    ("[components.web.health]\nhttp = \"http://x/\"\nexpect.status = »600", 6, "from 100 to 599"),
    (
        "[components.web.health]\nhttp = \"http://x/\"\nexpect.»body = \"ok\"",
        3,
        "unknown key `body`",
    ),
    (
        "[components.web.health]\nhttp = \"http://x/\"\nexpect.json = { »version = \"1\" }",
        6,
        "begin with a slash: \"/version\"",
    ),
    (
        "[components.web.health]\nhttp = \"http://x/\"\nexpect.json = { \"/v\" = »\"${x}\" }",
        13,
        "`${x}` has no value",
    ),
    (
        "[components.web.health]\ncommand = [\"true\"]\nexpect = »{ status = 200 }",
        17,
        "has no `expect`",
    ),
    ("[components.web.health]\ncommand = »\"curl x\"", 5, "there is no shell"),
    ("[components.web.health]\ncommand = »[]", 6, "no program"),
    ("[components.web.health]\ncommand = »[\" \"]", 6, "no program"),
    ("[components.web.health]\ncommand = [\"a\", »\"b\\u0000\"]", 6, "NUL"),
    (
        "[components.web.health]\ncommand = [\"a\", »\"${stack.nam}\"]",
        13,
        "did you mean `stack.name`?",
    ),
    ("»[components.web.smoke]\nwithin = \"1m\"", 4, "`run` is missing"),
    ("[[components.web.smoke]]\nrun = [\"a\"]\n»[[components.web.smoke]]", 4, "`run` is missing"),
    ("[components.web.smoke]\nrun = [»3]", 5, "expected a text in `components.web.smoke.run[0]`"),
];

#[test]
fn a_wrong_probe_or_smoke_check_is_refused() {
    refuse(WEB, WRONG_CHECKS, Stack::parse);
}

#[test]
fn a_wrong_datastore_is_refused() {
    const CASES: &[Wrong] = &[
        ("»[datastores.log]\n", 4, "`plugin` is missing"),
        (
            "[datastores.log]\nplugin = \"files\"\nwritten-by = [»\"apis\"]",
            9,
            "did you mean `api`?",
        ),
        ("[datastores.log]\nplugin = \"files\"\nwritten-by = [»\"db\"]", 9, "which is a datastore"),
        ("[datastores.log]\nplugin = \"files\"\nwritten-by = »\"api\"", 5, "expected a list"),
        (
            "[datastores.log]\nplugin = \"files\"\n»writen-by = [\"api\"]",
            3,
            "did you mean `written-by`?",
        ),
        ("[datastores.log]\nplugin = \"files\"\nproof = »4", 6, "from 0 to 3"),
        ("[datastores.log]\nplugin = \"files\"\nproof = »-1", 6, "from 0 to 3"),
        ("[datastores.log]\nplugin = \"files\"\nproof = »\"3\"", 5, "without quotes"),
        ("[datastores.log]\nplugin = \"files\"\nwithin = »true", 5, "got true or false"),
        ("[datastores.log]\nplugin = \"files\"\n»key = { secret = \"token\" }", 3, "key `key`"),
        ("[datastores.log]\nplugin = \"files\"\n»needs = [\"api\"]", 3, "unknown key `needs`"),
        ("[datastores.log]\nplugin = \"files\"\n»waves = [\"100%\"]", 3, "unknown key `waves`"),
    ];
    refuse(GOOD, CASES, Stack::parse);
}

#[test]
fn a_wrong_secret_is_refused_and_never_repeated() {
    const CASES: &[Wrong] = &[
        ("uri = »\"mongodb://u:hunter2@h/\"", 5, "a secret never stands in the file"),
        ("uri = »{}", 17, "none of `env`, `file`, `command`"),
        ("uri = »{ env = \"A\", file = \"b\" }", 17, "more than one of"),
        ("uri = »{ value = \"hunter2\" }", 17, "none of"),
        ("uri = { env = »\"hunter2 x\" }", 6, "no name of a variable"),
        ("uri = { env = »\"\" }", 6, "empty"),
        ("uri = { command = »\"pass show x\" }", 5, "there is no shell"),
        ("uri = { file = »3 }", 5, "expected a text"),
        ("»URI = { env = \"A\" }", 6, "not a name"),
    ];
    let beginning = GOOD.replace("[secrets.token]\nenv = \"TOKEN\"\n", "[secrets]\n");
    refuse(&beginning, CASES, Stack::parse);
    for (text, ..) in CASES {
        let text = format!("{beginning}{}", text.replace('»', ""));
        let error = Stack::parse(&text, "f").unwrap_err();
        let said = format!("{error} {error:?} {:?}", error.next());
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_wrong_policy_or_backup_table_is_refused() {
    const CASES: &[Wrong] = &[
        ("[policy]\non-failure = »\"retrun\"", 6, "did you mean `return`?"),
        ("[policy]\non-failure = »true", 5, "expected a text"),
        ("[policy]\nloss-budget = »600", 5, "a duration in quotes"),
        ("[policy]\n»loss = \"1m\"", 3, "unknown key `loss` in `policy`"),
        ("[backups]\nrecipients = »\"age1x\"", 5, "expected a list"),
        ("[backups]\nrecipients = [»\"AGE-SECRET-KEY-1\"]", 6, "no age recipient"),
        ("[backups]\ndirectory = »\" \"", 6, "empty"),
        ("[backups]\ndirectory = »\"a\\nb\"", 6, "control character"),
        ("[backups]\nkeep = »5", 5, "expected a table"),
        ("[backups]\nkeep.last = »0", 6, "from 1 to"),
        ("[backups]\nkeep.days = »-1", 6, "from 0 to"),
        ("[backups]\nkeep.»lats = 3", 3, "did you mean `last`?"),
    ];
    refuse(GOOD, CASES, Stack::parse);
}

#[test]
fn what_is_no_toml_is_refused_where_it_breaks() {
    const CASES: &[Wrong] = &[
        ("x = »", 2, "no TOML"),
        ("x = »yes", 2, "quoted"),
        ("x »1", 2, "no TOML"),
        ("x = 'a»", 2, "no TOML"),
        ("[»a", 2, "no TOML"),
        ("[policy]\n[»policy]", 2, "a second time"),
        ("\u{0}»", 2, "no TOML"),
    ];
    for (text, code, part) in CASES {
        let text = format!("{GOOD}{}", text.replace('»', ""));
        let error = Stack::parse(&text, "f").unwrap_err();
        assert_eq!(error.code().0, *code, "{text}");
        let line = u32::try_from(GOOD.matches('\n').count() + 1).unwrap();
        let place = error.place().unwrap();
        assert!((line..=line + 1).contains(&place.line), "{text}: {place}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn every_fault_of_a_file_is_reported_in_order_of_its_place() {
    let text = "format = 1\nstack.nmae = \"s\"\n[components.api]\nplugin = 3\nwaves = []\n\
                needs = [\"no\"]\nwithin = \"x\"\n[secrets]\na = 1\n[components.B]\n[polcy]\n";
    let error = Stack::parse(text, "f").unwrap_err();
    let found: Vec<(u32, u16)> =
        error.faults().iter().map(|fault| (fault.place.line, fault.code.0)).collect();
    let expected = [(2, 4), (2, 3), (4, 5), (5, 11), (6, 9), (7, 6), (9, 5), (10, 6), (11, 3)];
    assert_eq!(found, expected, "{error}");
    assert!(error.to_string().contains("\n  f:11:2: unknown key `polcy`"), "{error}");
}

#[test]
fn limits_hold_at_their_number_and_not_one_past_it() {
    let components = |count: usize| {
        let each = |number| format!("[components.c{number}]\nplugin = \"p\"\n");
        format!("format = 1\nstack.name = \"s\"\n{}", (0..count).map(each).collect::<String>())
    };
    Stack::parse(&components(PARTS_MAX), "f").unwrap();
    let error = Stack::parse(&components(PARTS_MAX + 1), "f").unwrap_err();
    assert_eq!(error.code(), code::TOO_MANY);
    let waves = |count: usize| {
        let each = |number| format!("\"{number}\", ");
        format!("{WEB}waves = [{}\"100%\"]", (1..count).map(each).collect::<String>())
    };
    Stack::parse(&waves(CHECKS_MAX), "f").unwrap();
    assert_eq!(Stack::parse(&waves(CHECKS_MAX + 1), "f").unwrap_err().code(), code::TOO_MANY);
    let probes = |count: usize| {
        format!("{WEB}{}", "[[components.web.health]]\ncommand = [\"a\"]\n".repeat(count))
    };
    Stack::parse(&probes(CHECKS_MAX), "f").unwrap();
    assert_eq!(Stack::parse(&probes(CHECKS_MAX + 1), "f").unwrap_err().code(), code::TOO_MANY);
    let secrets = |count: usize| {
        let each = |number| format!("[secrets.s{number}]\nenv = \"S\"\n");
        format!("{GOOD}{}", (0..count).map(each).collect::<String>())
    };
    Stack::parse(&secrets(SECRETS_MAX - 1), "f").unwrap();
    assert_eq!(Stack::parse(&secrets(SECRETS_MAX), "f").unwrap_err().code(), code::TOO_MANY);
    let recipients =
        |count: usize| format!("{GOOD}[backups]\nrecipients = [{}]", "\"age1x\",".repeat(count));
    Stack::parse(&recipients(RECIPIENTS_MAX), "f").unwrap();
    assert_eq!(
        Stack::parse(&recipients(RECIPIENTS_MAX + 1), "f").unwrap_err().code(),
        code::TOO_MANY
    );
    let padded = |bytes: usize| format!("{GOOD}#{}", "x".repeat(bytes - GOOD.len() - 1));
    Stack::parse(&padded(STACK_BYTES_MAX), "f").unwrap();
    let error = Stack::parse(&padded(STACK_BYTES_MAX + 1), "f").unwrap_err();
    assert_eq!(error.code(), code::FILE_TOO_LARGE);
}
