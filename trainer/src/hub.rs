//! Files of the Hugging Face hub, or of whatever speaks its paths at `HF_ENDPOINT`.
//!
//! The crate hf-hub is not used: its blocking interface neither continues a file that was cut off nor checks hashes, and it keeps
//! files in a cache of its own. Here a file is written beside, continued with `Range` after whatever interrupted it, and has its name
//! only once its SHA-256 (of large files) or git's hash (of small ones) is the one that the hub names.
//!
//! `HF_TOKEN` goes to the endpoint's own host and nowhere else, and is in no message.

mod choose;
mod client;
mod download;
mod error;
mod listing;

pub use client::Hub;
pub use error::HubError;

use download::{download, ensure_room, fetched_bytes};
use listing::{Listing, RemoteFile};
use std::{ops::ControlFlow, path::Path};
use trainmaster_domain::{
    hub::{HubData, HubRepository},
    run::journal::Downloaded,
};

/// Told how far the work is, in percent of all bytes; may end it.
pub type Watch<'a> = dyn FnMut(f64) -> ControlFlow<()> + 'a;

/// The kinds of repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Models,
    Datasets,
}

/// Fetches a model's configuration, tokenizer and safetensors into the directory `to`, where what an earlier attempt left is
/// continued.
///
/// # Errors
/// [`HubError`]
pub fn fetch_model(
    hub: &Hub,
    from: &HubRepository,
    to: &Path,
    watch: &mut Watch<'_>,
) -> Result<Downloaded, HubError> {
    let listing = hub.list(Kind::Models, from)?;
    let mut wanted = choose::of_model(&listing)?;
    if let Some(index) = choose::index(&listing) {
        let index = index.clone();
        fetch(
            hub,
            Kind::Models,
            from,
            &listing,
            std::slice::from_ref(&index),
            to,
            &mut |_| watch(0.0),
        )?;
        wanted.extend(choose::shards(&listing, &to.join(&index.path))?);
        wanted.push(index);
    }
    fetch(hub, Kind::Models, from, &listing, &wanted, to, watch)
}

/// Fetches a dataset's files into the directory `to`, where what an earlier attempt left is continued.
///
/// # Errors
/// [`HubError`]
pub fn fetch_dataset(
    hub: &Hub,
    from: &HubData,
    to: &Path,
    watch: &mut Watch<'_>,
) -> Result<Downloaded, HubError> {
    let listing = hub.list(Kind::Datasets, &from.at)?;
    let wanted = choose::of_dataset(&listing, from)?;
    fetch(hub, Kind::Datasets, &from.at, &listing, &wanted, to, watch)
}

fn fetch(
    hub: &Hub,
    kind: Kind,
    from: &HubRepository,
    listing: &Listing,
    files: &[RemoteFile],
    to: &Path,
    watch: &mut Watch<'_>,
) -> Result<Downloaded, HubError> {
    std::fs::create_dir_all(to).map_err(|source| HubError::Write {
        path: to.to_owned(),
        source,
    })?;
    let all: u64 = files.iter().map(|file| file.size).sum();
    let here: u64 = files.iter().map(|file| fetched_bytes(to, file)).sum();
    ensure_room(to, all.saturating_sub(here))?;
    let mut done = 0;
    for file in files {
        let url = hub.file_url(kind, from, &listing.commit, &file.path);
        download(hub, &url, file, to, &mut |bytes| {
            watch((done + bytes) as f64 / all.max(1) as f64 * 100.0)
        })?;
        done += file.size;
    }
    Ok(Downloaded {
        path: to.to_string_lossy().into_owned(),
        size_bytes: i64::try_from(all).unwrap_or(i64::MAX),
        commit: listing.commit.clone(),
    })
}
