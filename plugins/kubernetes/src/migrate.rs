//! The half of the interface `migrate` that is a component's: running the release's own command in
//! the new release. What schema there is, is asked of the datastore's plugin.

use vaultup_kubectl::Cluster;
use vaultup_sdk::migrate::Request;
use vaultup_sdk::process::filled_in;
use vaultup_sdk::{Error, Migrate, Observation, Operation};

use crate::KubernetesPlugin;
use crate::job;
use crate::settings::Settings;
use crate::workload::kubectl_of;

impl Migrate for KubernetesPlugin {
    fn apply(operation: &Operation<Settings>, request: &Request) -> Result<(), Error> {
        let version = &operation.next()?.version;
        if request.command.is_empty() {
            let message = format!("release {version} gives no command to migrate with");
            return Err(Error::invalid_settings(message));
        }
        let known = [
            ("release".to_owned(), version.clone()),
            ("datastore".to_owned(), request.datastore.clone()),
        ];
        let command: Vec<String> =
            request.command.iter().map(|word| filled_in(word, &known)).collect();
        job::migrate(operation, &command)
    }

    fn status(operation: &Operation<Settings>, _request: &Request) -> Result<Observation, Error> {
        let cluster = Cluster::look(&kubectl_of(operation))?;
        let name = job::name_for(&operation.key);
        let Some(job) = job::job_of(&cluster, &name) else { return Ok(Observation::NotStarted) };
        Ok(match job.ended() {
            None => Observation::in_progress(format!("Job {name} runs")),
            Some(true) => Observation::done(format!("Job {name} is complete")),
            Some(false) => Observation::failed(format!("Job {name} failed")),
        })
    }
}
