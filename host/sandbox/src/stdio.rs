//! Standard output and error of a guest: lines of its log, and its last words when it traps.
//!
//! Language runtimes write here when they panic. The guest is never held back and never told that
//! nobody listens; what goes past the log's limits is dropped by [`crate::log`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::limits::{LOG_LINE_BYTES_MAX, SAID_BYTES_MAX};
use crate::log::Log;
use crate::session::{LogLevel, Session};
use crate::text::visible_lines;

/// What a guest may hand over at once; it asks again for more.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// One stream of a guest. Clones are the same stream.
#[derive(Clone)]
pub(crate) struct Stream {
    log: Arc<Log>,
    level: LogLevel,
    shared: Arc<Mutex<Buffer>>,
}

#[derive(Default)]
struct Buffer {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The last bytes of everything.
    end: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(log: &Arc<Log>, level: LogLevel) -> Self {
        Self { log: Arc::clone(log), level, shared: Arc::default() }
    }

    /// The last words, redacted and visible.
    pub(crate) fn end(&self, session: &Session) -> String {
        let text = String::from_utf8_lossy(&self.buffer().end).into_owned();
        visible_lines(&session.redactor.fragment(text.trim())).into_owned()
    }

    fn take(&self, bytes: &[u8]) {
        let mut buffer = self.buffer();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut buffer.line);
                self.log.write(self.level, &String::from_utf8_lossy(&line));
            } else if buffer.line.len() < LOG_LINE_BYTES_MAX {
                buffer.line.push(*byte);
            }
        }
        buffer.end.extend_from_slice(&bytes[bytes.len().saturating_sub(SAID_BYTES_MAX)..]);
        let surplus = buffer.end.len().saturating_sub(SAID_BYTES_MAX);
        buffer.end.drain(..surplus);
    }

    /// Bytes are bytes, whatever panicked while they were added.
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only versions of WASI that are not linked ask for it.
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}
