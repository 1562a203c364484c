//! Which versions of kubectl are understood.

use serde::Deserialize;
use vaultup_sdk::process::Asked;
use vaultup_sdk::{Error, process};

use crate::access::{read_json, told};

/// The oldest version whose answers are understood: `--for=create`, server-side apply and the
/// fields that are read are all there.
const MAJOR: u32 = 1;
const MINOR_MIN: u32 = 27;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    client_version: ClientVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientVersion {
    git_version: String,
}

/// Refuses a kubectl that is older or newer than what is understood, with
/// [`vaultup_sdk::Case::InvalidSettings`] naming both versions.
pub fn ask() -> Asked<'static, ()> {
    let attempt = "`kubectl version`";
    let command = process::command("kubectl").arguments(["version", "--client", "--output=json"]);
    command.ask(move |finished| check(&read_json(&told(finished, attempt)?, attempt)?))
}

fn check(answer: &Answer) -> Result<(), Error> {
    let Answer { client_version: ClientVersion { git_version } } = answer;
    let mut parts = git_version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(MAJOR)), Some(Ok(MINOR_MIN..))) => Ok(()),
        _ => Err(Error::invalid_settings(format!(
            "kubectl is {git_version}; {MAJOR}.{MINOR_MIN} or newer and below {} is supported",
            MAJOR + 1
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use vaultup_sdk::Case;
    use vaultup_sdk::testing::{Machine, Reply};

    use super::ask;

    #[test]
    fn versions_that_are_understood_pass_and_others_are_named() {
        let machine = Machine::new().install();
        let says = |version: &'static str| {
            machine.answer("kubectl", move |_| {
                Reply::output(format!(r#"{{"clientVersion": {{"gitVersion": "{version}"}}}}"#))
            });
            ask().answer()
        };
        for version in ["v1.27.0", "v1.34.5", "v1.40.1-gke.3"] {
            says(version).unwrap();
        }
        for version in ["v1.26.9", "v2.0.0", "", "what"] {
            let error = says(version).unwrap_err();
            assert_eq!(error.case(), &Case::InvalidSettings, "{version}");
            assert!(error.message().contains("1.27 or newer and below 2"), "{error}");
        }
        machine.answer("kubectl", |_| Reply::output("{}"));
        assert_eq!(ask().answer().unwrap_err().case(), &Case::Corrupt);
    }
}
