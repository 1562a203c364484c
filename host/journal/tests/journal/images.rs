//! Damage to the bytes: cut, flipped, overwritten, mixed. Opening recovers or refuses.

use std::fs;

use vaultup_journal::Journal;

use crate::common::{append, scratch};
use crate::support::{FILES, Honest, Image, Tally, abandoned, acquire, clean, file, unanchored};

const SQLITE: usize = 0;
const LOG: usize = 1;
const ANCHOR: usize = 2;

/// Bytes of the log's header and of the header before each page in it.
const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const PAGE_BYTES: usize = 1024;

/// Bytes of one slot of the anchor, and where the second one begins.
const SLOT_BYTES: usize = 96;
const SLOT_DISTANCE_BYTES: usize = 4096;

/// Changes one file of a journal in many ways and judges each.
fn damage(
    honest: &Honest,
    which: usize,
    images: impl Iterator<Item = (String, Vec<u8>)>,
    write_every: u32,
) -> Tally {
    let directory = scratch();
    honest.image.put(directory.path());
    let path = file(directory.path(), FILES[which]);
    let mut tally = Tally::default();
    for (image, bytes) in images {
        fs::write(&path, bytes).unwrap();
        let accepted = tally.judge(directory.path(), honest, &image);
        if accepted && (tally.recovered - 1) % write_every == 0 {
            tally.write_on(directory.path(), honest, &image);
            honest.image.put(directory.path());
        }
    }
    fs::write(&path, &honest.image.0[which]).unwrap();
    for (name, (after, before)) in
        FILES.iter().zip(Image::of(directory.path()).0.iter().zip(&honest.image.0))
    {
        assert!(after == before, "reading changed {name}: {} bytes now", after.len());
    }
    tally
}

fn flips<'honest>(
    honest: &'honest Honest,
    which: usize,
    bits: impl Iterator<Item = usize> + 'honest,
) -> impl Iterator<Item = (String, Vec<u8>)> + 'honest {
    bits.map(move |bit| {
        let mut bytes = honest.image.0[which].clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (format!("{} with bit {bit} flipped", FILES[which]), bytes)
    })
}

fn cuts(honest: &Honest, which: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
    let whole = &honest.image.0[which];
    (0..whole.len()).map(move |length| {
        (format!("{} cut to {length} bytes", FILES[which]), whole[..length].to_vec())
    })
}

#[test]
fn a_database_with_any_bit_flipped_is_recovered_or_refused() {
    let honest = clean();
    let bits = 0..honest.image.0[SQLITE].len() * 8;
    let tally = damage(&honest, SQLITE, flips(&honest, SQLITE, bits), 64);
    tally.print("database of a released journal, each bit flipped");
    assert!(tally.refused > 10_000 && tally.recovered > 1_000, "{tally:?}");
}

#[test]
fn a_write_ahead_log_with_a_bit_flipped_is_refused() {
    let honest = abandoned();
    let stride = 5;
    let is_header = |byte: usize| {
        byte < LOG_HEADER_BYTES
            || (byte - LOG_HEADER_BYTES) % (FRAME_HEADER_BYTES + PAGE_BYTES) < FRAME_HEADER_BYTES
    };
    let length = honest.image.0[LOG].len();
    let bits = (0..length * 8).filter(|bit| is_header(bit / 8) || bit % stride == 0);
    let tally = damage(&honest, LOG, flips(&honest, LOG, bits), 64);
    tally.print("write-ahead log, each header bit and each 5th page bit flipped");
    assert_eq!(tally.refused, tally.tried, "every frame holds something acknowledged");
}

#[test]
fn an_anchor_with_any_bit_flipped_is_recovered_or_refused() {
    let slots = |_| {
        let slot = |start: usize| start * 8..(start + SLOT_BYTES) * 8;
        let padding = (0..2 * SLOT_DISTANCE_BYTES * 8).step_by(257);
        slot(0).chain(slot(SLOT_DISTANCE_BYTES)).chain(padding)
    };
    for (name, honest) in [("released", clean()), ("abandoned", abandoned())] {
        let tally = damage(&honest, ANCHOR, flips(&honest, ANCHOR, slots(())), 64);
        tally.print(&format!("anchor of the {name} journal, each bit of its slots flipped"));
        assert!(tally.refused >= 768 && tally.recovered >= 768, "one slot each: {tally:?}");
    }
    let honest = unanchored();
    let tally = damage(&honest, ANCHOR, flips(&honest, ANCHOR, slots(())), 64);
    tally.print("anchor one record behind, each bit of its slots flipped");
    assert_eq!(tally.recovered, tally.tried, "the database is ahead of either slot");
}

#[test]
fn files_cut_at_any_byte_are_recovered_or_refused() {
    for (name, honest) in
        [("released", clean()), ("abandoned", abandoned()), ("unanchored", unanchored())]
    {
        for which in [SQLITE, LOG, ANCHOR] {
            if honest.image.0[which].is_empty() {
                continue; // the log of a released journal
            }
            let tally = damage(&honest, which, cuts(&honest, which), 64);
            tally.print(&format!("{} of the {name} journal, cut at each byte", FILES[which]));
            let may_end_early = which == LOG && name == "unanchored";
            assert_eq!(tally.recovered > 0, may_end_early, "{name}: {tally:?}");
        }
    }
}

#[test]
fn a_longer_database_cut_at_a_sector_is_recovered_or_refused() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 60);
    journal.release(held).unwrap();
    let held = acquire(&journal, 2, 10);
    append(&journal, &held, 61, 70);
    let records = journal.records(None).unwrap();
    let image = Image::of(directory.path());
    drop(journal);
    let length = image.0[SQLITE].len();
    assert!(length > 12 * PAGE_BYTES, "{length}");
    let honest = Honest { image, acknowledged: records.len(), records, epoch: 2 };
    let images = (0..length).filter(|length| length % 256 < 2).map(|length| {
        let name = format!("database cut to {length} of its bytes");
        (name, honest.image.0[SQLITE][..length].to_vec())
    });
    let tally = damage(&honest, SQLITE, images, 1);
    tally.print("database of some length with a live log, cut at and after each 256 bytes");
    assert!(tally.refused > 100, "{tally:?}");
}

#[test]
fn overwritten_sectors_are_recovered_or_refused() {
    let sector = 512;
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let mut total = Tally::default();
    for honest in [clean(), abandoned(), unanchored()] {
        for which in [SQLITE, LOG, ANCHOR] {
            let whole = &honest.image.0[which];
            let mut images = Vec::new();
            for start in (0..whole.len()).step_by(sector) {
                let end = (start + sector).min(whole.len());
                for fill in ["zeros", "ones", "noise", "the first sector"] {
                    let mut bytes = whole.clone();
                    for place in start..end {
                        bytes[place] = match fill {
                            "zeros" => 0,
                            "ones" => 0xff,
                            "noise" => noise(),
                            _ => whole[place - start],
                        };
                    }
                    images.push((format!("{} at {start}: {fill}", FILES[which]), bytes));
                }
            }
            let tally = damage(&honest, which, images.into_iter(), 8);
            total.tried += tally.tried;
            total.refused += tally.refused;
            total.recovered += tally.recovered;
            total.written += tally.written;
        }
    }
    total.print("sectors overwritten with zeros, ones, noise, another sector");
    assert!(total.refused > 100 && total.recovered > 100, "{total:?}");
}

#[test]
fn files_of_different_moments_are_recovered_or_refused() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    let mut moments = Vec::new();
    for number in 1..=3 {
        append(&journal, &held, number, number);
        moments.push(Image::of(directory.path()));
    }
    journal.release(held).unwrap();
    let held = acquire(&journal, 2, 10);
    for number in 4..=6 {
        append(&journal, &held, number, number);
        moments.push(Image::of(directory.path()));
    }
    let records = journal.records(None).unwrap();

    let mut tally = Tally::default();
    let place = scratch();
    for (database, log, anchor) in (0..216).map(|mix| (mix / 36, mix / 6 % 6, mix % 6)) {
        let image = Image([
            moments[database].0[SQLITE].clone(),
            moments[log].0[LOG].clone(),
            moments[anchor].0[ANCHOR].clone(),
        ]);
        image.put(place.path());
        let honest = Honest {
            image,
            records: records.clone(),
            acknowledged: anchor + 1,
            epoch: if anchor < 3 { 1 } else { 2 },
        };
        let name = format!("database of {database}, log of {log}, anchor of {anchor}");
        let accepted = tally.judge(place.path(), &honest, &name);
        let together = database == log && log >= anchor;
        assert!(accepted || !together, "{name}: nothing is lost, yet it is refused");
        if accepted {
            tally.write_on(place.path(), &honest, &name);
        }
    }
    tally.print("database, log and anchor of different moments");
    assert!(tally.recovered >= 21, "{tally:?}");
}

#[test]
fn a_half_written_anchor_is_believed_only_where_the_database_is_ahead() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 5);
    let before = Image::of(directory.path());
    append(&journal, &held, 6, 6);
    let after = Image::of(directory.path());
    let records = journal.records(None).unwrap();
    let changed =
        (0..after.0[ANCHOR].len()).find(|at| after.0[ANCHOR][*at] != before.0[ANCHOR][*at]);
    let start = changed.unwrap() / SLOT_DISTANCE_BYTES * SLOT_DISTANCE_BYTES;

    let half = |written: usize| {
        let mut bytes = before.0[ANCHOR].clone();
        let place = start..start + written;
        bytes[place.clone()].copy_from_slice(&after.0[ANCHOR][place]);
        bytes
    };
    let (mut ahead, mut level) = (Tally::default(), Tally::default());
    let place = scratch();
    for written in 0..=SLOT_BYTES {
        let anchor = half(written);
        let name = format!("{written} bytes of the slot");
        let mut image = after.clone();
        image.0[ANCHOR] = anchor.clone();
        image.put(place.path());
        let honest = |image: &Image, acknowledged| Honest {
            image: image.clone(),
            records: records.clone(),
            acknowledged,
            epoch: 1,
        };
        assert!(ahead.judge(place.path(), &honest(&image, 5), &name), "{name}");
        ahead.write_on(place.path(), &honest(&image, 5), &name);

        let untouched = anchor == before.0[ANCHOR];
        let mut image = before.clone();
        image.0[ANCHOR] = anchor;
        image.put(place.path());
        let accepted = level.judge(place.path(), &honest(&image, 5), &name);
        assert_eq!(accepted, untouched, "{name}: the record it may have named is gone");
    }
    ahead.print("anchor half written after a commit");
    level.print("anchor half written, its record gone");
}
