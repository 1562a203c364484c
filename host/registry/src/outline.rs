//! The outermost level of a component, read once from beginning to end together with its digest.
//!
//! Nested modules and components are stepped over, so that the time depends on the number of
//! sections, not on the code in them; only their bytes are hashed. What is kept in memory is one
//! section at a time: a plugin is looked at whenever a command begins, and touching fresh memory
//! for all of it took longer than the hash.

use std::collections::BTreeSet;
use std::io::{self, Read};

use model::manifest::{MANIFEST_BYTES_MAX, MANIFEST_SECTION};
use model::pattern::shown;
use wasmparser::{Chunk, ComponentExternalKind, Encoding, Parser, Payload};

use crate::Error;

/// The most imports and exports of a component: WASI and the contract together have fifty.
pub const NAMES_MAX: usize = 256;

/// Bytes read at once: they stay in the processor's cache until they are hashed.
const PIECE_BYTES: usize = 64 * 1024;

/// A component of which every byte was seen.
pub(crate) struct Seen {
    /// What is at its outermost level.
    pub(crate) outline: Result<Outline, Error>,
    /// `blake3:` and the hexadecimal digest of all of it.
    pub(crate) digest: String,
}

/// The outermost level of a component.
#[derive(Default)]
pub(crate) struct Outline {
    pub(crate) manifest: Option<String>,
    pub(crate) exports: BTreeSet<String>,
    pub(crate) imports: BTreeSet<String>,
}

impl Seen {
    /// Reads to the end, whatever is found on the way.
    pub(crate) fn read(source: impl Read) -> io::Result<Self> {
        let mut tape = Tape::new(source);
        let outline = Outline::read(&mut tape)?;
        while tape.skip(PIECE_BYTES)? {}
        let digest = format!("blake3:{}", tape.hasher.finalize().to_hex());
        Ok(Self { outline, digest })
    }
}

impl Outline {
    /// Outside: reading failed. Inside: what was read is no component.
    fn read<R: Read>(tape: &mut Tape<R>) -> io::Result<Result<Self, Error>> {
        let mut outline = Self::default();
        let mut parser = Parser::new(0);
        tape.fill()?;
        if !tape.ahead().starts_with(b"\0asm") {
            return Ok(Err(Error::NotWebAssembly));
        }
        loop {
            let step = match parser.parse(tape.ahead(), tape.ended) {
                Err(error) => return Ok(Err(Error::damaged(error))),
                Ok(Chunk::NeedMoreData(_)) if tape.ended => {
                    return Ok(Err(Error::Damaged("it ends too early".into())));
                }
                Ok(Chunk::NeedMoreData(_)) => Step::More,
                Ok(Chunk::Parsed { consumed, payload }) => match outline.take(payload) {
                    Ok(Some(end)) => Step::To(end),
                    Ok(None) => Step::By(consumed),
                    Err(End::Reached) => return Ok(Ok(outline)),
                    Err(End::Refused(error)) => return Ok(Err(error)),
                },
            };
            let length = match step {
                Step::More => {
                    tape.fill()?;
                    continue;
                }
                Step::By(length) => length,
                Step::To(end) => end.saturating_sub(tape.offset),
            };
            if !tape.skip(length)? {
                return Ok(Err(Error::Damaged("it ends within a section".into())));
            }
        }
    }

    /// Keeps what matters of a section; of a nested module or component, says where it ends.
    fn take(&mut self, payload: Payload<'_>) -> Result<Option<usize>, End> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                return Err(Error::CoreModule.into());
            }
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                return Ok(Some(unchecked_range.end));
            }
            Payload::End(_) => return Err(End::Reached),
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let name = import.map_err(Error::damaged)?.name;
                    if name.implements.is_some() {
                        return Err(Error::ImportRefused { import: shown(name.name) }.into());
                    }
                    self.imports.insert(name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(Error::damaged)?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.insert(export.name.name.to_owned());
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                if self.manifest.is_some() {
                    return Err(Error::Damaged("it carries two manifests".into()).into());
                }
                self.manifest = Some(manifest_text(section.data())?.to_owned());
            }
            _ => {}
        }
        if self.imports.len().max(self.exports.len()) > NAMES_MAX {
            let reason = format!("it has more than {NAMES_MAX} imports or exports");
            return Err(Error::Damaged(reason).into());
        }
        Ok(None)
    }
}

/// How far to go on.
enum Step {
    More,
    By(usize),
    To(usize),
}

/// Why nothing more is read.
enum End {
    Reached,
    Refused(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// What lies ahead of the place up to which a source was read, and the hash of all of it.
struct Tape<R> {
    source: R,
    hasher: blake3::Hasher,
    window: Vec<u8>,
    /// How much of the window lies behind.
    consumed: usize,
    /// How much of the source lies behind.
    offset: usize,
    ended: bool,
}

impl<R: Read> Tape<R> {
    fn new(source: R) -> Self {
        let (hasher, window) = (blake3::Hasher::new(), Vec::with_capacity(PIECE_BYTES));
        Self { source, hasher, window, consumed: 0, offset: 0, ended: false }
    }

    fn ahead(&self) -> &[u8] {
        &self.window[self.consumed..]
    }

    /// Reads a piece more.
    fn fill(&mut self) -> io::Result<()> {
        self.window.drain(..self.consumed);
        self.consumed = 0;
        let before = self.window.len();
        let piece = (&mut self.source).take(PIECE_BYTES as u64).read_to_end(&mut self.window)?;
        self.hasher.update(&self.window[before..]);
        self.ended = piece < PIECE_BYTES;
        Ok(())
    }

    /// Steps over so many bytes; false if there are fewer.
    fn skip(&mut self, length: usize) -> io::Result<bool> {
        let mut rest = length;
        loop {
            let step = rest.min(self.ahead().len());
            self.consumed += step;
            self.offset += step;
            rest -= step;
            if rest == 0 {
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            self.fill()?;
        }
    }
}

fn manifest_text(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        let reason =
            format!("its manifest has {} bytes, {MANIFEST_BYTES_MAX} are allowed", bytes.len());
        return Err(Error::Damaged(reason));
    }
    std::str::from_utf8(bytes).map_err(|_| Error::Damaged("its manifest is not UTF-8".into()))
}
