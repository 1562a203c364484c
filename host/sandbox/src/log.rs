//! What a plugin writes into its log, on the way to the observer.
//!
//! Threat: a flood that fills disk or screen, terminal escapes, forged lines, secrets. Lines are
//! cut, counted, redacted and made visible; after the limit one line says that the rest is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use system::redact::{Redactor, visible};

use crate::limits::{LOG_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use crate::session::{LogLevel, Observer};
use crate::text::cut_end;

/// The log of one call.
pub(crate) struct Log {
    observer: Arc<dyn Observer>,
    redactor: Arc<Redactor>,
    lines: AtomicUsize,
    bytes: AtomicUsize,
}

impl Log {
    pub(crate) fn new(observer: Arc<dyn Observer>, redactor: Arc<Redactor>) -> Self {
        Self { observer, redactor, lines: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Writes a line; line ends within it become visible.
    pub(crate) fn write(&self, level: LogLevel, text: &str) {
        let lines = self.lines.fetch_add(1, Ordering::Relaxed) + 1;
        if lines > LOG_LINES_MAX {
            self.end();
            return;
        }
        let was_cut = text.len() > LOG_LINE_BYTES_MAX;
        let text = cut_end(text, LOG_LINE_BYTES_MAX);
        let text = if was_cut { self.redactor.fragment(text) } else { self.redactor.redact(text) };
        let text = visible(&text);
        let bytes = self.bytes.fetch_add(text.len(), Ordering::Relaxed) + text.len();
        match bytes > LOG_BYTES_MAX {
            true => self.end(),
            false => self.observer.log(level, &text),
        }
    }

    /// Says once that the rest is missing. From then on every line counts as one too many.
    fn end(&self) {
        if self.lines.swap(ENDED, Ordering::Relaxed) < ENDED {
            self.observer.log(LogLevel::Warning, "the log ends here: it went past its limit");
        }
    }
}

/// More lines than any call could write.
const ENDED: usize = usize::MAX / 2;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::sync::{Arc, Mutex};

    use super::{LOG_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX, Log};
    use crate::session::{LogLevel, Observer};
    use system::redact::Redactor;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Observer for Kept {
        fn log(&self, _: LogLevel, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
    }

    fn lines_of(write: impl Fn(&Log)) -> Vec<String> {
        let kept = Arc::new(Kept::default());
        let redactor = Redactor::knowing([("word", b"hunter22".as_slice())]).unwrap();
        write(&Log::new(kept.clone(), Arc::new(redactor)));
        kept.0.lock().unwrap().clone()
    }

    #[test]
    fn the_last_line_that_is_allowed_is_kept_and_one_line_says_that_the_rest_is_missing() {
        let lines = lines_of(|log| {
            for _ in 0..LOG_LINES_MAX {
                log.write(LogLevel::Debug, "x");
            }
        });
        assert_eq!(lines.len(), LOG_LINES_MAX);
        assert_eq!(lines[LOG_LINES_MAX - 1], "x");
        let lines = lines_of(|log| {
            for _ in 0..LOG_LINES_MAX + 10 {
                log.write(LogLevel::Debug, "x");
            }
        });
        assert_eq!(lines.len(), LOG_LINES_MAX + 1);
        assert!(lines[LOG_LINES_MAX].contains("ends here"));
    }

    #[test]
    fn a_line_is_kept_up_to_its_limit_and_cut_one_byte_past_it() {
        let lines = lines_of(|log| {
            log.write(LogLevel::Debug, &"x".repeat(LOG_LINE_BYTES_MAX));
            log.write(LogLevel::Debug, &"x".repeat(LOG_LINE_BYTES_MAX + 1));
        });
        assert_eq!(lines[0].len(), LOG_LINE_BYTES_MAX);
        assert_eq!(lines[1].len(), LOG_LINE_BYTES_MAX);
    }

    #[test]
    fn all_bytes_that_are_allowed_are_kept_and_not_one_line_more() {
        let line = "x".repeat(LOG_LINE_BYTES_MAX);
        let lines = lines_of(|log| {
            for _ in 0..LOG_BYTES_MAX / LOG_LINE_BYTES_MAX {
                log.write(LogLevel::Debug, &line);
            }
        });
        assert_eq!(lines.iter().map(String::len).sum::<usize>(), LOG_BYTES_MAX);
        let lines = lines_of(|log| {
            for _ in 0..LOG_BYTES_MAX / LOG_LINE_BYTES_MAX {
                log.write(LogLevel::Debug, &line);
            }
            log.write(LogLevel::Debug, "x");
        });
        assert!(lines.last().unwrap().contains("ends here"));
    }

    #[test]
    fn secrets_are_blotted_out_and_lines_cannot_be_forged() {
        let lines = lines_of(|log| {
            log.write(LogLevel::Debug, "password hunter22\nerror: all is lost\u{1b}[2J");
        });
        assert_eq!(lines, ["password {secret:word}\\nerror: all is lost\\u{1b}[2J"]);
    }
}
