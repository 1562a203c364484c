//! What is upgraded: a stack of two components on two datastores, and its release.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::plan::{Intent, Plan, Preconditions};
use engine::planner::{Question, plan};
use engine::snapshot::{ComponentSnapshot, DatastoreSnapshot, Snapshot};
use model::Name;
use model::contract::{Consistency, ProofLevel, WayBack};
use model::release::{DatastoreRelease, MigrateBy, MigrationClass, Release};
use model::stack::{Backups, Component, Datastore, OnFailure, Policy, Stack, WaveSize};
use serde_json::json;

use crate::world::World;

/// A scenario: how the schema changes, and how the stack is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// No schema changes; backups are of one moment, so nothing is stopped.
    NoMigration,
    /// A command migrates, and the previous release does not run on it.
    Breaking,
    /// The service migrates when it starts.
    AtStart,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 3] = [Self::NoMigration, Self::Breaking, Self::AtStart];

    /// The stack before the upgrade, and the plan of it.
    ///
    /// # Errors
    /// The obstacles that the planner found.
    pub fn begin(self) -> Result<(World, Plan), String> {
        let stack = self.stack()?;
        let release = self.release()?;
        let components: Vec<Name> = stack.components.keys().cloned().collect();
        let stores = stack.datastores.iter();
        let writers = stores.map(|(name, its)| (name.clone(), its.written_by.clone())).collect();
        let mut world = World::new(&components, writers, "2.0.0", 2);
        let question = Question {
            stack: &stack,
            next: &release,
            snapshot: self.snapshot(&world),
            preconditions: Preconditions::default(),
            rehearsed: &BTreeSet::new(),
            intent: Intent::Upgrade,
            found: Vec::new(),
        };
        let plan = plan(question).map_err(|obstacles| format!("{obstacles:?}"))?;
        world.to.clone_from(&plan.to);
        for component in plan.components() {
            world.at_start.insert(component.clone(), plan.migrated_at_start_by(component));
        }
        Ok((world, plan))
    }

    fn stack(self) -> Result<Stack, String> {
        let component = |needs: &[&str]| -> Result<Component, String> {
            Ok(Component {
                plugin: name("host")?,
                settings: json!({}),
                needs: needs.iter().map(|text| name(text)).collect::<Result<_, _>>()?,
                waves: vec![WaveSize::Percent(100)],
                health: Vec::new(),
                smoke: Vec::new(),
                rehearsal: None,
                within: Duration::from_secs(60),
            })
        };
        let datastore = |writers: &[&str]| -> Result<Datastore, String> {
            Ok(Datastore {
                plugin: name("files")?,
                settings: json!({}),
                written_by: writers.iter().map(|text| name(text)).collect::<Result<_, _>>()?,
                writers_are_named: true,
                proof: ProofLevel::Restored,
                rehearsal: None,
                within: Duration::from_secs(60),
            })
        };
        Ok(Stack {
            name: name("shop")?,
            releases: "releases".to_owned(),
            components: BTreeMap::from([
                (name("api")?, component(&["orders"])?),
                (name("gateway")?, component(&["api"])?),
            ]),
            datastores: BTreeMap::from([
                (name("keys")?, datastore(&["api"])?),
                (name("orders")?, datastore(&["api"])?),
            ]),
            secrets: BTreeMap::new(),
            policy: Policy { on_failure: OnFailure::Return, ..Policy::default() },
            backups: Backups {
                recipients: Vec::new(),
                directory: None,
                keep_last: 5,
                keep_days: 30,
            },
        })
    }

    fn release(self) -> Result<Release, String> {
        let with = name("api")?;
        let migrate = match self {
            Self::NoMigration => None,
            Self::Breaking => Some(MigrateBy::Command {
                with: Some(with),
                command: vec!["api".to_owned(), "migrate".to_owned()],
            }),
            Self::AtStart => Some(MigrateBy::AtStart { with }),
        };
        let migrates = migrate.is_some();
        let orders = DatastoreRelease {
            schema: Some(if migrates { "3" } else { "2" }.to_owned()),
            migration: if migrates { MigrationClass::Breaking } else { MigrationClass::None },
            migrate,
            migrations: None,
            entry: json!({}),
        };
        Ok(Release {
            version: semver::Version::new(3, 0, 0),
            from: Vec::new(),
            components: BTreeMap::new(),
            datastores: BTreeMap::from([(name("orders")?, orders)]),
            notes: None,
            matrix: None,
        })
    }

    fn snapshot(self, world: &World) -> Snapshot {
        let survey = world.survey();
        let running = survey.running.into_iter().filter_map(|(name, running)| {
            let running = running.ok()?;
            let way_back = WayBack {
                available: true,
                revision: running.revision.clone(),
                reason: String::new(),
            };
            Some((name, ComponentSnapshot { running, way_back, preview: None }))
        });
        let schemas = survey.schemas.into_iter().filter_map(|(name, schema)| {
            let seen = DatastoreSnapshot {
                schema: schema.ok()?,
                pending: None,
                bytes: 1024,
                bytes_free: Some(1 << 30),
                consistency: Consistency::OneMoment,
                backup_commands: Vec::new(),
                restorable: true,
                last: None,
            };
            Some((name, seen))
        });
        Snapshot {
            components: running.collect(),
            datastores: schemas.collect(),
            ..Snapshot::default()
        }
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}
