//! Datasets: files of text (see [`source`]), tokenised into a file of packed sequences that a training maps into memory.
//!
//! [`ingest`] reads all text once, so that a bad line is found before hours of tokenising; [`tokenize`] reads it again and
//! writes `tokens.bin` and `tokens.json` (see [`format`]); [`TokenizedDataset`] reads those. [`reuse`] finds what has been
//! tokenised before.
//!
//! Memory does not grow with the files. For each thread there are [`UNITS_A_THREAD`] units of about [`source::PIECE_BYTES`]
//! of text with their ids (at most four times as large), and what the tokenizer makes of one unit (about a hundred times its
//! size at worst, 50 MB in practice). To that comes what the source holds: one line or row of [`source::MAX_LINE_BYTES`], about 8 MB
//! of a Parquet file's text and a page of it, or a record batch of an Arrow file, which may have 512 MiB.

mod error;
pub mod format;
mod pack;
mod reader;
mod reuse;
pub mod source;

pub use error::DatasetError;
pub use format::Statistics;
pub use reader::{Batch, TokenizedDataset};
pub use reuse::{key, reuse};

use crate::tokenizer::{Tokenizer, hex};
use pack::Packer;
use sha2::{Digest, Sha256};
use source::{Piece, Source};
use std::{
    ops::{ControlFlow, Range},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};
use trainmaster_domain::run::journal::DatasetIngested;

/// Units of text that are read at once, for each thread: enough that a thread which is done early waits for a small part of
/// the time only.
pub const UNITS_A_THREAD: usize = 16;
/// Pieces that are read at once, however short they are.
const MOST_PIECES: usize = 1 << 17;

/// Told how far the work is, in percent; may end it.
pub type Watch<'a> = dyn FnMut(f64) -> ControlFlow<()> + 'a;

/// Reads all text of `source` (a file, or a directory of files) and counts its documents.
///
/// # Errors
/// [`DatasetError`], naming file and line where there is one.
pub fn ingest(
    source: &Path,
    text_column: &str,
    watch: &mut Watch<'_>,
) -> Result<DatasetIngested, DatasetError> {
    let mut source = Source::open(source, text_column)?;
    let mut content = Content::default();
    let mut documents = 0;
    let mut bytes_since = 0;
    while let Some(piece) = source.next_piece()? {
        content.add(&piece);
        documents += i64::from(piece.ends_document);
        bytes_since += piece.text.len() + 64;
        if bytes_since > 64 * source::PIECE_BYTES {
            bytes_since = 0;
            tell(watch, &source)?;
        }
    }
    tell(watch, &source)?;
    if documents == 0 {
        return Err(source.empty());
    }
    let size_bytes = i64::try_from(source.size_bytes()).unwrap_or(i64::MAX);
    Ok(DatasetIngested {
        num_samples: documents,
        size_bytes,
        content_sha256: Some(content.sha256()),
    })
}

/// Tokenises all text of `source` on `threads` threads into sequences of `context_length` tokens, and writes `tokens.bin` and
/// `tokens.json` into the existing directory `into`, synced. The caller renames that directory into place.
///
/// Documents follow one another, a separator token after each; a sequence begins with the beginning-of-sequence token when
/// the model has one, and the last one is filled up.
///
/// # Errors
/// [`DatasetError`], naming file and line where there is one.
pub fn tokenize(
    source: &Path,
    text_column: &str,
    tokenizer: &Tokenizer,
    context_length: u32,
    threads: usize,
    into: &Path,
    watch: &mut Watch<'_>,
) -> Result<Statistics, DatasetError> {
    let mut source = Source::open(source, text_column)?;
    let mut packer = Packer::create(into, tokenizer, context_length)?;
    let threads = threads.max(1);
    let mut content = Content::default();
    loop {
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while bytes < threads * UNITS_A_THREAD * source::PIECE_BYTES && pieces.len() < MOST_PIECES {
            let Some(piece) = source.next_piece()? else {
                break;
            };
            content.add(&piece);
            bytes += piece.text.len();
            pieces.push(piece);
        }
        if pieces.is_empty() {
            break;
        }
        let ids = encode_all(tokenizer, &pieces, threads)?;
        for (piece, ids) in pieces.iter().zip(ids) {
            packer.text(&ids)?;
            if piece.ends_document {
                packer.end_document()?;
            }
        }
        tell(watch, &source)?;
    }
    if packer.tokens() == 0 {
        return Err(source.empty());
    }
    packer.finish(content.sha256())
}

/// The hash of all text, from which documents are told apart but not how their files held them.
#[derive(Default)]
struct Content(Sha256);

impl Content {
    fn add(&mut self, piece: &Piece) {
        self.0.update(&piece.text);
        if piece.ends_document {
            // A byte that UTF-8 does not have.
            self.0.update([0xFF]);
        }
    }

    fn sha256(self) -> String {
        hex(&self.0.finalize())
    }
}

fn tell(watch: &mut Watch<'_>, source: &Source) -> Result<(), DatasetError> {
    match watch(source.percent()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(DatasetError::Cancelled),
    }
}

/// The ids of each piece, in order, computed on several threads.
fn encode_all(
    tokenizer: &Tokenizer,
    pieces: &[Piece],
    threads: usize,
) -> Result<Vec<Vec<u32>>, DatasetError> {
    let units = units(pieces);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, unit)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            units.get(index).map(|unit| (index, unit))
        } {
            let encode = |piece: &Piece| tokenizer.encode(&piece.text);
            let ids: Result<Vec<_>, _> = pieces[unit.clone()].iter().map(encode).collect();
            done.push((index, ids));
        }
        done
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(units.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let mut all = work();
        for other in others {
            // A panic of another thread is passed on.
            all.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    let mut ids = Vec::with_capacity(pieces.len());
    for (_, unit) in all {
        ids.extend(unit?);
    }
    Ok(ids)
}

/// Pieces that a thread takes at once: about [`source::PIECE_BYTES`] of text.
fn units(pieces: &[Piece]) -> Vec<Range<usize>> {
    let mut units = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        bytes += piece.text.len();
        if bytes >= source::PIECE_BYTES || index + 1 == pieces.len() {
            units.push(start..index + 1);
            (start, bytes) = (index + 1, 0);
        }
    }
    units
}
