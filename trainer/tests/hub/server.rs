//! A small hub: lists of files, files, and a storage of its own (another port) that large files are sent on to.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Clone)]
struct File {
    content: Vec<u8>,
    is_large: bool,
    claimed_size: Option<u64>,
}

/// What somebody asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub range: Option<String>,
    pub token: Option<String>,
    pub is_storage: bool,
}

#[derive(Clone, Default)]
struct Shared {
    /// By `models/<repository>` or `datasets/<repository>`, then by path.
    repositories: BTreeMap<String, BTreeMap<String, File>>,
    cut_after: Option<usize>,
    altered: Option<String>,
    token: Option<String>,
    is_silent: bool,
    storage_port: u16,
    asked: Vec<Asked>,
}

#[derive(Clone)]
pub struct Server {
    shared: Arc<Mutex<Shared>>,
    port: u16,
}

impl Server {
    pub fn new() -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let port = listen(Arc::clone(&shared), false);
        let storage_port = listen(Arc::clone(&shared), true);
        shared.lock().unwrap().storage_port = storage_port;
        Self { shared, port }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.lock().unwrap().asked.clone()
    }

    pub fn file(self, repository: &str, path: &str, content: &[u8]) -> Self {
        self.add(repository, path, content, false)
    }

    pub fn large(self, repository: &str, path: &str, content: &[u8]) -> Self {
        self.add(repository, path, content, true)
    }

    pub fn claiming(self, path: &str, size: u64) -> Self {
        for files in self.shared.lock().unwrap().repositories.values_mut() {
            if let Some(file) = files.get_mut(path) {
                file.claimed_size = Some(size);
            }
        }
        self
    }

    /// Every answer with a file ends after so many bytes.
    pub fn cutting_after(self, bytes: usize) -> Self {
        self.shared.lock().unwrap().cut_after = Some(bytes);
        self
    }

    /// One byte of this file is another than the hashes say.
    pub fn altering(self, path: &str) -> Self {
        self.shared.lock().unwrap().altered = Some(path.to_owned());
        self
    }

    pub fn sound(self) -> Self {
        self.shared.lock().unwrap().altered = None;
        self
    }

    pub fn private(self, token: &str) -> Self {
        self.shared.lock().unwrap().token = Some(token.to_owned());
        self
    }

    pub fn without_hashes_in_the_list(self) -> Self {
        self.shared.lock().unwrap().is_silent = true;
        self
    }

    fn add(self, repository: &str, path: &str, content: &[u8], is_large: bool) -> Self {
        let file = File {
            content: content.to_vec(),
            is_large,
            claimed_size: None,
        };
        self.shared
            .lock()
            .unwrap()
            .repositories
            .entry(repository.to_owned())
            .or_default()
            .insert(path.to_owned(), file);
        self
    }
}

fn listen(shared: Arc<Mutex<Shared>>, is_storage: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || serve(stream, &shared, is_storage));
        }
    });
    port
}

/// One request a connection.
fn serve(mut stream: TcpStream, shared: &Mutex<Shared>, is_storage: bool) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = lines
        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let token = headers
        .get("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::to_owned);
    let shared = {
        let mut all = shared.lock().unwrap();
        all.asked.push(Asked {
            range: headers.get("range").cloned(),
            token: token.clone(),
            is_storage,
        });
        all.clone()
    };
    let answer = if is_storage {
        shared.content(path.trim_start_matches('/'), headers.get("range"))
    } else if shared.token.is_some() && shared.token != token {
        Answer::plain("401 Unauthorized", b"no")
    } else if let Some(rest) = path.strip_prefix("/api/") {
        shared.list(rest)
    } else {
        shared.resolve(&path, headers.get("range"))
    };
    answer.write(&mut stream, shared.cut_after);
}

struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn plain(status: &'static str, body: &[u8]) -> Self {
        Self {
            status,
            headers: vec![],
            body: body.to_vec(),
        }
    }

    fn write(self, stream: &mut TcpStream, cut_after: Option<usize>) {
        let mut head = format!(
            "HTTP/1.1 {}\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let most = cut_after.unwrap_or(usize::MAX).min(self.body.len());
        // Whoever has hung up does not want the rest.
        let _ = stream
            .write_all((head + "\r\n").as_bytes())
            .and_then(|()| stream.write_all(&self.body[..most]));
    }
}

impl Shared {
    fn list(&self, path: &str) -> Answer {
        let (repository, _) = path.split_once("/revision/").unwrap();
        let Some(files) = self.repositories.get(repository) else {
            return Answer::plain("404 Not Found", b"{}");
        };
        let siblings: Vec<_> = files
            .iter()
            .map(|(path, file)| {
                let size = file.claimed_size.unwrap_or(file.content.len() as u64);
                let mut sibling = serde_json::json!({ "rfilename": path, "size": size });
                if !self.is_silent {
                    sibling["blobId"] = git_hash(&file.content).into();
                    if file.is_large {
                        sibling["lfs"] =
                            serde_json::json!({ "sha256": sha256(&file.content), "size": size });
                    }
                }
                sibling
            })
            .collect();
        let body = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
        Answer::plain("200 OK", body.to_string().as_bytes())
    }

    fn resolve(&self, path: &str, range: Option<&String>) -> Answer {
        let (repository, file) = path.split_once("/resolve/").unwrap();
        let repository = match repository.strip_prefix("/datasets/") {
            Some(name) => format!("datasets/{name}"),
            None => format!("models{repository}"),
        };
        let Some(name) = file.strip_prefix(&format!("{COMMIT}/")) else {
            return Answer::plain("404 Not Found", b"");
        };
        let Some(found) = self.repositories.get(&repository).and_then(|f| f.get(name)) else {
            return Answer::plain("404 Not Found", b"");
        };
        if !found.is_large {
            let mut answer = self.content(&format!("{repository}/{name}"), range);
            let tag = format!("\"{}\"", git_hash(&found.content));
            answer.headers.push(("etag", tag));
            return answer;
        }
        Answer {
            status: "302 Found",
            headers: vec![
                (
                    "location",
                    format!("http://127.0.0.1:{}/{repository}/{name}", self.storage_port),
                ),
                ("x-linked-etag", format!("\"{}\"", sha256(&found.content))),
                ("x-linked-size", found.content.len().to_string()),
            ],
            body: vec![],
        }
    }

    fn content(&self, path: &str, range: Option<&String>) -> Answer {
        let parts: Vec<&str> = path.splitn(4, '/').collect();
        let (repository, name) = (parts[..3].join("/"), parts[3]);
        let mut content = self.repositories[&repository][name].content.clone();
        if self.altered.as_deref() == Some(name) {
            content[0] ^= 1;
        }
        let Some(from) = range.and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .trim_end_matches('-')
                .parse::<usize>()
                .ok()
        }) else {
            return Answer::plain("200 OK", &content);
        };
        let last = content.len() - 1;
        let mut answer = Answer::plain("206 Partial Content", &content[from..]);
        let told = format!("bytes {from}-{last}/{}", content.len());
        answer.headers.push(("content-range", told));
        answer
    }
}

fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

fn git_hash(content: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", content.len()));
    hasher.update(content);
    format!("{:x}", hasher.finalize())
}
