//! The records of `deploy`.

use model::contract::{
    DeployChange, Difference, Instance, LockClaim, PlatformLock, Presence, Preview, Running,
    Severity, Traffic, Wave, WayBack,
};

use super::{FromAnswer, Reader, Unusable};
use crate::bindings::deploy::exports::vaultup::plugin::deploy as wit;
use crate::limits::PLATFORM_BYTES_MAX;

impl FromAnswer<wit::Running> for Running {
    fn from_answer(answer: wit::Running, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            version: answer.version.map(|text| reader.short(&text)),
            revision: answer.revision.map(|text| reader.short(&text)),
            artifacts: reader.list(answer.artifacts)?,
            instances_wanted: answer.instances_wanted,
            instances: reader.list(answer.instances)?,
            traffic: match answer.traffic {
                wit::Traffic::Open => Traffic::Open,
                wit::Traffic::Held => Traffic::Held,
                wit::Traffic::NotApplicable => Traffic::NotApplicable,
                wit::Traffic::Unknown => Traffic::Unknown,
            },
            configuration_digest: answer.configuration_digest.map(|text| reader.short(&text)),
            busy: answer.busy.map(|text| reader.short(&text)),
        })
    }
}

impl FromAnswer<wit::Instance> for Instance {
    fn from_answer(answer: wit::Instance, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            name: reader.short(&answer.name),
            version: answer.version.map(|text| reader.short(&text)),
            running: answer.running,
            ready: answer.ready,
            reason: reader.short(&answer.reason),
        })
    }
}

impl FromAnswer<wit::Inventory> for WayBack {
    fn from_answer(answer: wit::Inventory, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            available: answer.available,
            revision: answer.revision.map(|text| reader.short(&text)),
            reason: reader.short(&answer.reason),
        })
    }
}

impl FromAnswer<wit::Forecast> for Preview {
    fn from_answer(answer: wit::Forecast, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            differences: reader.list(answer.differences)?,
            commands: reader.list(answer.commands)?,
            seconds: answer.seconds,
        })
    }
}

impl FromAnswer<wit::Difference> for Difference {
    fn from_answer(answer: wit::Difference, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            object: reader.short(&answer.object),
            act: reader.short(&answer.act),
            detail: reader.text(&answer.detail, PLATFORM_BYTES_MAX),
            severity: match answer.severity {
                wit::Severity::Information => Severity::Information,
                wit::Severity::Warning => Severity::Warning,
                wit::Severity::Blocking => Severity::Blocking,
            },
        })
    }
}

impl FromAnswer<wit::Lock> for PlatformLock {
    fn from_answer(answer: wit::Lock, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            place: reader.short(&answer.place),
            holder: answer.holder.map(|text| reader.short(&text)),
            owner: reader.short(&answer.owner),
            since_ms: answer.since_ms,
            epoch: answer.epoch,
            seconds_left: answer.seconds_left,
            before: answer.before.map(|text| reader.short(&text)),
        })
    }
}

pub(crate) fn claim(claim: &LockClaim) -> wit::Claim {
    wit::Claim { holder: claim.holder.clone(), owner: claim.owner.clone(), seconds: claim.seconds }
}

/// Which change the read-only twin is asked about.
pub(crate) fn change(change: &DeployChange) -> wit::Change {
    match change {
        DeployChange::Prefetch => wit::Change::Prefetch,
        DeployChange::Apply(wave) => wit::Change::Apply(self::wave(*wave)),
        DeployChange::Stop => wit::Change::Stop,
        // The contract's twin is not told how many.
        DeployChange::Start(_) => wit::Change::Start,
        DeployChange::HoldTraffic => wit::Change::HoldTraffic,
        DeployChange::ReleaseTraffic => wit::Change::ReleaseTraffic,
        DeployChange::Revert(revision, presence) => {
            wit::Change::Revert((revision.clone(), self::presence(*presence)))
        }
        DeployChange::Discard => wit::Change::Discard,
    }
}

pub(crate) fn wave(wave: Wave) -> wit::Wave {
    wit::Wave { number: wave.number, of: wave.of, instances: wave.instances }
}

pub(crate) fn presence(presence: Presence) -> wit::Presence {
    match presence {
        Presence::Running => wit::Presence::Running,
        Presence::Stopped => wit::Presence::Stopped,
    }
}
