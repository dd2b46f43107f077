//! Tokenising beside the tokenizers crate alone: the same texts, the same tokenizer, as many threads.
//!
//! Here: reading the files, tokenising, packing, writing, syncing and hashing, as a run does it. There: `encode_batch_fast` of texts
//! that are in memory already, on a pool of so many threads, whose ids are kept. Documents of a file each are the crate's best case
//! as much as ours: with `--documents` the texts are cut into so many bytes each and read from JSONL.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::{
    fs,
    io::{BufWriter, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};
use trainmaster_trainer::{dataset, tokenizer::Tokenizer};

/// Tokenises books here and with the tokenizers crate alone, taking turns; fails where this is slower than 0.9 of the crate.
#[derive(Parser)]
struct Arguments {
    /// A Hugging Face directory with a tokenizer.json, or a tokenizer.json.
    #[arg(long)]
    tokenizer: PathBuf,
    /// A directory of .txt files.
    #[arg(long)]
    books: PathBuf,
    /// Cut the books into documents of about so many bytes.
    #[arg(long)]
    documents: Option<usize>,
    /// Threads for each.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// Turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The least ratio that passes.
    #[arg(long, default_value_t = 0.9)]
    least: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let directory = match arguments.tokenizer.is_file() {
        true => arguments
            .tokenizer
            .parent()
            .unwrap_or(Path::new("."))
            .to_owned(),
        false => arguments.tokenizer.clone(),
    };
    // The crate's pool is made once, at its first use.
    // SAFETY: no other thread has been started.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", arguments.threads.to_string()) };
    let ours = Tokenizer::open(&directory).context("our tokenizer")?;
    let json = directory.join("tokenizer.json");
    let mut theirs = tokenizers::Tokenizer::from_file(&json)
        .map_err(|error| anyhow::anyhow!("{}: {error}", json.display()))?;
    theirs.with_padding(None);
    theirs
        .with_truncation(None)
        .map_err(|error| anyhow::anyhow!("{error}"))?;

    let scratch = tempfile::tempdir()?;
    let texts = read(&arguments.books, arguments.documents)?;
    let bytes: usize = texts.iter().map(String::len).sum();
    let source = write(&texts, scratch.path(), arguments.documents.is_some())?;
    println!(
        "{} documents, {:.1} MB, {} threads",
        texts.len(),
        bytes as f64 / 1e6,
        arguments.threads
    );

    let (mut ratios, mut last) = (vec![], (0, 0));
    for round in 0..=arguments.rounds {
        let begin = Instant::now();
        let encodings = theirs
            .encode_batch_fast(texts.clone(), false)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let ids: Vec<Vec<u32>> = encodings.iter().map(|e| e.get_ids().to_vec()).collect();
        let theirs_s = begin.elapsed().as_secs_f64();
        drop(encodings);
        let their_tokens: usize = ids.iter().map(Vec::len).sum();
        drop(ids);

        let into = scratch.path().join(format!("tokens-{round}"));
        fs::create_dir(&into)?;
        let begin = Instant::now();
        let found = dataset::tokenize(
            &source,
            "text",
            &ours,
            256,
            arguments.threads,
            &into,
            &mut |_| ControlFlow::Continue(()),
        )?;
        let ours_s = begin.elapsed().as_secs_f64();
        fs::remove_dir_all(&into)?;
        last = (their_tokens, found.num_tokens);
        if round == 0 {
            // Caches are filled, pages are read.
            continue;
        }
        println!(
            "round {round}: {:.2} MB/s here, {:.2} MB/s tokenizers alone, ratio {:.3}",
            bytes as f64 / 1e6 / ours_s,
            bytes as f64 / 1e6 / theirs_s,
            theirs_s / ours_s
        );
        ratios.push(theirs_s / ours_s);
    }
    println!("{} tokens there, {} here", last.0, last.1);
    let same = (last.0 as f64 - last.1 as f64).abs() <= 1e-4 * last.0 as f64;
    ensure!(same, "the two do not find the same tokens");
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().context("no rounds")?;
    println!("median ratio {median:.3} (at least {})", arguments.least);
    if median < arguments.least {
        bail!("tokenising is slower than it should be");
    }
    Ok(())
}

/// The books, or pieces of them.
fn read(books: &Path, documents: Option<usize>) -> Result<Vec<String>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(books)
        .with_context(|| books.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let Some(size) = documents else {
            texts.push(text);
            continue;
        };
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let mut at = size.min(rest.len());
            while !rest.is_char_boundary(at) {
                at += 1;
            }
            let (document, after) = rest.split_at(at);
            texts.push(document.to_owned());
            rest = after;
        }
    }
    ensure!(!texts.is_empty(), "{} has no .txt files", books.display());
    Ok(texts)
}

/// The texts as files, or as lines of one.
fn write(texts: &[String], directory: &Path, as_lines: bool) -> Result<PathBuf> {
    if as_lines {
        let path = directory.join("documents.jsonl");
        let mut file = BufWriter::new(fs::File::create(&path)?);
        for text in texts {
            serde_json::to_writer(&mut file, &serde_json::json!({ "text": text }))?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        return Ok(path);
    }
    let path = directory.join("books");
    fs::create_dir(&path)?;
    for (number, text) in texts.iter().enumerate() {
        fs::write(path.join(format!("{number:04}.txt")), text)?;
    }
    Ok(path)
}
