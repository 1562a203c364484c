//! The locks of a run against platforms that keep them in memory.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::collections::BTreeMap;

use super::*;

/// A platform that keeps locks in memory, by place.
#[derive(Default)]
struct World {
    locks: Mutex<BTreeMap<String, PlatformLock>>,
    is_away: Mutex<bool>,
    now: Mutex<Timestamp>,
    steady: Mutex<Duration>,
    renewals: Mutex<u32>,
}

/// A component's door to it; `None`: its platform has no locks.
struct Fake {
    world: Arc<World>,
    place: Option<&'static str>,
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        *self.steady.lock().unwrap()
    }

    fn sleep(&self, _duration: Duration) -> system::clock::Sleep {
        Box::pin(std::future::ready(()))
    }
}

impl World {
    fn lock(&self, place: &str) -> PlatformLock {
        let free = PlatformLock {
            place: place.to_owned(),
            holder: None,
            owner: String::new(),
            since_ms: None,
            epoch: 0,
            seconds_left: 0,
            before: None,
        };
        self.locks.lock().unwrap().get(place).cloned().unwrap_or(free)
    }

    /// Somebody takes the lock, whoever had it.
    fn take(&self, place: &str, holder: &str) {
        let lock = self.lock(place);
        let taken = PlatformLock {
            holder: Some(holder.to_owned()),
            owner: format!("`vaultup run --to 2.0.0` of {holder}"),
            epoch: lock.epoch + 1,
            seconds_left: 60,
            before: lock.holder.or(lock.before),
            ..self.lock(place)
        };
        self.locks.lock().unwrap().insert(place.to_owned(), taken);
    }

    fn pass(&self, seconds: i64) {
        *self.now.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
    }

    fn there(&self) -> Result<(), Error> {
        match *self.is_away.lock().unwrap() {
            true => Err(Error::NoSuchRun("the platform is away".to_owned())),
            false => Ok(()),
        }
    }
}

impl Door for Fake {
    fn acquire(&self, claim: LockClaim) -> BoxFuture<'_, Result<Option<PlatformLock>, Error>> {
        Box::pin(async move {
            self.world.there()?;
            let Some(place) = self.place else { return Ok(None) };
            let lock = self.world.lock(place);
            if lock.holder.as_ref().is_none_or(|holder| *holder == claim.holder) {
                self.world.take(place, &claim.holder);
            }
            Ok(Some(self.world.lock(place)))
        })
    }

    fn renew(&self, _claim: LockClaim, _epoch: u64) -> BoxFuture<'_, Result<PlatformLock, Error>> {
        Box::pin(async move {
            self.world.there()?;
            *self.world.renewals.lock().unwrap() += 1;
            Ok(self.world.lock(self.place.unwrap_or_default()))
        })
    }

    fn release(&self, holder: String, epoch: u64) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.world.there()?;
            let mut locks = self.world.locks.lock().unwrap();
            let lock = locks.get_mut(self.place.unwrap_or_default());
            if let Some(lock) = lock.filter(|its| its.epoch == epoch)
                && lock.holder.as_ref() == Some(&holder)
            {
                lock.before = lock.holder.take();
            }
            Ok(())
        })
    }
}

fn door(world: &Arc<World>, name: &str, place: Option<&'static str>) -> (Name, Arc<dyn Door>) {
    (Name::parse(name).unwrap(), Arc::new(Fake { world: world.clone(), place }))
}

fn locks(world: &Arc<World>) -> PlatformLocks {
    let claim = LockClaim {
        holder: "shop.run1".to_owned(),
        owner: "ann".to_owned(),
        seconds: u32::try_from(LIFETIME.as_secs()).unwrap(),
    };
    PlatformLocks::none(claim, world.clone())
}

async fn held(world: &Arc<World>, place: &'static str) -> PlatformLocks {
    let mut locks = locks(world);
    locks.take_all(vec![door(world, "api", Some(place))], &[]).await.unwrap();
    locks
}

#[tokio::test]
async fn a_run_has_a_lock_for_each_place_and_gives_all_of_them_back() {
    let world = Arc::new(World::default());
    let mut locks = locks(&world);
    let doors = vec![
        door(&world, "api", Some("a")),
        door(&world, "sidecar", Some("a")),
        door(&world, "plain", None),
        door(&world, "bus", Some("b")),
    ];
    locks.take_all(doors, &[]).await.unwrap();
    // Two components at one place do not fence each other.
    world.pass(10);
    locks.confirm().await.unwrap();
    locks.release().await;
    assert_eq!((world.lock("a").holder, world.lock("b").holder), (None, None));
    assert_eq!((world.lock("a").epoch, world.lock("b").epoch), (2, 1));
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_an_error_that_names_the_holder() {
    let world = Arc::new(World::default());
    world.take("b", "other.run2");
    let mut locks = locks(&world);
    let doors = vec![door(&world, "api", Some("a")), door(&world, "bus", Some("b"))];
    let error = locks.take_all(doors, &[]).await.unwrap_err();
    assert!(error.to_string().contains("another vaultup is at work on `bus`"), "{error}");
    assert!(error.to_string().contains("of other.run2"), "{error}");
    locks.release().await;
    assert_eq!(world.lock("a").holder, None, "what was acquired is given back");
}

#[tokio::test]
async fn whoever_was_at_work_in_between_is_told_unless_it_was_this_stack_itself() {
    let world = Arc::new(World::default());
    held(&world, "a").await.release().await;
    let again = |known: Vec<String>| {
        let (world, mut locks) = (world.clone(), locks(&world));
        async move { locks.take_all(vec![door(&world, "api", Some("a"))], &known).await.unwrap() }
    };
    assert_eq!(again(Vec::new()).await, None, "nobody was");
    world.take("a", "shop.run0");
    world.locks.lock().unwrap().get_mut("a").unwrap().holder = None;
    world.locks.lock().unwrap().get_mut("a").unwrap().before = Some("shop.run0".to_owned());
    let told = again(Vec::new()).await.unwrap();
    assert_eq!((told.0.as_str(), told.1.as_str()), ("api", "shop.run0"));
    world.locks.lock().unwrap().get_mut("a").unwrap().holder = None;
    world.locks.lock().unwrap().get_mut("a").unwrap().before = Some("shop.run0".to_owned());
    assert_eq!(again(vec!["shop.run0".to_owned()]).await, None, "a run of this journal's");
}

#[tokio::test]
async fn a_lock_that_was_taken_over_is_lost_for_good_p8() {
    let world = Arc::new(World::default());
    let locks = held(&world, "a").await;
    world.pass(10);
    world.take("a", "other.run2");
    let error = locks.confirm().await.unwrap_err();
    assert!(matches!(error, Error::Overtaken { .. }), "{error}");
    assert!(error.to_string().contains("of other.run2"), "{error}");
    // Even if it were free again.
    world.locks.lock().unwrap().clear();
    assert!(matches!(locks.confirm().await, Err(Error::Overtaken { .. })));
    locks.fence().unwrap_err();
}

#[tokio::test]
async fn one_s_own_name_with_another_epoch_is_another_s_lock_p8() {
    let world = Arc::new(World::default());
    let locks = held(&world, "a").await;
    // The same run was taken up by another process.
    world.take("a", "shop.run1");
    world.pass(10);
    assert!(matches!(locks.confirm().await, Err(Error::Overtaken { .. })));
    locks.release().await;
    assert_eq!(world.lock("a").holder.as_deref(), Some("shop.run1"), "it is not given away");
}

#[tokio::test]
async fn what_was_confirmed_a_moment_ago_is_not_asked_for_again() {
    let world = Arc::new(World::default());
    let locks = held(&world, "a").await;
    locks.confirm().await.unwrap();
    assert_eq!(*world.renewals.lock().unwrap(), 0);
    world.pass(3);
    locks.confirm().await.unwrap();
    assert_eq!(*world.renewals.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_lock_that_could_not_be_renewed_in_time_stops_changes_until_it_is_p8() {
    let world = Arc::new(World::default());
    let locks = held(&world, "a").await;
    *world.is_away.lock().unwrap() = true;
    world.pass(54);
    locks.renew().await;
    locks.fence().unwrap();
    world.pass(1);
    let refused = locks.fence().unwrap_err();
    assert!(refused.contains("could not be renewed for 55 s"), "{refused}");
    assert!(!matches!(locks.confirm().await.unwrap_err(), Error::Overtaken { .. }));
    // It ran out and nobody took it.
    *world.is_away.lock().unwrap() = false;
    locks.confirm().await.unwrap();
    locks.fence().unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_lock_younger_than_it_is() {
    let world = Arc::new(World::default());
    let locks = held(&world, "a").await;
    world.pass(-3600);
    locks.fence().unwrap();
    *world.steady.lock().unwrap() = LIFETIME;
    locks.fence().unwrap_err();
}
