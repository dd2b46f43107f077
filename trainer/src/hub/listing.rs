//! The list of a repository's files: `GET /api/<kind>/<repository>/revision/<revision>?blobs=true`.

use serde::Deserialize;

/// A repository at a commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub repository: String,
    pub commit: String,
    pub files: Vec<RemoteFile>,
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Relative, with slashes; leads nowhere else.
    pub path: String,
    pub size: u64,
    /// Of large files, lower-case hex.
    pub sha256: Option<String>,
    /// Git's hash of a blob, lower-case hex.
    pub git_sha1: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default, rename = "blobId")]
    blob_id: Option<String>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    #[serde(default)]
    size: Option<u64>,
}

impl Listing {
    /// Reads the hub's answer, or says what about it is not understood.
    pub fn parse(repository: &str, text: &str) -> Result<Self, String> {
        let answer: Answer = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !is_hex(&answer.sha, 40) && !is_hex(&answer.sha, 64) {
            return Err(format!("{:?} is not a commit", answer.sha));
        }
        let files = answer.siblings.into_iter().map(|sibling| {
            let path = sibling.rfilename;
            if !is_safe(&path) {
                return Err(format!("{path:?} is not a file's path"));
            }
            let of_lfs = sibling.lfs.as_ref().and_then(|lfs| lfs.size);
            Ok(RemoteFile {
                size: of_lfs
                    .or(sibling.size)
                    .ok_or_else(|| format!("the size of {path} is not said"))?,
                sha256: sibling
                    .lfs
                    .map(|lfs| lfs.sha256.to_lowercase())
                    .filter(|hash| is_hex(hash, 64)),
                git_sha1: sibling.blob_id.filter(|hash| is_hex(hash, 40)),
                path,
            })
        });
        Ok(Self {
            repository: repository.to_owned(),
            commit: answer.sha,
            files: files.collect::<Result<_, _>>()?,
        })
    }

    /// The file of this path.
    pub fn file(&self, path: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Some of the paths, for people.
    pub fn some(&self) -> Vec<String> {
        let mut some: Vec<String> = self.files.iter().take(12).map(|f| f.path.clone()).collect();
        if self.files.len() > some.len() {
            some.push(format!("{} more", self.files.len() - some.len()));
        }
        some
    }
}

pub(super) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_safe(path: &str) -> bool {
    path.len() <= 900
        && !path.contains(['\\', '\0'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && part.len() <= 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\b"] {
            let text = serde_json::json!({
                "sha": "ab".repeat(20), "siblings": [{ "rfilename": path, "size": 1 }],
            });
            assert!(Listing::parse("a/b", &text.to_string()).is_err(), "{path}");
        }
    }
}
