//! The half of the interface `migrate` that is a component's: running the release's own command in
//! the new release. What schema there is, is asked of the datastore's plugin.

use vaultup_sdk::migrate::Request;
use vaultup_sdk::{Error, Migrate, Observation, Operation, log};

use crate::HostPlugin;
use crate::service::Service;
use crate::settings::Settings;

/// Where the command stands in the datastore's entry of the release.
const COMMAND: &str = "migrate.command";

impl Migrate for HostPlugin {
    fn apply(operation: &Operation<Settings>, request: &Request) -> Result<(), Error> {
        let service = Service::open(operation)?;
        let version = &operation.next()?.version;
        if request.command.is_empty() {
            let message = format!("release {version} gives no command to migrate with");
            return Err(Error::invalid_settings(message));
        }
        service.require_release(version)?;
        let command = service.of_release(COMMAND, version)?;
        command.variable("datastore", &request.datastore).for_each_line(|line| {
            log::info(line);
            Ok(())
        })
    }

    /// The command is a child of the call that runs it and ends with it, so nothing goes on. What
    /// it did before it ended stands in the datastore and nowhere else.
    fn status(operation: &Operation<Settings>, request: &Request) -> Result<Observation, Error> {
        let Request { datastore, .. } = request;
        let subject = &operation.subject;
        Ok(Observation::unknown(format!(
            "{subject} keeps no record of it; the schema of {datastore} tells what was applied"
        )))
    }
}
