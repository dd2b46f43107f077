//! Preparing datasets, through what a run calls.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use trainmaster_domain::run::journal::FailureClass;
use trainmaster_trainer::{
    dataset::{self, DatasetError, Statistics, TokenizedDataset},
    tokenizer::Tokenizer,
};

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn tokenizer() -> Tokenizer {
    Tokenizer::open(&tests("tiny-llama")).unwrap()
}

fn on(_percent: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A directory of files to tokenise, and one to tokenise into.
struct Case {
    source: tempfile::TempDir,
    into: tempfile::TempDir,
}

impl Case {
    fn of(files: &[(&str, &[u8])]) -> Self {
        let case = Self {
            source: tempfile::tempdir().unwrap(),
            into: tempfile::tempdir().unwrap(),
        };
        for (name, content) in files {
            fs::write(case.source.path().join(name), content).unwrap();
        }
        case
    }

    fn tokenize(&self, context_length: u32, threads: usize) -> Result<Statistics, DatasetError> {
        let (source, into) = (self.source.path(), self.into.path());
        dataset::tokenize(
            source,
            "text",
            &tokenizer(),
            context_length,
            threads,
            into,
            &mut on,
        )
    }

    fn open(&self) -> Result<TokenizedDataset, DatasetError> {
        TokenizedDataset::open(self.into.path())
    }

    /// All tokens of all sequences that are text or separators.
    fn tokens(&self) -> Vec<u32> {
        let dataset = self.open().unwrap();
        let begin = usize::from(dataset.bos().is_some());
        let all = (0..dataset.num_sequences())
            .flat_map(|index| dataset.sequence(index).unwrap().split_off(begin));
        let mut all: Vec<u32> = all.collect();
        let statistics = dataset.statistics();
        all.truncate((statistics.num_tokens + statistics.num_samples) as usize);
        all
    }

    fn code_of_ingesting(&self) -> (String, String) {
        let failure = dataset::ingest(self.source.path(), "text", &mut on)
            .unwrap_err()
            .failure();
        assert_eq!(failure.class, FailureClass::Workload);
        assert_eq!(self.tokenize(16, 1).unwrap_err().failure(), failure);
        (failure.code, failure.message)
    }
}

#[test]
fn documents_are_packed_with_a_beginning_a_separator_and_padding() {
    let case = Case::of(&[
        ("b.txt", b"walk"),
        (
            "a.jsonl",
            b"{\"text\":\"in\",\"n\":1}\n\n{\"text\":\"\"}\n{\"text\":\"2\"}",
        ),
    ]);
    let statistics = case.tokenize(5, 1).unwrap();
    let ids = |text| tokenizer().encode(text).unwrap();
    let expected = [ids("in"), vec![0], ids("2"), vec![0], ids("walk"), vec![0]].concat();
    assert_eq!(case.tokens(), expected);
    assert_eq!(statistics.num_samples, 3);
    assert_eq!(statistics.num_tokens as usize, expected.len() - 3);
    assert_eq!(
        statistics.num_sequences as usize,
        expected.len().div_ceil(4)
    );
    let dataset = case.open().unwrap();
    let all: Vec<u64> = (0..dataset.num_sequences()).collect();
    let batch = dataset.batch(&all).unwrap();
    assert_eq!(batch.tokens.size(), [all.len() as i64, 5]);
    assert_eq!(
        i64::try_from(batch.is_text.sum(tch::Kind::Int64)).unwrap() as u64,
        statistics.num_tokens
    );
    for index in all {
        assert_eq!(dataset.sequence(index).unwrap()[0], 1);
    }
    dataset.verify().unwrap();
    assert_eq!(*dataset.statistics(), statistics);
}

#[test]
fn a_long_text_gives_the_ids_of_the_whole_text_whatever_the_threads() {
    let emma = fs::read_to_string(tests("texts/emma.txt")).unwrap();
    let text = emma.repeat(12);
    let case = Case::of(&[("emma.txt", text.as_bytes())]);
    let one = case.tokenize(128, 1).unwrap();
    let whole = [tokenizer().encode(&text).unwrap(), vec![0]].concat();
    assert!(text.len() > 4 * dataset::source::PIECE_BYTES);
    assert_eq!(case.tokens(), whole);
    assert_eq!(case.tokenize(128, 3).unwrap(), one);
    let line = serde_json::json!({ "text": text }).to_string();
    let jsonl = Case::of(&[("emma.jsonl", line.as_bytes())]);
    assert_eq!(jsonl.tokenize(128, 2).unwrap().sha256, one.sha256);
}

#[test]
fn ingesting_counts_documents_and_bytes() {
    let case = Case::of(&[
        ("a.txt", b"one"),
        ("b.jsonl", b"{\"text\":\"two\"}\n{\"text\":\"three\"}\n"),
        ("c.md", b"x"),
    ]);
    let ingested = dataset::ingest(case.source.path(), "text", &mut on).unwrap();
    assert_eq!((ingested.num_samples, ingested.size_bytes), (3, 35));
    let file = dataset::ingest(&case.source.path().join("a.txt"), "text", &mut on).unwrap();
    assert_eq!((file.num_samples, file.size_bytes), (1, 3));
}

#[test]
fn characters_and_marks_at_the_borders_of_reads_survive() {
    let text = format!(
        "\u{feff}{}你好\n",
        "x".repeat(dataset::source::PIECE_BYTES - 4)
    );
    let case = Case::of(&[("a.txt", text.as_bytes())]);
    case.tokenize(64, 1).unwrap();
    let tokens = case.tokens();
    assert_eq!(
        tokenizer().decode(&tokens[..tokens.len() - 1]).unwrap(),
        text[3..]
    );
}

#[test]
fn bad_input_is_named_by_file_and_line() {
    let cases: [(&str, &[u8], &str, &str); 8] = [
        ("a.txt", b"", "dataset_empty", ""),
        ("a.csv", b"text", "dataset_empty", ""),
        ("a.jsonl", b"{\"text\":\"\"}\n", "dataset_empty", ""),
        ("a.txt", b"one\ntwo\xff\n", "not_utf8", "a.txt, line 2"),
        ("a.txt", b"one\ntwo\n\xe4\xbd", "not_utf8", "a.txt, line 3"),
        (
            "a.jsonl",
            b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n",
            "not_utf8",
            "a.jsonl, line 2",
        ),
        (
            "a.jsonl",
            b"{\"text\":\"a\"}\n\n{\"text\":\n",
            "bad_line",
            "a.jsonl, line 3",
        ),
        (
            "a.jsonl",
            b"{\"body\":\"a\"}\n",
            "column_missing",
            "the line has body",
        ),
    ];
    for (name, content, code, said) in cases {
        let (found, message) = Case::of(&[(name, content)]).code_of_ingesting();
        assert_eq!(found, code, "{message}");
        assert!(message.contains(said), "{message}");
    }
    let (code, _) = Case::of(&[("a.jsonl", b"{\"text\":7}\n")]).code_of_ingesting();
    assert_eq!(code, "column_missing");
    let long = format!(
        "{{\"text\":\"{}\"}}",
        "x".repeat(dataset::source::MAX_LINE_BYTES)
    );
    let (code, _) = Case::of(&[("a.jsonl", long.as_bytes())]).code_of_ingesting();
    assert_eq!(code, "line_too_long");
    let nowhere = dataset::ingest(Path::new("/no/such/dataset"), "text", &mut on).unwrap_err();
    assert_eq!(nowhere.failure().code, "file_missing");
}

#[test]
fn a_context_that_cannot_hold_text_is_refused() {
    let case = Case::of(&[("a.txt", b"text")]);
    assert_eq!(
        case.tokenize(1, 1).unwrap_err().failure().code,
        "unsupported"
    );
}

#[test]
fn preparing_can_be_watched_and_cancelled() {
    let case = Case::of(&[("a.txt", "a text\n".repeat(700_000).as_bytes())]);
    let mut seen = Vec::new();
    let mut watch = |percent| {
        seen.push(percent);
        ControlFlow::Continue(())
    };
    let (source, into) = (case.source.path(), case.into.path());
    dataset::tokenize(source, "text", &tokenizer(), 64, 1, into, &mut watch).unwrap();
    assert!(seen.len() > 2 && seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&100.0));
    let cancelled = dataset::tokenize(source, "text", &tokenizer(), 64, 1, into, &mut |_| {
        ControlFlow::Break(())
    });
    assert!(matches!(cancelled, Err(DatasetError::Cancelled)));
    let cancelled = dataset::ingest(source, "text", &mut |_| ControlFlow::Break(()));
    assert!(matches!(cancelled, Err(DatasetError::Cancelled)));
}

#[test]
fn a_damaged_file_is_refused() {
    let case = Case::of(&[(
        "a.txt",
        b"some text that is long enough for a few sequences",
    )]);
    case.tokenize(8, 1).unwrap();
    let path = case.into.path().join("tokens.bin");
    let whole = fs::read(&path).unwrap();
    for length in [0, 10, 63, 64, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(
            case.open().err().unwrap().failure().code,
            "file_truncated",
            "cut at {length}"
        );
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(case.open().err().unwrap().failure().code, "file_altered");
    fs::write(&path, vec![b'x'; whole.len()]).unwrap();
    assert_eq!(case.open().err().unwrap().failure().code, "file_altered");
    let mut altered = whole.clone();
    *altered.last_mut().unwrap() ^= 1;
    fs::write(&path, altered).unwrap();
    assert_eq!(
        case.open().unwrap().verify().unwrap_err().failure().code,
        "file_altered"
    );
    fs::write(&path, &whole).unwrap();
    let dataset = case.open().unwrap();
    assert!(matches!(
        dataset.batch(&[dataset.num_sequences()]),
        Err(DatasetError::NoSuchSequence { .. })
    ));
    fs::remove_file(case.into.path().join("tokens.json")).unwrap();
    assert_eq!(case.open().err().unwrap().failure().code, "file_missing");
    fs::remove_file(&path).unwrap();
    assert_eq!(case.open().err().unwrap().failure().code, "file_missing");
}
