//! What is acted on: components that write, datastores that are migrated, backups.

use std::collections::{BTreeMap, BTreeSet};

use engine::act::{Act, Answer, Failure, Outcome, Purpose, Survey};
use engine::machine::Effect;
use model::Name;
use model::contract::{Instance, Presence, ProofLevel, Running, Schema, Target, Traffic};

/// What goes wrong with an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and changes nothing.
    Before,
    /// It fails half-way.
    HalfWay,
    /// It happens, and then says that it failed.
    After,
}

/// A bug planted on purpose: the checker must find each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// After a crash a migration is repeated without looking.
    RepeatBlindly,
    /// A restore puts back other data than was backed up.
    RestoreOther,
    /// Holding requests and stopping leave a component writing.
    HoldLeavesWriting,
    /// The journal loses its last record in a crash.
    LoseRecord,
    /// A redeployment leaves the new version in place, and verifying does not look.
    RevertIsNotVerified,
}

/// A component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Version that is in place.
    pub version: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether requests are held back.
    pub held: bool,
}

/// What a datastore holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Rows that were written, each a number that is never used twice.
    pub rows: BTreeSet<u64>,
    /// Schema version.
    pub schema: u32,
    /// Whether a migration was begun and not ended.
    pub dirty: bool,
}

/// A simulated stack.
#[derive(Clone, Debug)]
pub struct World {
    /// The components.
    pub components: BTreeMap<Name, Component>,
    /// What the live datastores hold.
    pub stores: BTreeMap<Name, Content>,
    /// Restored copies beside the live datastores.
    pub filled: BTreeMap<(Name, u32), Content>,
    /// Live datastores that were switched to, by the key of the restore.
    pub switched: BTreeSet<(Name, u32)>,
    /// Published backups, by set.
    pub backups: BTreeMap<String, BTreeMap<Name, Content>>,
    /// Sets that were proven.
    pub proven: BTreeSet<(String, Name)>,
    /// How often each effect was carried out to its end, by its number.
    pub completed: BTreeMap<u32, u32>,
    /// Rows that a restore took away though writers were thought to be stopped.
    pub lost: BTreeSet<u64>,
    /// What went against the invariants while it happened.
    pub violations: Vec<String>,
    /// Which components write to which datastore.
    pub writers: BTreeMap<Name, Vec<Name>>,
    /// The version that the upgrade leads to.
    pub to: String,
    /// The datastores that a component migrates when it starts.
    pub at_start: BTreeMap<Name, Vec<Name>>,
    /// A planted bug.
    pub sabotage: Option<Sabotage>,
    next_row: u64,
}

impl World {
    /// A stack at a version, with some rows in each datastore.
    #[must_use]
    pub fn new(
        components: &[Name],
        writers: BTreeMap<Name, Vec<Name>>,
        version: &str,
        schema: u32,
    ) -> Self {
        let component = Component { version: version.to_owned(), running: true, held: false };
        let content = Content { rows: (0..3).collect(), schema, dirty: false };
        Self {
            components: components.iter().map(|n| (n.clone(), component.clone())).collect(),
            stores: writers.keys().map(|name| (name.clone(), content.clone())).collect(),
            filled: BTreeMap::new(),
            switched: BTreeSet::new(),
            backups: BTreeMap::new(),
            proven: BTreeSet::new(),
            completed: BTreeMap::new(),
            lost: BTreeSet::new(),
            violations: Vec::new(),
            writers,
            to: String::new(),
            at_start: BTreeMap::new(),
            sabotage: None,
            next_row: 3,
        }
    }

    /// Everything that runs and is open writes a row.
    pub fn people_work(&mut self) {
        for (store, writers) in &self.writers {
            let open = writers.iter().filter_map(|name| self.components.get(name));
            let writing = open.filter(|its| its.running && !its.held).count();
            if writing > 0
                && let Some(content) = self.stores.get_mut(store)
            {
                content.rows.insert(self.next_row);
                self.next_row += 1;
            }
        }
    }

    /// Carries an effect out, perhaps with a fault.
    pub fn perform(&mut self, effect: &Effect, run: &str, fault: Option<Fault>) -> Outcome {
        let failed = |text: &str| {
            Outcome::Failed(Failure { message: text.to_owned(), ..Failure::default() })
        };
        if fault == Some(Fault::Before) {
            return failed("it failed before anything happened");
        }
        if effect.step.target != Target::Live {
            return Outcome::Done(self.on_copy(&effect.step.act));
        }
        self.watch(effect, run);
        let half_way = fault == Some(Fault::HalfWay);
        let answer = self.change(effect, run, half_way);
        if half_way {
            return failed("it failed half-way");
        }
        *self.completed.entry(effect.number).or_default() += 1;
        if fault == Some(Fault::After) {
            return failed("it happened, and then it failed");
        }
        match answer {
            Ok(answer) => Outcome::Done(answer),
            Err(text) => failed(&text),
        }
    }

    /// Whether an effect has happened completely, as its read-only twin would say.
    #[must_use]
    pub fn has_happened(&self, effect: &Effect, run: &str) -> bool {
        match &effect.step.act {
            Act::Stop(name) => self.components.get(name).is_some_and(|its| !its.running),
            Act::Apply(name, _) => {
                self.components.get(name).is_some_and(|its| its.version == self.to && its.running)
            }
            Act::Revert(name, revision, presence) => {
                let running = *presence == Presence::Running;
                let there = |its: &Component| its.version == *revision && its.running == running;
                self.components.get(name).is_some_and(there)
            }
            Act::BackUp(purpose, _) => self.backups.contains_key(&set_id(run, *purpose)),
            Act::Migrate(migrate) => self.stores.get(&migrate.datastore).is_some_and(|its| {
                !its.dirty && Some(its.schema.to_string()) == migrate.request.expected
            }),
            Act::Switch(name) => self.switched.contains(&(name.clone(), effect.key)),
            _ => false,
        }
    }

    /// What anybody can see.
    #[must_use]
    pub fn survey(&self) -> Survey {
        let running = |its: &Component| Running {
            version: Some(its.version.clone()),
            revision: Some(its.version.clone()),
            artifacts: Vec::new(),
            instances_wanted: 1,
            instances: vec![Instance {
                name: "main".to_owned(),
                version: Some(its.version.clone()),
                running: its.running,
                ready: its.running,
                reason: String::new(),
            }],
            traffic: if its.held { Traffic::Held } else { Traffic::Open },
            configuration_digest: None,
            busy: None,
        };
        let schemas = self.stores.iter();
        let components = self.components.iter();
        Survey {
            schemas: schemas.map(|(name, its)| (name.clone(), Ok(Some(schema(its))))).collect(),
            running: components.map(|(name, its)| (name.clone(), Ok(running(its)))).collect(),
        }
    }

    /// Notes what must never happen, whoever asks for it.
    fn watch(&mut self, effect: &Effect, run: &str) {
        let act = &effect.step.act;
        if act.needs_proof() {
            let set = set_id(run, Purpose::BeforeUpgrade);
            for store in self.stores.keys() {
                if !self.proven.contains(&(set.clone(), store.clone())) {
                    self.violations.push(format!("I1: {act} without a proven backup of {store}"));
                }
            }
        }
        if let Act::Migrate(migrate) = act
            && self.stores.get(&migrate.datastore).is_some_and(|its| its.dirty)
        {
            self.violations.push(format!("I3: {act} was repeated on a half-applied schema"));
        }
        if self.completed.contains_key(&effect.number) && matches!(act, Act::Migrate(_)) {
            self.violations.push(format!("I3: {act} was carried out twice"));
        }
    }

    fn change(&mut self, effect: &Effect, run: &str, half_way: bool) -> Result<Answer, String> {
        match &effect.step.act {
            Act::HoldTraffic(name) if self.sabotage != Some(Sabotage::HoldLeavesWriting) => {
                self.with(name, |its| its.held = true);
            }
            Act::ReleaseTraffic(name) => self.with(name, |its| its.held = false),
            Act::Stop(name) if !half_way => {
                let leaves = self.sabotage == Some(Sabotage::HoldLeavesWriting);
                self.with(name, |its| its.running = leaves);
            }
            Act::Start(name, _) => {
                self.starts(name)?;
                self.with(name, |its| its.running = !half_way);
            }
            Act::Apply(name, _) => {
                let to = self.to.clone();
                for datastore in self.at_start.get(name).cloned().unwrap_or_default() {
                    self.migrate(&datastore, half_way);
                }
                self.with(name, |its| its.version = to);
                self.with(name, |its| its.running = !half_way);
            }
            Act::Revert(name, revision, presence) => {
                if self.sabotage != Some(Sabotage::RevertIsNotVerified) {
                    self.with(name, |its| its.version.clone_from(revision));
                }
                let running = *presence == Presence::Running && !half_way;
                self.with(name, |its| its.running = running);
            }
            Act::Migrate(migrate) => self.migrate(&migrate.datastore, half_way),
            Act::BackUp(purpose, names) if !half_way => {
                return Ok(self.back_up(run, *purpose, names));
            }
            Act::Prove(name, level) if !half_way => return Ok(self.prove(run, name, *level)),
            Act::Fill(name) => self.fill(effect, run, name, half_way),
            Act::Switch(name) if !half_way => self.switch(effect, name),
            Act::CheckSchema(name, expected) => {
                let found = self.stores.get(name).map(schema);
                let same = found.as_ref().is_some_and(|s| s.version == *expected && !s.dirty);
                return if same {
                    Ok(Answer::Schema(found))
                } else {
                    Err("wrong schema".to_owned())
                };
            }
            Act::Verify(name, version) if self.sabotage != Some(Sabotage::RevertIsNotVerified) => {
                let its = self.components.get(name);
                let healthy = its.is_some_and(|its| its.running && version.as_ref() == Some(&its.version));
                return if healthy { Ok(Answer::Nothing) } else { Err("not healthy".to_owned()) };
            }
            Act::Survey => return Ok(Answer::Surveyed(self.survey())),
            _ => {}
        }
        Ok(Answer::Nothing)
    }

    fn on_copy(&self, act: &Act) -> Answer {
        match act {
            Act::Survey => Answer::Surveyed(self.survey()),
            _ => Answer::Nothing,
        }
    }

    fn with(&mut self, name: &Name, change: impl FnOnce(&mut Component)) {
        if let Some(component) = self.components.get_mut(name) {
            change(component);
        }
    }

    /// Old binaries refuse a newer schema, as most do.
    fn starts(&self, name: &Name) -> Result<(), String> {
        let major = |version: &str| version.split('.').next().and_then(|n| n.parse().ok());
        let version = self.components.get(name).and_then(|its| major(&its.version)).unwrap_or(0);
        let stores = self.stores.values();
        let refuses = stores.filter(|its| its.schema > version || its.dirty).count() > 0;
        if refuses { Err("the schema is newer than the program".to_owned()) } else { Ok(()) }
    }

    fn migrate(&mut self, name: &Name, half_way: bool) {
        if let Some(content) = self.stores.get_mut(name) {
            content.dirty = half_way;
            content.schema = 3;
        }
    }

    fn back_up(&mut self, run: &str, purpose: Purpose, names: &[Name]) -> Answer {
        let set = set_id(run, purpose);
        let copies = names.iter().filter_map(|n| Some((n.clone(), self.stores.get(n)?.clone())));
        let copies: BTreeMap<Name, Content> = copies.collect();
        self.backups.insert(set.clone(), copies);
        Answer::BackedUp { set, bytes: BTreeMap::new(), left_out: BTreeMap::new() }
    }

    fn prove(&mut self, run: &str, name: &Name, level: ProofLevel) -> Answer {
        self.proven.insert((set_id(run, Purpose::BeforeUpgrade), name.clone()));
        Answer::Proven { level, figures: Vec::new(), answers: Vec::new() }
    }

    fn fill(&mut self, effect: &Effect, run: &str, name: &Name, half_way: bool) {
        let set = self.backups.get(&set_id(run, Purpose::BeforeUpgrade));
        let Some(mut content) = set.and_then(|set| set.get(name)).cloned() else { return };
        if half_way || self.sabotage == Some(Sabotage::RestoreOther) {
            content.rows.pop_last();
        }
        self.filled.insert((name.clone(), effect.key), content);
    }

    fn switch(&mut self, effect: &Effect, name: &Name) {
        let key = (name.clone(), effect.key);
        if let Some(content) = self.filled.remove(&key)
            && let Some(live) = self.stores.get_mut(name)
        {
            self.lost.extend(live.rows.difference(&content.rows));
            *live = content;
            self.switched.insert(key);
        }
    }
}

/// The id of a run's backup set.
#[must_use]
pub fn set_id(run: &str, purpose: Purpose) -> String {
    match purpose {
        Purpose::BeforeUpgrade => format!("{run}-before"),
        Purpose::FailedState => format!("{run}-failed"),
        Purpose::BeforeRestore => format!("{run}-replaced"),
    }
}

/// A content's schema as a plugin would report it.
#[must_use]
pub fn schema(content: &Content) -> Schema {
    Schema {
        version: Some(content.schema.to_string()),
        fingerprint: format!("{}{}", content.schema, if content.dirty { "?" } else { "" }),
        dirty: content.dirty,
        applied: Vec::new(),
    }
}
