//! The instants around an effect at which a crash matters, made visible so that tests can kill the
//! process exactly there.

/// An instant around an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// The intent is in the journal; the effect has not begun.
    Before,
    /// The effect has ended; the journal does not know.
    Unrecorded,
    /// The outcome is in the journal.
    Recorded,
}

impl Instant {
    /// Its name, as tests give it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Unrecorded => "unrecorded",
            Self::Recorded => "recorded",
        }
    }
}

/// Is told of each instant.
pub trait Barrier: Send + Sync {
    /// The run has come to this instant of this effect. May never return.
    fn reached(&self, instant: Instant, effect: u32);
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Barrier for Open {
    fn reached(&self, _instant: Instant, _effect: u32) {}
}
