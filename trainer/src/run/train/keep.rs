//! Checkpoints and results as directories: the files of one place, or, of several, a directory for each that is named after its hook.

use super::site::Site;
use crate::autoencoder::{
    checkpoint::{self, State},
    mixing_buffer::Cursor,
};
use crate::run::durable::{self, Contents};
use crate::run::failure::RunError;
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use trainmaster_domain::hyperparameters::HookSite;

/// Which directories a result of several places has.
const INDEX: &str = "index.json";

/// The directory of a place in that of a checkpoint or result.
pub(super) fn part(directory: &Path, sites: &[HookSite], place: &HookSite) -> PathBuf {
    if sites.len() == 1 {
        directory.to_owned()
    } else {
        directory.join(place.name())
    }
}

/// Writes what an exact continuation needs.
pub(super) fn checkpoint(
    path: &Path,
    sites: &[Site],
    step: u64,
    cursor: Cursor,
) -> Result<Contents, RunError> {
    durable::write_directory(path, |directory| {
        each(directory, sites, |directory, site| {
            let state = State {
                step,
                cursor,
                ..site.state.clone()
            };
            Ok(checkpoint::save(directory, &state, &site.training)?)
        })
    })
}

/// Writes the autoencoders as SAELens loads them; of several, with an index.
pub(super) fn result(path: &Path, sites: &[Site]) -> Result<Contents, RunError> {
    durable::write_directory(path, |directory| {
        each(directory, sites, |directory, site| {
            Ok(site.autoencoder()?.save(directory, &site.provenance)?)
        })?;
        if sites.len() > 1 {
            write_index(&directory.join(INDEX), sites)?;
        }
        Ok(())
    })
}

fn each(
    directory: &Path,
    sites: &[Site],
    write: impl Fn(&Path, &Site) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let places: Vec<HookSite> = sites.iter().map(|site| site.place).collect();
    for site in sites {
        let own = part(directory, &places, &site.place);
        if own != directory {
            fs::create_dir(&own).map_err(|error| RunError::of_file(&own, &error))?;
        }
        write(&own, site)?;
        durable::sync_directory(&own).map_err(|error| RunError::of_file(&own, &error))?;
    }
    Ok(())
}

fn write_index(path: &Path, sites: &[Site]) -> Result<(), RunError> {
    let entries: Vec<_> = sites
        .iter()
        .map(|site| {
            json!({
                "layer": site.place.layer,
                "hook": site.place.hook,
                "encoder_type": site.state.encoder_type,
                "directory": site.place.name(),
            })
        })
        .collect();
    let text = format!("{:#}\n", json!({ "autoencoders": entries }));
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| RunError::of_file(path, &error))
}
