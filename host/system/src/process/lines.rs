//! Bytes into lines, and the end of a stream: both in bounded memory.

use std::collections::VecDeque;

/// Cuts a stream into lines. A line longer than the limit loses its end, never its place.
#[derive(Debug)]
pub(super) struct Splitter {
    line: Vec<u8>,
    line_bytes_max: usize,
    cut: bool,
}

impl Splitter {
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self { line: Vec::new(), line_bytes_max, cut: false }
    }

    /// Takes bytes up to the end of the next line, and gives that line if it is complete. To be
    /// called until `bytes` is empty.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (part, rest) = match end {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => (*bytes, &bytes[bytes.len()..]),
        };
        let room = self.line_bytes_max - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        self.cut |= part.len() > room;
        *bytes = rest;
        end.map(|_| self.text())
    }

    /// What stands after the last line end, if anything.
    pub(super) fn rest(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.text())
    }

    fn text(&mut self) -> String {
        let line: &[u8] = match (&self.line[..], self.cut) {
            ([line @ .., b'\r'], false) => line,
            (line, false) => line,
            (line, true) => without_broken_end(line),
        };
        let text = String::from_utf8_lossy(line).into_owned();
        self.line.clear();
        self.cut = false;
        text
    }
}

/// The end of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    cut: bool,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: VecDeque::new(), bytes_max, cut: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(self.bytes_max)..];
        let surplus = (self.bytes.len() + kept.len()).saturating_sub(self.bytes_max);
        self.cut |= surplus > 0 || kept.len() < bytes.len();
        self.bytes.drain(..surplus);
        self.bytes.extend(kept);
    }

    /// The text, from the beginning of a line if its own beginning was lost.
    pub(super) fn text(&mut self) -> String {
        let bytes: &[u8] = self.bytes.make_contiguous();
        let line_end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let start = match line_end {
            Some(start) if self.cut && start < bytes.len() => start,
            _ => 0,
        };
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }
}

/// A cut may fall into a character; the broken piece is no content of the line.
fn without_broken_end(line: &[u8]) -> &[u8] {
    match std::str::from_utf8(line) {
        // No `error_len`: the text ends in the middle of a character.
        Err(error) if error.error_len().is_none() => &line[..error.valid_up_to()],
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{Splitter, Tail};

    fn lines(chunks: &[&[u8]], line_bytes_max: usize) -> Vec<String> {
        let mut splitter = Splitter::new(line_bytes_max);
        let mut found = Vec::new();
        for chunk in chunks {
            let mut bytes = *chunk;
            while !bytes.is_empty() {
                found.extend(splitter.take(&mut bytes));
            }
        }
        found.extend(splitter.rest());
        found
    }

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut_into_chunks() {
        let text = "eins\n\nzwei\r\nüber\nende".as_bytes();
        let whole = lines(&[text], 100);
        assert_eq!(whole, ["eins", "", "zwei", "über", "ende"]);
        for middle in 0..text.len() {
            let (first, second) = text.split_at(middle);
            assert_eq!(lines(&[first, second], 100), whole, "cut at {middle}");
        }
    }

    #[test]
    fn a_line_at_the_limit_is_whole_and_one_byte_more_is_cut() {
        assert_eq!(lines(&[b"12345\nx"], 5), ["12345", "x"]);
        assert_eq!(lines(&[b"123456\nx"], 5), ["12345", "x"]);
        assert_eq!(lines(&[b"123", b"456", b"789", b"\nx"], 5), ["12345", "x"]);
    }

    #[test]
    fn a_cut_in_the_middle_of_a_character_drops_the_broken_piece() {
        assert_eq!(lines(&["abü\n".as_bytes()], 3), ["ab"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(lines(&[b"a\xffb\n"], 10), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_tail_is_the_end_from_the_beginning_of_a_line() {
        let mut tail = Tail::new(10);
        tail.push(b"0123456789");
        assert_eq!(tail.text(), "0123456789");
        tail.push(b"a\nbcd\n");
        assert_eq!(tail.text(), "bcd\n");
    }

    #[test]
    fn a_tail_without_line_ends_is_the_last_bytes() {
        let mut tail = Tail::new(4);
        tail.push(b"abcdefgh");
        tail.push(b"ij");
        assert_eq!(tail.text(), "ghij");
    }
}
