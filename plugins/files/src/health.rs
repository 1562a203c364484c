//! The interface `health-check`: whether the datastore is there, and the room around it.

use vaultup_sdk::health_check::{Measurement, Verdict};
use vaultup_sdk::{Error, HealthCheck, Operation};

use crate::place::Place;
use crate::{FilesPlugin, Settings};

impl HealthCheck for FilesPlugin {
    fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
        let place = Place::open(operation)?;
        let exists = place.shape()?.is_some();
        let bytes = place.bytes()?;
        let room = place.root.room()?;
        // A restore fills a copy beside the datastore.
        let is_enough = room.bytes_free >= bytes;
        let verdict = |good| if good { Verdict::Healthy } else { Verdict::Failing };
        let room_verdict = if is_enough { Verdict::Healthy } else { Verdict::Degraded };
        let detail = format!("a restore needs {bytes} bytes beside {}", place.path()?);
        Ok(vec![
            Measurement::truth("exists", exists, verdict(exists)).with_detail(place.path()?),
            Measurement::number("bytes", bytes as f64, "bytes", verdict(exists)),
            Measurement::number("bytes-free", room.bytes_free as f64, "bytes", room_verdict)
                .with_detail(detail),
        ])
    }
}
