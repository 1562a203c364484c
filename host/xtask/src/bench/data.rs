//! Data to back up, the same each time: files that are text and files that are random, in turns.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Length of one file.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Any number but 0 would do.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes the folder with this many bytes in it, a multiple of two files' length.
pub(super) fn write(folder: &Path, bytes: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut random = Random(SEED);
    for index in 0..bytes / FILE_BYTES {
        let file = folder.join(format!("{index:03}"));
        let writer = File::create_new(&file).map(BufWriter::new);
        let mut writer = writer.with_context(|| format!("cannot write {}", file.display()))?;
        let is_text = index % 2 == 0;
        if is_text {
            write_text(&mut writer, &mut random)?;
        } else {
            write_random(&mut writer, &mut random)?;
        }
        writer.flush()?;
    }
    Ok(())
}

/// Rows as a database would dump them.
fn write_text(writer: &mut impl Write, random: &mut Random) -> Result<()> {
    let mut left = FILE_BYTES as usize;
    let mut number = 0_u64;
    while left > 0 {
        let (item, quantity) = (random.next() % 500, random.next() % 9 + 1);
        let row = format!("{number}\torder\titem-{item:05}\t{quantity}\topen\teurope\n");
        let length = row.len().min(left);
        writer.write_all(&row.as_bytes()[..length])?;
        left -= length;
        number += 1;
    }
    Ok(())
}

fn write_random(writer: &mut impl Write, random: &mut Random) -> Result<()> {
    for _ in 0..FILE_BYTES / 8 {
        writer.write_all(&random.next().to_le_bytes())?;
    }
    Ok(())
}

/// xorshift64*: not for secrets, but nothing compresses it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn half_is_text_and_half_is_random() {
        let folder = std::env::temp_dir().join(format!("vaultup-data-{}", std::process::id()));
        write(&folder, 2 * FILE_BYTES).unwrap();
        let text = fs::read(folder.join("000")).unwrap();
        let random = fs::read(folder.join("001")).unwrap();
        assert_eq!((text.len() as u64, random.len() as u64), (FILE_BYTES, FILE_BYTES));
        assert!(text.is_ascii());
        assert_eq!(distinct_bytes(&random), 256);
        fs::remove_dir_all(&folder).unwrap();
    }

    fn distinct_bytes(bytes: &[u8]) -> usize {
        let mut seen = [false; 256];
        bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        seen.iter().filter(|seen| **seen).count()
    }
}
