//! Stands between the daemon and Postgres and cuts, stalls and delays what they say to each other.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// The name that clients of Postgres look for in a directory.
const SOCKET: &str = ".s.PGSQL.5432";

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    directory: PathBuf,
    wire: Arc<Wire>,
    task: JoinHandle<()>,
}

/// What is wrong with the wire.
#[derive(Debug)]
struct Wire {
    /// Bytes until the next cut.
    fuse: Mutex<Option<Fuse>>,
    delay_ms: AtomicU64,
    stalled: watch::Sender<bool>,
    /// Connections that began before the latest cut of all are cut.
    cut: watch::Sender<u64>,
    cuts: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Fuse {
    bytes: usize,
    all: bool,
}

impl Proxy {
    /// Listens in `directory`, and leads to the server whose socket is in `server`.
    pub(super) fn start(directory: &Path, server: &Path) -> std::io::Result<Self> {
        let listener = UnixListener::bind(directory.join(SOCKET))?;
        let server = server.join(SOCKET);
        let wire = Arc::new(Wire {
            fuse: Mutex::new(None),
            delay_ms: AtomicU64::new(0),
            stalled: watch::channel(false).0,
            cut: watch::channel(0).0,
            cuts: AtomicU64::new(0),
        });
        let task = {
            let wire = Arc::clone(&wire);
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, server.clone(), Arc::clone(&wire)));
                }
            })
        };
        Ok(Self {
            directory: directory.to_owned(),
            wire,
            task,
        })
    }

    /// The directory of its socket.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// After so many more bytes, in whatever direction, the connection that carries the last of them is cut there; or all are.
    pub(super) fn cut_after(&self, bytes: usize, all: bool) {
        *self.wire.fuse() = Some(Fuse { bytes, all });
    }

    /// Nothing gets through any more, or all of it again.
    pub(super) fn stall(&self, stalled: bool) {
        self.wire.stalled.send_replace(stalled);
    }

    /// Whatever is said arrives so much later.
    pub(super) fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.wire.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// Is as if it were not there.
    pub(super) fn heal(&self) {
        *self.wire.fuse() = None;
        self.delay(Duration::ZERO);
        self.stall(false);
    }

    /// Connections that it has cut.
    pub(super) fn cuts(&self) -> u64 {
        self.wire.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    fn fuse(&self) -> std::sync::MutexGuard<'_, Option<Fuse>> {
        self.fuse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of so many bytes still get through; fewer than all: the wire is cut there.
    fn pass(&self, bytes: usize) -> usize {
        let mut fuse = self.fuse();
        let Some(burning) = &mut *fuse else {
            return bytes;
        };
        if bytes <= burning.bytes {
            burning.bytes -= bytes;
            return bytes;
        }
        let Fuse { bytes, all } = *burning;
        *fuse = None;
        if all {
            self.cut.send_modify(|generation| *generation += 1);
        }
        bytes
    }
}

async fn serve(client: UnixStream, server: PathBuf, wire: Arc<Wire>) {
    let mut cut = wire.cut.subscribe();
    cut.mark_unchanged();
    let Ok(server) = UnixStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // The first that ends takes the other with it: a connection is cut in both directions.
    let was_cut = tokio::select! {
        was_cut = pump(from_client, to_server, &wire) => was_cut,
        was_cut = pump(from_server, to_client, &wire) => was_cut,
        _ = cut.changed() => true,
    };
    if was_cut {
        wire.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether it ended because it was cut.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, wire: &Wire) -> bool {
    let mut buffer = vec![0; 16 << 10];
    let mut stalled = wire.stalled.subscribe();
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return false;
        };
        let delay = wire.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if stalled.wait_for(|stalled| !stalled).await.is_err() {
            return false;
        }
        let passed = wire.pass(read);
        if to.write_all(&buffer[..passed]).await.is_err() {
            return false;
        }
        if passed < read {
            return true;
        }
    }
}
