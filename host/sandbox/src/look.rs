//! One look at a platform: what reading commands answer is told to all who ask at that moment.
//!
//! A survey asks several functions of several plugins about the same moment, and they ask the tools
//! the same things. One answer for all of them makes a survey one picture, and a tool that takes a
//! tenth of a second to start is started once.
//!
//! Invariants:
//! - Whoever asks was permitted the command as if it ran for nobody else.
//! - Only a command that reads, takes nothing secret and ended by itself is answered for others.
//! - What is kept is bounded by [`LOOK_ANSWERS_MAX`] and [`LOOK_BYTES_MAX`]; commands beyond are
//!   run for whoever asks.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::bindings::host::vaultup::plugin::process::{Exit, Finished};
use crate::limits::{LOOK_ANSWERS_MAX, LOOK_BYTES_MAX};
use crate::state::{Denial, Granting};

/// What is known of one look. Made for it, and dropped with it.
#[derive(Default)]
pub struct Look {
    answers: Mutex<HashMap<Question, Arc<OnceCell<Finished>>>>,
    bytes: AtomicUsize,
}

/// All that the kernel is told of a command that reads: two that are the same have one answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) directory: PathBuf,
    pub(crate) input: Vec<u8>,
}

/// What is told to who asked, and to nobody else.
enum Unkept {
    Denied(Denial),
    Ended(Finished),
}

impl Look {
    /// The answer to a question: somebody else's of this look, or that of `ask`. Who comes while
    /// it is asked waits; if it is not answered for others, the next one asks.
    pub(crate) async fn answer(
        &self,
        question: Question,
        ask: impl Future<Output = Granting<Finished>>,
    ) -> Granting<Finished> {
        let Some(answer) = self.place_of(question) else { return ask.await };
        let asked = answer.get_or_try_init(|| async {
            let finished = ask.await.map_err(Unkept::Denied)?;
            match matches!(finished.exit, Exit::Status(_)) && self.has_room(&finished) {
                true => Ok(finished),
                false => Err(Unkept::Ended(finished)),
            }
        });
        match asked.await {
            Ok(finished) => Ok(finished.clone()),
            Err(Unkept::Ended(finished)) => Ok(finished),
            Err(Unkept::Denied(denial)) => Err(denial),
        }
    }

    fn place_of(&self, question: Question) -> Option<Arc<OnceCell<Finished>>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= LOOK_ANSWERS_MAX && !answers.contains_key(&question) {
            return None;
        }
        Some(Arc::clone(answers.entry(question).or_default()))
    }

    /// Takes the room that an answer needs, if there is so much.
    fn has_room(&self, finished: &Finished) -> bool {
        let bytes = finished.output.len() + finished.errors.len();
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
            kept.checked_add(bytes).filter(|all| *all <= LOOK_BYTES_MAX)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::cell::Cell;

    use super::*;
    use crate::state::denied;

    fn question(word: &str) -> Question {
        Question {
            program: PathBuf::from("/bin/tool"),
            arguments: vec![word.into()],
            environment: BTreeMap::new(),
            directory: PathBuf::from("/"),
            input: Vec::new(),
        }
    }

    fn finished(exit: Exit, output: String) -> Finished {
        Finished { exit, output, errors: String::new(), bytes: 0 }
    }

    /// How often a question was asked by so many who wanted to know, each with these answers.
    async fn asked(look: &Look, word: &str, times: usize, answer: impl Fn() -> Finished) -> usize {
        let count = Cell::new(0);
        for _ in 0..times {
            let ask = async {
                count.set(count.get() + 1);
                Ok(answer())
            };
            assert_eq!(look.answer(question(word), ask).await.unwrap().output, answer().output);
        }
        count.get()
    }

    #[tokio::test]
    async fn the_same_command_is_run_once_and_another_one_for_itself() {
        let look = Look::default();
        let well = || finished(Exit::Status(0), "well".to_owned());
        assert_eq!(asked(&look, "status", 3, well).await, 1);
        assert_eq!(asked(&look, "history", 2, || finished(Exit::Status(1), "no".into())).await, 1);
        assert_eq!(asked(&Look::default(), "status", 1, well).await, 1, "another look");
    }

    #[tokio::test]
    async fn who_comes_meanwhile_waits_for_the_same_answer() {
        let look = Look::default();
        let (sender, told) = tokio::sync::oneshot::channel();
        let slow = async {
            told.await.map_err(|_| denied("nobody told"))?;
            Ok(finished(Exit::Status(0), "slow".to_owned()))
        };
        let never = async { Err(denied("asked twice")) };
        let tell = async {
            sender.send(()).unwrap();
        };
        let (first, second, ()) = tokio::join!(
            look.answer(question("status"), slow),
            look.answer(question("status"), never),
            tell,
        );
        assert_eq!([first.unwrap().output, second.unwrap().output], ["slow", "slow"]);
    }

    #[tokio::test]
    async fn what_was_denied_or_did_not_end_by_itself_is_asked_again() {
        let look = Look::default();
        look.answer(question("a"), async { Err(denied("no")) }).await.unwrap_err();
        let stopped = || finished(Exit::Deadline, "half".to_owned());
        assert_eq!(asked(&look, "a", 2, stopped).await, 2);
        assert_eq!(asked(&look, "a", 2, || finished(Exit::Signal(9), "half".into())).await, 2);
        assert_eq!(asked(&look, "a", 2, || finished(Exit::Status(0), "whole".into())).await, 1);
    }

    #[tokio::test]
    async fn as_many_bytes_are_kept_as_are_allowed_and_not_one_more() {
        let look = Look::default();
        let full = || finished(Exit::Status(0), "x".repeat(LOOK_BYTES_MAX));
        assert_eq!(asked(&look, "full", 2, full).await, 1);
        assert_eq!(asked(&look, "more", 2, || finished(Exit::Status(0), "x".into())).await, 2);
        assert_eq!(asked(&look, "full", 1, full).await, 0);
    }

    #[tokio::test]
    async fn as_many_answers_are_kept_as_are_allowed_and_not_one_more() {
        let look = Look::default();
        let empty = || finished(Exit::Status(0), String::new());
        for number in 0..LOOK_ANSWERS_MAX {
            asked(&look, &number.to_string(), 1, empty).await;
        }
        assert_eq!(asked(&look, "one more", 2, empty).await, 2);
        assert_eq!(asked(&look, "0", 2, empty).await, 0);
    }
}
