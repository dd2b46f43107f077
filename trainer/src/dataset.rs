//! Datasets: text and JSONL files, tokenised into a file of packed sequences that a training maps into memory.
//!
//! [`ingest`] reads all text once, so that a bad line is found before hours of tokenising; [`tokenize`] reads it again and
//! writes `tokens.bin` and `tokens.json` (see [`format`]); [`TokenizedDataset`] reads those.
//!
//! Memory does not grow with the files: at most [`source::PIECE_BYTES`] of text for each of [`PIECES_A_THREAD`] pieces a thread, with
//! what the tokenizer makes of them (about a hundred times their size at worst, 50 MB a thread in practice), and one line of
//! JSONL, which may have [`source::MAX_LINE_BYTES`].

mod error;
pub mod format;
mod pack;
mod reader;
pub mod source;

pub use error::DatasetError;
pub use format::Statistics;
pub use reader::{Batch, TokenizedDataset};

use crate::tokenizer::Tokenizer;
use pack::Packer;
use source::{Piece, Source};
use std::{
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};
use trainmaster_domain::run::journal::DatasetIngested;

/// Pieces of text that are tokenised at once, for each thread.
pub const PIECES_A_THREAD: usize = 4;

/// Told how far the work is, in percent; may end it.
pub type Watch<'a> = dyn FnMut(f64) -> ControlFlow<()> + 'a;

/// Reads all text of `source` (a `.txt` or `.jsonl` file, or a directory of them) and counts its documents.
///
/// # Errors
/// [`DatasetError`], naming file and line where there is one.
pub fn ingest(
    source: &Path,
    text_column: &str,
    watch: &mut Watch<'_>,
) -> Result<DatasetIngested, DatasetError> {
    let mut source = Source::open(source, text_column)?;
    let mut documents = 0;
    let mut pieces_since = 0_u32;
    while let Some(piece) = source.next_piece()? {
        documents += i64::from(piece.ends_document);
        pieces_since += 1;
        if pieces_since == 64 {
            pieces_since = 0;
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
    loop {
        let mut pieces = Vec::new();
        while pieces.len() < threads * PIECES_A_THREAD {
            match source.next_piece()? {
                Some(piece) => pieces.push(piece),
                None => break,
            }
        }
        if pieces.is_empty() {
            break;
        }
        for (piece, ids) in pieces.iter().zip(encode_all(tokenizer, &pieces, threads)?) {
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
    packer.finish()
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
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, piece)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            pieces.get(index).map(|piece| (index, piece))
        } {
            done.push((index, tokenizer.encode(&piece.text)));
        }
        done
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(pieces.len()))
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
    all.into_iter().map(|(_, ids)| Ok(ids?)).collect()
}
