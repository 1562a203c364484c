//! What is there now, as the plugins see it. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use engine::act::Survey;
use engine::snapshot::{ComponentSnapshot, DatastoreSnapshot, Snapshot};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use model::Name;
use model::contract::{
    Consistency, Interface, MigrateRequest, Pending, PluginError, Running, Schema, Target,
};
use model::release::{MigrateBy, Release};
use sandbox::{CallError, Session};

use crate::error::Error;
use crate::operation::{Call, Releases};
use crate::platform::{Platform, Unheard};

/// How long observing one component or datastore may take.
pub const OBSERVE_WITHIN: Duration = Duration::from_secs(60);

/// So many components, and so many datastores, are observed side by side: each asks tools that take
/// a core for a moment.
const AT_ONCE: usize = 4;

/// The fingerprint that a plugin gives when it knows of no schema.
pub const NO_SCHEMA: &str = "none";

impl Platform {
    /// Observes everything, before a plan is made.
    ///
    /// # Errors
    /// [`Error::Call`] when a plugin cannot tell.
    pub async fn snapshot<'s>(&'s self, releases: Releases<'s>) -> Result<Snapshot, Error> {
        let stack = &self.project.stack;
        let session = &self.looking();
        let component = |name: &'s Name| async move {
            self.observe_component(session, name, releases).await.map(|seen| (name.clone(), seen))
        };
        let datastore = |name: &'s Name| async move {
            self.observe_datastore(session, name, releases).await.map(|seen| (name.clone(), seen))
        };
        let components = stream::iter(stack.components.keys()).map(component).buffered(AT_ONCE);
        let datastores = stream::iter(stack.datastores.keys()).map(datastore).buffered(AT_ONCE);
        let (components, datastores) =
            tokio::try_join!(components.try_collect(), datastores.try_collect())?;
        Ok(Snapshot { components, datastores, ..Snapshot::default() })
    }

    /// What runs of a component.
    ///
    /// # Errors
    /// [`Error::Call`] when its plugin cannot tell.
    pub async fn running(
        &self,
        session: &Session,
        name: &Name,
        target: &Target,
        releases: Releases<'_>,
    ) -> Result<Running, Error> {
        let operation = self.operation(&observing(name, target, releases))?;
        Ok(self.plugin(name)?.deploy_observe(session, &operation).await?)
    }

    /// The schema of a datastore; none if its plugin knows of none.
    ///
    /// # Errors
    /// [`Error::Call`] when its plugin cannot tell.
    pub async fn schema(
        &self,
        session: &Session,
        name: &Name,
        target: &Target,
        releases: Releases<'_>,
    ) -> Result<Option<Schema>, Error> {
        if !self.exports(name, Interface::Migrate) {
            return Ok(None);
        }
        let operation = self.operation(&observing(name, target, releases))?;
        match self.plugin(name)?.migrate_schema(session, &operation).await {
            Ok(schema) if schema.fingerprint == NO_SCHEMA => Ok(None),
            Ok(schema) => Ok(Some(schema)),
            Err(error) if is_unsupported(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Observes what the decision about the way back needs; what cannot be told is part of it.
    ///
    /// # Errors
    /// Only what is no answer of a plugin.
    pub async fn survey(&self, target: &Target, releases: Releases<'_>) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        let session = self.looking();
        for name in self.project.stack.datastores.keys() {
            let schema = told(self.schema(&session, name, target, releases).await)?;
            survey.schemas.insert(name.clone(), schema);
        }
        for name in self.project.stack.components.keys() {
            let running = told(self.running(&session, name, target, releases).await)?;
            survey.running.insert(name.clone(), running);
        }
        Ok(survey)
    }

    /// A session that changes nothing and is not heard.
    #[must_use]
    pub fn quiet(&self) -> Session {
        self.reading(Arc::new(Unheard))
    }

    /// As [`Platform::quiet`], for several calls about one moment: they share what commands that
    /// only read answer.
    #[must_use]
    pub fn looking(&self) -> Session {
        Session { look: Some(Arc::default()), ..self.quiet() }
    }

    async fn observe_component(
        &self,
        session: &Session,
        name: &Name,
        releases: Releases<'_>,
    ) -> Result<ComponentSnapshot, Error> {
        let plugin = self.plugin(name)?;
        let operation = self.operation(&observing(name, &Target::Live, releases))?;
        let preview = async {
            match releases.next {
                Some(_) => plugin.deploy_preview(session, &operation).await.map(Some),
                None => Ok(None),
            }
        };
        // Nothing of it changes anything, and all of it mostly waits for the platform.
        let (running, way_back, preview) = tokio::join!(
            plugin.deploy_observe(session, &operation),
            plugin.deploy_way_back(session, &operation),
            preview,
        );
        Ok(ComponentSnapshot { running: running?, way_back: way_back?, preview: preview? })
    }

    async fn observe_datastore(
        &self,
        session: &Session,
        name: &Name,
        releases: Releases<'_>,
    ) -> Result<DatastoreSnapshot, Error> {
        let operation = self.operation(&observing(name, &Target::Live, releases))?;
        let plugin = self.plugin(name)?;
        let (estimate, schema, pending) = tokio::join!(
            plugin.backup_estimate(session, &operation),
            self.schema(session, name, &Target::Live, releases),
            self.pending(session, name, releases),
        );
        let (estimate, schema, pending) = (estimate?, schema?, pending?);
        Ok(DatastoreSnapshot {
            schema,
            pending,
            bytes: estimate.bytes,
            bytes_free: estimate.bytes_free,
            consistency: estimate.consistency.unwrap_or(Consistency::None),
            backup_commands: estimate.commands,
            restorable: self.exports(name, Interface::Restore),
            last: None,
        })
    }

    async fn pending(
        &self,
        session: &Session,
        name: &Name,
        releases: Releases<'_>,
    ) -> Result<Option<Pending>, Error> {
        let request = releases.next.and_then(|next| request_for(name, next));
        let Some(request) = request.filter(|_| self.exports(name, Interface::Migrate)) else {
            return Ok(None);
        };
        let operation = self.operation(&observing(name, &Target::Live, releases))?;
        match self.plugin(name)?.migrate_pending(session, &operation, &request).await {
            Ok(pending) => Ok(Some(pending)),
            Err(error) if is_unsupported(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a release asks to be migrated of a datastore.
#[must_use]
pub fn request_for(name: &Name, release: &Release) -> Option<MigrateRequest> {
    let its = release.datastores.get(name)?;
    let command = match its.migrate.as_ref()? {
        MigrateBy::Command { command, .. } => command.clone(),
        MigrateBy::AtStart { .. } => Vec::new(),
    };
    Some(MigrateRequest { datastore: name.to_string(), command, expected: its.schema.clone() })
}

/// Whether a plugin says that it does not do this.
#[must_use]
pub fn is_unsupported(error: &CallError) -> bool {
    matches!(error.plugin_error(), Some(PluginError::Unsupported(_)))
        || matches!(error, CallError::NotExported { .. })
}

fn observing<'a>(name: &'a Name, target: &'a Target, releases: Releases<'a>) -> Call<'a> {
    Call { subject: name, target, key: "observe", within: OBSERVE_WITHIN, releases }
}

/// What a plugin cannot tell is an answer; what is no answer of a plugin is an error.
fn told<T>(answer: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Call(error)) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
