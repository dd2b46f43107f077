//! Text in tables: each format gives the same documents, and what is wrong with a file is said.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray,
    StringViewArray, types::Int32Type,
};
use flate2::{Compression, write::GzEncoder};
use parquet::{arrow::ArrowWriter, basic, file::properties::WriterProperties};
use std::{
    fs::{self, File},
    io::Write,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};
use trainmaster_domain::run::journal::{DatasetIngested, Failure};
use trainmaster_trainer::dataset::{self, DatasetError};

const TEXTS: [Option<&str>; 6] = [
    Some("one two"),
    None,
    Some("three\nfour, \"five\""),
    Some(""),
    Some("日本語 one"),
    Some("one two"),
];

fn ingest(path: &Path) -> Result<DatasetIngested, DatasetError> {
    dataset::ingest(path, "story", &mut |_| ControlFlow::Continue(()))
}

fn failure(path: &Path) -> Failure {
    ingest(path).unwrap_err().failure()
}

fn batch(texts: ArrayRef) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(0..texts.len() as i64);
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(numbers) as ArrayRef, false),
        ("story", texts, true),
    ])
    .unwrap()
}

fn plain() -> RecordBatch {
    batch(Arc::new(StringArray::from(TEXTS.to_vec())))
}

fn write_parquet(path: &Path, batch: &RecordBatch, compression: basic::Compression) {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(4))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn write_arrow_file(path: &Path, batches: &[RecordBatch]) {
    let mut writer =
        arrow_ipc::writer::FileWriter::try_new(File::create(path).unwrap(), &batches[0].schema())
            .unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
}

fn write_arrow_stream(path: &Path, batches: &[RecordBatch]) {
    let mut writer =
        arrow_ipc::writer::StreamWriter::try_new(File::create(path).unwrap(), &batches[0].schema())
            .unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn every_format_gives_the_same_documents() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let lines: String = TEXTS
        .iter()
        .map(|text| serde_json::json!({ "story": text.unwrap_or_default() }).to_string() + "\n")
        .collect();
    fs::write(at("a.jsonl"), &lines).unwrap();
    let mut gz = GzEncoder::new(File::create(at("a.jsonl.gz")).unwrap(), Compression::fast());
    gz.write_all(lines.as_bytes()).unwrap();
    gz.finish().unwrap();
    let mut csv = csv::Writer::from_path(at("a.csv")).unwrap();
    csv.write_record(["n", "story"]).unwrap();
    for text in TEXTS {
        csv.write_record(["1", text.unwrap_or_default()]).unwrap();
    }
    csv.flush().unwrap();

    write_parquet(
        &at("plain.parquet"),
        &plain(),
        basic::Compression::UNCOMPRESSED,
    );
    write_parquet(&at("snappy.PARQUET"), &plain(), basic::Compression::SNAPPY);
    write_parquet(
        &at("gzip.parquet"),
        &plain(),
        basic::Compression::GZIP(Default::default()),
    );
    let zstd = basic::Compression::ZSTD(Default::default());
    write_parquet(&at("zstd.parquet"), &plain(), zstd);
    let large = batch(Arc::new(LargeStringArray::from(TEXTS.to_vec())));
    write_parquet(&at("large.parquet"), &large, zstd);
    let dictionary: DictionaryArray<Int32Type> = TEXTS.into_iter().collect();
    let dictionary = batch(Arc::new(dictionary));
    write_parquet(&at("dictionary.parquet"), &dictionary, zstd);

    write_arrow_file(
        &at("file.arrow"),
        &[plain().slice(0, 4), plain().slice(4, 2)],
    );
    write_arrow_stream(
        &at("stream.arrow"),
        &[plain().slice(0, 1), plain().slice(1, 5)],
    );
    write_arrow_file(&at("large.arrow"), &[large]);
    write_arrow_file(&at("dictionary.arrow"), std::slice::from_ref(&dictionary));
    write_arrow_stream(&at("dictionary-stream.arrow"), &[dictionary]);
    let views = batch(Arc::new(StringViewArray::from(TEXTS.to_vec())));
    write_arrow_file(&at("views.arrow"), &[views]);

    let expected = ingest(&at("a.jsonl")).unwrap();
    assert_eq!(expected.num_samples, 4);
    let mut seen = 0;
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let found = ingest(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(
            found.content_sha256,
            expected.content_sha256,
            "{}",
            path.display()
        );
        assert_eq!(found.num_samples, 4, "{}", path.display());
        assert_eq!(found.size_bytes as u64, fs::metadata(&path).unwrap().len());
        seen += 1;
    }
    assert_eq!(seen, 15);
    assert_eq!(ingest(directory.path()).unwrap().num_samples, 4 * seen);
}

#[test]
fn where_documents_end_is_part_of_what_a_text_is() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (
        directory.path().join("1.jsonl"),
        directory.path().join("2.jsonl"),
    );
    fs::write(&one, "{\"story\":\"ab\"}").unwrap();
    fs::write(&two, "{\"story\":\"a\"}\n{\"story\":\"b\"}").unwrap();
    assert_ne!(
        ingest(&one).unwrap().content_sha256,
        ingest(&two).unwrap().content_sha256
    );
}

#[test]
fn a_missing_column_is_told_with_those_that_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let other = RecordBatch::try_from_iter([("title", numbers()), ("body", numbers())]).unwrap();
    let wrong = RecordBatch::try_from_iter([("story", numbers())]).unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("a.csv"), "title,body\n1,2\n").unwrap();
    write_parquet(&at("a.parquet"), &other, basic::Compression::SNAPPY);
    write_arrow_file(&at("a.arrow"), std::slice::from_ref(&other));
    write_arrow_stream(&at("b.arrow"), &[other]);
    for name in ["a.csv", "a.parquet", "a.arrow", "b.arrow"] {
        let failure = failure(&at(name));
        assert_eq!(failure.code, "column_missing", "{name}");
        assert!(
            failure.message.contains("\"story\"") && failure.message.contains("title, body"),
            "{}",
            failure.message
        );
    }
    write_parquet(&at("n.parquet"), &wrong, basic::Compression::SNAPPY);
    write_arrow_stream(&at("n.arrow"), &[wrong]);
    for name in ["n.parquet", "n.arrow"] {
        let failure = failure(&at(name));
        assert_eq!(failure.code, "column_missing");
        assert!(failure.message.contains("Int64"), "{}", failure.message);
    }
}

#[test]
fn a_file_that_is_not_whole_or_not_what_it_is_called_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write_parquet(&at("x.parquet"), &plain(), basic::Compression::SNAPPY);
    write_arrow_file(&at("x.arrow"), &[plain()]);
    for name in ["x.parquet", "x.arrow"] {
        let whole = fs::read(at(name)).unwrap();
        fs::write(at(name), &whole[..whole.len() / 2]).unwrap();
    }
    fs::write(at("y.parquet"), "Call me Ishmael.").unwrap();
    fs::write(at("y.arrow"), "Call me Ishmael.").unwrap();
    for name in ["x.parquet", "x.arrow", "y.parquet", "y.arrow"] {
        let failure = failure(&at(name));
        assert_eq!(
            failure.code, "file_malformed",
            "{name}: {}",
            failure.message
        );
        assert!(failure.message.contains(name), "{}", failure.message);
    }
}

#[test]
fn no_row_is_longer_than_memory_should_hold() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let long = "x".repeat(dataset::source::MAX_LINE_BYTES + 1);
    fs::write(at("a.csv"), format!("n,story\n1,short\n2,\"{long}")).unwrap();
    let endless = "x".repeat(dataset::source::MAX_LINE_BYTES + 2 * dataset::source::PIECE_BYTES);
    fs::write(at("c.csv"), format!("n,story\n1,\"{endless}")).unwrap();
    assert_eq!(failure(&at("c.csv")).code, "line_too_long");
    let many = "x".repeat(3 * dataset::source::PIECE_BYTES);
    fs::write(at("b.csv"), format!("n,story\n1,{many}\n2,{many}\n")).unwrap();
    write_arrow_stream(
        &at("a.arrow"),
        &[batch(Arc::new(StringArray::from(vec![long.as_str()])))],
    );
    let mixed: StringArray = (0..40)
        .map(|n| (n == 39).then_some(long.as_str()))
        .collect();
    write_parquet(
        &at("a.parquet"),
        &batch(Arc::new(mixed)),
        basic::Compression::SNAPPY,
    );
    assert_eq!(failure(&at("a.csv")).code, "line_too_long");
    assert_eq!(failure(&at("a.arrow")).code, "line_too_long");
    let of_parquet = failure(&at("a.parquet"));
    assert_eq!(of_parquet.code, "line_too_long");
    assert!(
        of_parquet.message.contains("line 40"),
        "{}",
        of_parquet.message
    );
    assert_eq!(ingest(&at("b.csv")).unwrap().num_samples, 2);
}

#[test]
fn a_row_without_the_field_and_text_that_is_no_text_are_told_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv");
    fs::write(&path, "n,story\n1,one\n2\n").unwrap();
    let short = failure(&path);
    assert_eq!(short.code, "column_missing");
    assert!(short.message.contains("line 3"), "{}", short.message);
    fs::write(&path, b"n,story\n1,\xff\n").unwrap();
    assert_eq!(failure(&path).code, "not_utf8");
    fs::write(&path, "").unwrap();
    assert_eq!(failure(&path).code, "dataset_empty");
}

#[test]
fn directories_are_read_through_in_the_order_of_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("data/b.txt", "two");
    write("data/a.txt", "one");
    write("z.txt", "three");
    write(".cache/c.txt", "hidden");
    write("README.md", "about");
    std::os::unix::fs::symlink(directory.path(), directory.path().join("data/up")).unwrap();
    let lines = directory.path().join("all.jsonl");
    let expected = ingest(directory.path()).unwrap();
    assert_eq!(expected.num_samples, 3);
    fs::write(
        &lines,
        "{\"story\":\"one\"}\n{\"story\":\"two\"}\n{\"story\":\"three\"}",
    )
    .unwrap();
    assert_eq!(
        ingest(&lines).unwrap().content_sha256,
        expected.content_sha256
    );
}
