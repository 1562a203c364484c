//! Good files: read, written in another form, and read again.

use model::manifest::Manifest;
use model::release::Release;
use model::stack::{Ask, OnFailure, SecretSource, Stack, WaveSize};
use model::{Name, contract::ProofLevel};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

/// What a plan or journal keeps is what was read.
fn survives_json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
}

const STACK: &str = r#"
format = 1
[stack]
name = "message-center"
releases = "oci://registry.example/mc"
[components.core-admin]
plugin   = "kubernetes"
settings = { namespace = "mc", since = 2026-05-02, deep.list = [1, 2.5, true, "x"] }
needs    = ["mongo"]
waves    = [1, "50%", "100%"]
within   = "1h30m"
rehearsal.settings = { namespace = "copy" }
[components.core-admin.health]
http   = "http://127.0.0.1:8080/health"
expect = { status = 204, json = { "/version" = "${release.version}", "" = {} } }
within = "2m"
[[components.core-admin.smoke]]
run    = ["./smoke.sh", "${stack.name}"]
[datastores.mongo]
plugin   = "mongo"
settings = { uri = { secret = "mongo-uri" }, database = "mc" }
written-by = ["core-admin"]
proof    = 2
[secrets]
mongo-uri = { env = "MONGODB_URI" }
file      = { file = "/run/secret" }
command   = { command = ["pass", "show", "mc"] }
[policy]
loss-budget = "10m"
on-failure  = "hold"
[backups]
recipients = ["age1abc"]
directory  = "/backup"
keep       = { last = 7 }
"#;

#[test]
fn a_whole_stack_is_read() {
    let stack = Stack::parse(STACK, "vaultup.toml").unwrap();
    survives_json(&stack);
    let name = |text| Name::parse(text).unwrap();
    let core = &stack.components[&name("core-admin")];
    assert_eq!(core.waves, [WaveSize::Instances(1), WaveSize::Percent(50), WaveSize::Percent(100)]);
    assert_eq!(core.within.as_secs(), 5400);
    assert_eq!(
        core.settings,
        json!({"namespace": "mc", "since": "2026-05-02", "deep": {"list": [1, 2.5, true, "x"]}})
    );
    let copy = core.rehearsal.as_ref().unwrap();
    assert_eq!(copy.settings, json!({"namespace": "copy"}));
    assert_eq!((&copy.health, &copy.smoke), (&None, &None));
    let Ask::Http { status, json, .. } = &core.health[0].ask else { panic!("{:?}", core.health) };
    assert_eq!((*status, json.len(), core.health[0].within.as_secs()), (204, 2, 120));
    assert_eq!(core.smoke[0].within.as_secs(), 300);
    let mongo = &stack.datastores[&name("mongo")];
    assert_eq!((mongo.proof, mongo.within.as_secs()), (ProofLevel::Checked, 1800));
    assert_eq!(stack.secrets[&name("file")], SecretSource::File("/run/secret".to_owned()));
    assert_eq!(stack.policy.on_failure, OnFailure::Hold);
    assert_eq!((stack.backups.keep_last, stack.backups.keep_days), (7, 30));
}

#[test]
fn what_a_stack_leaves_out_has_its_default() {
    let text = "format = 1\nstack.name = \"s\"\n[components.a]\nplugin = \"p\"\n\
                [datastores.d]\nplugin = \"q\"\n";
    let stack = Stack::parse(text, "f").unwrap();
    survives_json(&stack);
    let whole = "format = 1\n[stack]\nname = \"s\"\nreleases = \"releases\"\n\
        [components.a]\nplugin = \"p\"\nsettings = {}\nneeds = []\nwaves = [\"100%\"]\n\
        health = []\nsmoke = []\nwithin = \"5m\"\n\
        [datastores.d]\nplugin = \"q\"\nsettings = {}\n\
        proof = 3\nwithin = \"30m\"\n\
        [secrets]\n[policy]\non-failure = \"return\"\nloss-budget = \"0s\"\n\
        [backups]\nrecipients = []\nkeep = { last = 5, days = 30 }\n";
    assert_eq!(Stack::parse(whole, "f").unwrap(), stack);
}

/// That nobody writes is something to say; leaving it out says nothing.
#[test]
fn no_writers_and_no_word_about_writers_are_told_apart() {
    let text = "format = 1\nstack.name = \"s\"\n[datastores.d]\nplugin = \"q\"\n";
    for (more, is_named) in [("", false), ("written-by = []\n", true)] {
        let stack = Stack::parse(&format!("{text}{more}"), "f").unwrap();
        let its = &stack.datastores[&Name::parse("d").unwrap()];
        assert_eq!((its.written_by.len(), its.writers_are_named), (0, is_named));
    }
}

#[test]
fn line_ends_marks_and_forms_of_tables_do_not_matter() {
    let plain = "format = 1\nstack.name = \"s\"\n[components.a]\nplugin = \"p\"\nneeds = [\"d\"]\n\
                 [datastores]\nd = { plugin = \"q\" }\n";
    let expected = Stack::parse(plain, "f").unwrap();
    let others = [
        plain.replace('\n', "\r\n"),
        format!("\u{feff}{plain}"),
        "datastores.d.plugin = 'q'\n\
         components = { a = { plugin = \"\"\"p\"\"\", needs = ['d'] } }\n\
         stack = { name = \"\\u0073\" }\nformat = 0x1 # hexadecimal\n"
            .to_owned(),
    ];
    for text in others {
        assert_eq!(Stack::parse(&text, "f").unwrap(), expected, "{text}");
    }
}

#[test]
fn a_whole_release_and_manifest_are_read() {
    let release = Release::parse(
        "format = 1\nversion = \"2.5.0-rc.1+7\"\nfrom = [\"2.4.x\", \"2.3\"]\nnotes = \"N.md\"\n\
         matrix = \"M.md\"\n[components.a]\nimage = \"r/a:1@sha256:0\"\n\
         config = \".env.example\"\n\
         [datastores.d]\nschema = 18\nmigration = \"compatible\"\n\
         migrate = { with = \"a\", command = [\"yarn\", \"migrate\"] }\n",
        "release.toml",
    )
    .unwrap();
    survives_json(&release);
    assert_eq!(release.notes.as_deref(), Some("N.md"));
    assert!(release.is_reachable_from(&"2.3.9".parse().unwrap()));
    assert!(!release.is_reachable_from(&"2.2.0".parse().unwrap()));
    let manifest = Manifest::parse(
        "format = 1\nname = \"m\"\nversion = \"0.1.0\"\ncontract = \"0.1\"\ndescription = \"d\"\n\
         exports = [\"backup\", \"restore\", \"migrate\"]\ntools = [{ name = \"mongodump\" }]\n\
         [[process]]\nclass = \"read\"\n\
         argv = [\"mongodump\", \"--config={c:secret-file}\", \"--archive\", \"-v?\"]\n\
         [settings]\n\"$schema\" = \"https://json-schema.org/draft/2020-12/schema\"\n",
        "plugin.toml",
    )
    .unwrap();
    survives_json(&manifest);
    survives_json(&manifest.needs());
}
