//! Plays the part of the runner: journals, performs, dies, replays, observes.

use std::collections::BTreeMap;

use engine::act::{Answer, Failure, Outcome, Repeat};
use engine::machine::{Effect, Ending, Event, Machine, Request};
use engine::plan::Plan;
use jiff::{SignedDuration, Timestamp};

use crate::world::{Fault, Sabotage, World};

/// Where the runner dies, relative to an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// The intent is in the journal, and nothing has happened.
    Before,
    /// Half of it has happened.
    HalfWay,
    /// It has happened, and the journal does not say so.
    Unrecorded,
    /// It has happened, and the journal says so.
    Recorded,
}

impl CrashPoint {
    /// Every point.
    pub const ALL: [Self; 4] = [Self::Before, Self::HalfWay, Self::Unrecorded, Self::Recorded];
}

/// A crash at an effect: the n-th that is carried out in the whole life of a run, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Which effect.
    pub at: u32,
    /// Where.
    pub point: CrashPoint,
}

/// More effects than any run here has; a run that needs more does not end.
const EFFECTS_MAX: u32 = 200;

/// A runner in virtual time.
#[derive(Debug)]
pub struct Driver {
    /// What is acted on.
    pub world: World,
    /// Crashes that are still to come.
    pub crashes: Vec<Crash>,
    /// Faults by effect, counted as for crashes.
    pub faults: BTreeMap<u32, Fault>,
    /// How many effects were carried out.
    pub performed: u32,
    /// How often it died.
    pub died: u32,
    plan: Plan,
    journal: Vec<(Event, Timestamp)>,
    now: Timestamp,
}

impl Driver {
    /// A runner before its first step.
    #[must_use]
    pub fn new(world: World, plan: Plan) -> Self {
        Self {
            world,
            crashes: Vec::new(),
            faults: BTreeMap::new(),
            performed: 0,
            died: 0,
            plan,
            journal: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// Carries the run out to its end, through every crash.
    ///
    /// # Errors
    /// A sentence when the engine refuses an event or the run does not end.
    pub fn run(&mut self) -> Result<Machine, String> {
        self.goes_on(None)
    }

    /// Carries out so many effects, then asks for something.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn run_until(&mut self, effects: u32, request: Request) -> Result<Machine, String> {
        let mut machine = self.replay()?;
        for _ in 0..effects {
            let Some(effect) = machine.in_flight().cloned() else { break };
            self.step(&mut machine, &effect)?;
        }
        self.tell(&mut machine, Event::Asked(request))?;
        Ok(machine)
    }

    /// Asks for something after the run ended, and carries that out.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn ask(&mut self, request: Request) -> Result<Machine, String> {
        self.goes_on(Some(request))
    }

    fn goes_on(&mut self, request: Option<Request>) -> Result<Machine, String> {
        let mut machine = self.replay()?;
        if let Some(request) = request {
            self.tell(&mut machine, Event::Asked(request))?;
        }
        while let Some(effect) = machine.in_flight().cloned() {
            if self.performed > EFFECTS_MAX {
                return Err("the run does not end".to_owned());
            }
            if !self.step(&mut machine, &effect)? {
                self.died += 1;
                machine = self.replay()?;
            }
        }
        Ok(machine)
    }

    /// One effect; false when the runner died.
    fn step(&mut self, machine: &mut Machine, effect: &Effect) -> Result<bool, String> {
        let recovering = machine.in_flight_is_begun();
        if !recovering {
            self.tell(machine, Event::Begun { effect: effect.number })?;
        }
        self.performed += 1;
        let crash = self.crashes.iter().position(|crash| crash.at == self.performed);
        let crash = crash.map(|index| self.crashes.remove(index).point);
        if crash == Some(CrashPoint::Before) {
            return Ok(false);
        }
        let fault = self.faults.get(&self.performed).copied();
        let fault = if crash == Some(CrashPoint::HalfWay) { Some(Fault::HalfWay) } else { fault };
        let outcome = if recovering {
            self.recover(effect, fault)
        } else {
            self.world.perform(effect, "run", fault)
        };
        self.world.people_work();
        if matches!(crash, Some(CrashPoint::HalfWay | CrashPoint::Unrecorded)) {
            return Ok(false);
        }
        self.tell(machine, Event::Finished { effect: effect.number, outcome })?;
        if crash == Some(CrashPoint::Recorded) {
            if self.world.sabotage == Some(Sabotage::LoseRecord) {
                self.journal.pop();
                self.journal.pop();
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// An outcome that nobody recorded is observed before anything else happens.
    fn recover(&mut self, effect: &Effect, fault: Option<Fault>) -> Outcome {
        let act = &effect.step.act;
        let blindly = self.world.sabotage == Some(Sabotage::RepeatBlindly);
        match act.repeat() {
            Repeat::Freely => self.world.perform(effect, "run", fault),
            _ if blindly => self.world.perform(effect, "run", fault),
            _ if self.world.has_happened(effect, "run") => Outcome::Done(self.answer(effect)),
            Repeat::AfterObserving => self.world.perform(effect, "run", fault),
            Repeat::OnlyIfNotStarted => {
                let name = act.subject();
                let content = name.and_then(|name| self.world.stores.get(name));
                if content.is_some_and(|its| !its.dirty) {
                    self.world.perform(effect, "run", fault)
                } else {
                    let message = "it was interrupted half-way".to_owned();
                    Outcome::Failed(Failure { message, ..Failure::default() })
                }
            }
        }
    }

    fn answer(&self, effect: &Effect) -> Answer {
        match &effect.step.act {
            engine::Act::BackUp(purpose, _) => Answer::BackedUp {
                set: crate::world::set_id("run", *purpose),
                bytes: BTreeMap::new(),
                left_out: BTreeMap::new(),
            },
            _ => Answer::Nothing,
        }
    }

    fn tell(&mut self, machine: &mut Machine, event: Event) -> Result<(), String> {
        self.now = self.now.checked_add(SignedDuration::from_secs(1)).map_err(|e| e.to_string())?;
        machine.handle(event.clone(), self.now).map_err(|refused| refused.to_string())?;
        self.journal.push((event, self.now));
        Ok(())
    }

    fn replay(&self) -> Result<Machine, String> {
        let (mut machine, _) = Machine::begin(self.plan.clone());
        for (event, at) in &self.journal {
            machine.handle(event.clone(), *at).map_err(|refused| refused.to_string())?;
        }
        Ok(machine)
    }
}

/// Whether an ending needs a person.
#[must_use]
pub fn is_held(machine: &Machine) -> bool {
    matches!(machine.ending(), Some(Ending::Held(_)))
}
