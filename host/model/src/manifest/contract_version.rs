//! `major.minor` of the plugin contract: reading and showing it.

use super::ContractVersion;

impl TryFrom<String> for ContractVersion {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = |part: &str| {
            let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse::<u32>().ok()).flatten()
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some((digits(major)?, digits(minor)?)))
            .map(|(major, minor)| Self { major, minor })
            .ok_or_else(|| {
                let shown = crate::pattern::shown(&text);
                format!("`{shown}` is no contract version: write `major.minor`, such as \"0.1\"")
            })
    }
}

impl From<ContractVersion> for String {
    fn from(version: ContractVersion) -> Self {
        version.to_string()
    }
}

impl std::fmt::Display for ContractVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::ContractVersion;

    #[test]
    fn a_contract_version_is_two_numbers() {
        let version = ContractVersion::try_from("0.12".to_owned()).unwrap();
        assert_eq!((version.major, version.minor), (0, 12));
        assert_eq!(version.to_string(), "0.12");
        for text in ["", "1", "0.1.0", "0.", ".1", "v0.1", "0.+1", "-0.1", "0.4294967296"] {
            ContractVersion::try_from(text.to_owned()).unwrap_err();
        }
    }
}
