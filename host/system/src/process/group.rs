//! A process group that is ended with whoever holds it, unless its leader ended by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};

/// The leader runs: whoever lets go ends the group.
const RUNS: u8 = 0;
/// The group is being ended, whether or not its leader is gone.
const STOPS: u8 = 1;
/// The leader has ended by itself: what it left behind is left alone.
const RELEASED: u8 = 2;

/// The group of one program.
///
/// A signal to a group whose leader is gone reaches what is left of it: the kernel gives the
/// number to no other process while a member lives.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    state: AtomicU8,
}

impl Group {
    pub(super) fn led_by(leader: Pid) -> Self {
        Self { leader, state: AtomicU8::new(RUNS) }
    }

    pub(super) fn leader_id(&self) -> u32 {
        self.leader.as_raw_pid().unsigned_abs()
    }

    /// Sends a signal to all members. That there are none any more is no failure.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.leader, signal) {
            tracing::debug!(group = self.leader.as_raw_pid(), %error, "signal not delivered");
        }
    }

    /// Whether it has members, counting those that have ended but were not waited for.
    pub(super) fn has_members(&self) -> bool {
        test_kill_process_group(self.leader).is_ok()
    }

    /// From now on the group is ended even if its leader is gone.
    pub(super) fn begin_stopping(&self) {
        self.state.store(STOPS, Ordering::SeqCst);
    }

    /// From now on the group outlives its holders.
    pub(super) fn release(&self) {
        self.state.store(RELEASED, Ordering::SeqCst);
    }

    /// Ends the group at once, unless its leader has ended by itself, noticed or not.
    pub(super) fn end(&self) {
        let state = self.state.swap(RELEASED, Ordering::SeqCst);
        if state == STOPS || (state == RUNS && self.leader_runs()) {
            self.signal(Signal::KILL);
        }
    }

    fn leader_runs(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.leader), look), Ok(None))
    }
}

/// A hold on a group: dropping it ends the group. The watching task has one, so that a runtime
/// that is torn down leaves nothing behind.
#[derive(Debug)]
pub(super) struct Hold(pub(super) Arc<Group>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.end();
    }
}
