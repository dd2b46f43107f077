//! Which files of a repository are fetched.

use super::{HubError, Listing, RemoteFile};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use trainmaster_domain::hub::HubData;

/// What stands beside a model's weights.
const BESIDE: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Kinds of data files, the preferred first: a repository often has the same data in several.
const DATA: [&str; 6] = [".parquet", ".arrow", ".jsonl", ".jsonl.gz", ".csv", ".txt"];

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The index of a model whose weights are in several files.
pub(super) fn index(listing: &Listing) -> Option<&RemoteFile> {
    if listing.file(WEIGHTS).is_some() {
        return None;
    }
    listing.file(INDEX)
}

/// A model's files, but for what [`index`] leads to.
pub(super) fn of_model(listing: &Listing) -> Result<Vec<RemoteFile>, HubError> {
    let nothing = |wanted: &str| HubError::NothingUseful {
        repository: listing.repository.clone(),
        wanted: wanted.to_owned(),
        found: listing.some(),
    };
    if listing.file("config.json").is_none() {
        return Err(nothing("config.json, so it is not a model that can be run"));
    }
    let mut wanted: Vec<RemoteFile> = BESIDE
        .iter()
        .filter_map(|name| listing.file(name).cloned())
        .collect();
    if index(listing).is_some() {
        return Ok(wanted);
    }
    let mut of_root = listing
        .files
        .iter()
        .filter(|file| !file.path.contains('/') && file.path.ends_with(".safetensors"));
    let weights = match (listing.file(WEIGHTS), of_root.next(), of_root.next()) {
        (Some(weights), ..) | (None, Some(weights), None) => weights,
        (None, Some(_), Some(_)) => {
            return Err(nothing("index of its several .safetensors files"));
        }
        (None, None, _) => {
            return Err(nothing(
                "weights in .safetensors files: look for a conversion of it, often at the revision refs/pr/1",
            ));
        }
    };
    wanted.push(weights.clone());
    Ok(wanted)
}

/// The files that an index, which has been fetched, names.
pub(super) fn shards(listing: &Listing, index: &Path) -> Result<Vec<RemoteFile>, HubError> {
    let wrong = |detail: String| HubError::Answer {
        what: INDEX.to_owned(),
        detail,
    };
    let text = std::fs::read(index).map_err(|error| wrong(error.to_string()))?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    names
        .into_iter()
        .map(|name| {
            let file = listing.file(&name).filter(|file| !file.path.contains('/'));
            file.cloned()
                .ok_or_else(|| wrong(format!("it names {name}, which is not there")))
        })
        .collect()
}

/// A dataset's files: of the subset and the split that are asked for, in one format.
pub(super) fn of_dataset(listing: &Listing, data: &HubData) -> Result<Vec<RemoteFile>, HubError> {
    let nothing = |wanted: String| HubError::NothingUseful {
        repository: listing.repository.clone(),
        wanted,
        found: listing.some(),
    };
    let mut files: Vec<&RemoteFile> = listing
        .files
        .iter()
        .filter(|file| format_of(&file.path).is_some())
        .collect();
    if files.is_empty() {
        return Err(nothing(format!(
            "{} files; the hub often has it converted, at the revision refs/convert/parquet",
            DATA.join(", ")
        )));
    }
    if let Some(subset) = &data.subset {
        files.retain(|file| {
            file.path
                .split('/')
                .rev()
                .skip(1)
                .any(|part| part == subset)
        });
        if files.is_empty() {
            return Err(nothing(format!("data in a directory {subset}")));
        }
    }
    let of_split = |split: &str| -> Vec<&RemoteFile> {
        // `train` is not the split of train_small.csv where there is a train.csv; it is where there is none.
        [&[][..], &['_'][..]]
            .into_iter()
            .map(|also| {
                let mut found = files.clone();
                found.retain(|file| is_of_split(&file.path, split, also));
                found
            })
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    };
    let files = match &data.split {
        Some(split) => of_split(split),
        None => match of_split("train") {
            none if none.is_empty() => files,
            train => train,
        },
    };
    let best = files.iter().filter_map(|file| format_of(&file.path)).min();
    let chosen: Vec<RemoteFile> = files
        .into_iter()
        .filter(|file| format_of(&file.path) == best)
        .cloned()
        .collect();
    if chosen.is_empty() {
        let split = data.split.as_deref().unwrap_or("train");
        return Err(nothing(format!("data files of a split {split}")));
    }
    Ok(chosen)
}

/// The place of a data file's format among [`DATA`].
fn format_of(path: &str) -> Option<usize> {
    let path = path.to_ascii_lowercase();
    let name = path.rsplit('/').next()?;
    let is_about = ["readme", "license", "licence", "requirements", "."]
        .iter()
        .any(|start| name.starts_with(start));
    if is_about {
        return None;
    }
    // The longest ending that fits, so that .jsonl.gz is not what ends with .gz.
    DATA.iter().position(|ending| name.ends_with(ending))
}

/// Whether a split's name stands in a path as a word, as the hub's own libraries look for it. `also` ends a word, too.
fn is_of_split(path: &str, split: &str, also: &[char]) -> bool {
    let (path, split) = (path.to_ascii_lowercase(), split.to_ascii_lowercase());
    let ends =
        |c: char| matches!(c, '-' | '.' | ' ' | '/') || c.is_ascii_digit() || also.contains(&c);
    path.match_indices(&split).any(|(at, found)| {
        path[..at].chars().next_back().is_none_or(ends)
            && path[at + found.len()..].chars().next().is_none_or(ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainmaster_domain::hub::HubRepository;

    fn listing(paths: &[&str]) -> Listing {
        Listing {
            repository: "o/n".to_owned(),
            commit: "ab".repeat(20),
            files: paths
                .iter()
                .map(|path| RemoteFile {
                    path: (*path).to_owned(),
                    size: 1,
                    sha256: None,
                    git_sha1: None,
                })
                .collect(),
        }
    }

    fn chosen(paths: &[&str], split: Option<&str>, subset: Option<&str>) -> Vec<String> {
        let data = HubData {
            at: HubRepository {
                repository: "o/n".to_owned(),
                revision: "main".to_owned(),
            },
            split: split.map(str::to_owned),
            subset: subset.map(str::to_owned),
        };
        let files = of_dataset(&listing(paths), &data);
        files.map_or_else(
            |error| vec![error.to_string()],
            |files| files.into_iter().map(|file| file.path).collect(),
        )
    }

    #[test]
    fn the_train_split_in_the_best_format_is_taken_unless_another_is_named() {
        let stories = [
            "README.md",
            "TinyStories-train.txt",
            "TinyStories-valid.txt",
            "data/train-00000-of-00002.parquet",
            "data/train-00001-of-00002.parquet",
            "data/validation-00000-of-00001.parquet",
        ];
        assert_eq!(
            chosen(&stories, None, None),
            [
                "data/train-00000-of-00002.parquet",
                "data/train-00001-of-00002.parquet"
            ]
        );
        assert_eq!(
            chosen(&stories, Some("validation"), None),
            ["data/validation-00000-of-00001.parquet"]
        );
        assert_eq!(
            chosen(&stories, Some("valid"), None),
            ["TinyStories-valid.txt"]
        );
        assert!(chosen(&stories, Some("test"), None)[0].contains("split test"));
        assert_eq!(
            chosen(
                &["wiki2/train.csv", "wiki103/train.csv"],
                None,
                Some("wiki2")
            ),
            ["wiki2/train.csv"]
        );
        assert_eq!(
            chosen(&["a.jsonl", "b.jsonl"], None, None),
            ["a.jsonl", "b.jsonl"]
        );
        assert_eq!(
            chosen(&["train_small.csv", "train.csv"], None, None),
            ["train.csv"]
        );
        assert_eq!(
            chosen(&["my_train.csv", "test.csv"], None, None),
            ["my_train.csv"]
        );
        assert!(chosen(&["script.py"], None, None)[0].contains("script.py"));
    }
}
