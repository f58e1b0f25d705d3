//! The mirror cache: one bare repository per (instance, repository) below the data directory, locked while in use,
//! made anew when damaged, the least recently used removed first.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backon::{BlockingRetryable, ConstantBuilder};
use pipeline::ids::{InstanceId, RepositoryId};
use rustix::fs::{FlockOperation, flock};

use crate::error::Error;
use crate::mirror::{GixMirror, Mirror, pack_directory};
use crate::remote::Clients;

/// How often a lock that someone else has is tried, and how many times: 2 minutes, more than a fetch of a large
/// repository takes, less than a person wants to wait in silence.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const LOCK_TRIES: usize = 6_000;
/// Each fetch adds a pack, and every pack makes every lookup slower. Beyond this many a mirror is made anew, which is
/// one shallow fetch and cheaper than repacking.
const PACKS_MAX: usize = 400;
/// Our own commits are written as loose objects; the same reasoning, by directory.
const LOOSE_DIRECTORY_FILES_MAX: usize = 200;
/// In a mirror while it is in use; found by the next user, it means that this one died.
const IN_USE: &str = "in-use";
/// In a mirror in which something was found damaged.
const DAMAGED: &str = "damaged";

/// How much is kept, and what a server may ask of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of all mirrors together; a new one makes room for itself.
    pub bytes: u64,
    /// A mirror that was not used for so long is removed.
    pub age: Duration,
    /// Bytes a server may send for one fetch.
    pub fetch_bytes: u64,
    /// How long a server may say nothing: before its answer, and between any two pieces of it.
    pub silence: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            bytes: 20 * GIB,
            age: Duration::from_hours(30 * 24),
            fetch_bytes: 8 * GIB,
            // git servers give a sign of life every 5 s while they pack or run hooks, but Bitbucket's throttling holds
            // a request back for longer than that.
            silence: Duration::from_mins(2),
        }
    }
}

/// All mirrors of one data directory. Cheap to share; several processes may use one directory.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    limits: CacheLimits,
    clients: Arc<Clients>,
}

impl Cache {
    /// The cache in `<data_dir>/mirrors`; nothing is touched before the first mirror is asked for.
    pub fn new(data_dir: &Path, limits: CacheLimits) -> Self {
        Self {
            directory: data_dir.join("mirrors"),
            clients: Arc::new(Clients::new(limits.silence)),
            limits,
        }
    }

    /// The repository's mirror, locked until it is dropped; an empty one where there was none or it was damaged.
    /// Waits for the lock, at most two minutes ([`Error::Busy`]).
    pub fn mirror(&self, instance: &InstanceId, repository: RepositoryId) -> Result<Box<dyn Mirror>, Error> {
        let directory = self.directory.join(instance.as_str());
        fs::create_dir_all(&directory).map_err(Error::io("creating the mirror directory"))?;
        let directory = directory.join(format!("{repository}.git"));
        let lock = MirrorLock::wait(directory)?;
        let repo = open(&lock)?;
        if repo.1 {
            // A mirror is added: the moment when others may have to go. A failure here is tomorrow's problem.
            if let Err(error) = self.evict() {
                tracing::warn!(%error, "old mirrors could not be removed");
            }
        }
        Ok(Box::new(GixMirror {
            repo: repo.0,
            clients: self.clients.clone(),
            fetch_bytes_max: self.limits.fetch_bytes,
            lock,
        }))
    }

    /// Removes mirrors that are too old, then the least recently used until the rest fits. Never one in use.
    /// Returns how many were removed.
    pub fn evict(&self) -> Result<usize, Error> {
        let mut mirrors = list(&self.directory).map_err(Error::io("listing mirrors"))?;
        mirrors.sort_by_key(|mirror| mirror.used);
        let mut total: u64 = mirrors.iter().map(|mirror| mirror.bytes).sum();
        let mut removed = 0;
        for mirror in mirrors {
            let expired = mirror.used.elapsed().is_ok_and(|age| age > self.limits.age);
            if !expired && total <= self.limits.bytes {
                continue;
            }
            if let Some(lock) = MirrorLock::try_now(mirror.directory)? {
                fs::remove_dir_all(&lock.directory).map_err(Error::io("removing a mirror"))?;
                tracing::info!(mirror = %lock.directory.display(), bytes = mirror.bytes, "removed an old mirror");
                total = total.saturating_sub(mirror.bytes);
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// The exclusive right to a mirror's directory: `flock` on a file beside it, which the kernel gives back when we die.
#[derive(Debug)]
pub(crate) struct MirrorLock {
    directory: PathBuf,
    file: File,
}

impl MirrorLock {
    fn wait(directory: PathBuf) -> Result<Self, Error> {
        let pause = ConstantBuilder::default()
            .with_delay(LOCK_PAUSE)
            .with_max_times(LOCK_TRIES);
        let attempt = || match Self::try_now(directory.clone()) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(Error::Busy),
            Err(error) => Err(error),
        };
        attempt
            .retry(pause)
            .when(|error| matches!(error, Error::Busy))
            .call()
    }

    fn try_now(directory: PathBuf) -> Result<Option<Self>, Error> {
        let path = directory.with_extension("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io(format!("opening {}", path.display())))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { directory, file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::io(format!("locking {}", path.display()))(error.into())),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Marks the mirror as damaged, for its next user.
    pub(crate) fn condemn(&self) {
        if let Err(error) = fs::write(self.directory.join(DAMAGED), b"") {
            tracing::warn!(mirror = %self.directory.display(), %error, "a damaged mirror could not be marked");
        }
    }
}

impl Drop for MirrorLock {
    fn drop(&mut self) {
        match fs::remove_file(self.directory.join(IN_USE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(mirror = %self.directory.display(), %error, "a mirror could not be marked unused");
            }
            _ => {}
        }
        // Closing the file gives the lock back as well; this one cannot be forgotten by a duplicated descriptor.
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(mirror = %self.directory.display(), %error, "a mirror's lock could not be given back");
        }
    }
}

/// Opens the mirror, or makes it, and says whether it was made.
fn open(lock: &MirrorLock) -> Result<(gix::Repository, bool), Error> {
    let found = lock.directory.exists();
    if found && let Some(why) = unfit(lock) {
        tracing::info!(mirror = %lock.directory.display(), why, "a mirror is made anew");
        fs::remove_dir_all(&lock.directory).map_err(Error::io("removing a mirror"))?;
    }
    let mut made = false;
    if !lock.directory.exists() {
        made = true;
        gix::ThreadSafeRepository::init_opts(
            &lock.directory,
            gix::create::Kind::Bare,
            gix::create::Options::default(),
            open_options(),
        )
        .map_err(Error::damaged)?;
    }
    fs::write(lock.directory.join(IN_USE), std::process::id().to_string())
        .map_err(Error::io("marking a mirror as used"))?;
    lock.file
        .set_modified(SystemTime::now())
        .map_err(Error::io("noting when a mirror was used"))?;
    let mut repo = gix::open_opts(&lock.directory, open_options()).map_err(Error::damaged)?;
    repo.object_cache_size(None);
    Ok((repo, made))
}

/// The mirror's own configuration and nothing else: no system, user or environment configuration, no hooks, no
/// filters, no credential helpers.
pub(crate) fn open_options() -> gix::open::Options {
    gix::open::Options::isolated()
        .strict_config(true)
        .config_overrides(["gc.auto=0", "core.logAllRefUpdates=false", "core.fsync=none"])
}

/// Why a mirror that exists cannot be used. After a crash stale locks and half-written packs are cleared first.
fn unfit(lock: &MirrorLock) -> Option<String> {
    let directory = &lock.directory;
    if directory.join(DAMAGED).exists() {
        return Some("it was found damaged".to_owned());
    }
    let repo = match gix::open_opts(directory, open_options()) {
        Ok(repo) => repo,
        Err(error) => return Some(format!("it does not open: {error}")),
    };
    if directory.join(IN_USE).exists()
        && let Err(error) = recover(&repo)
    {
        return Some(format!("its last user died: {error:#}"));
    }
    let packs = fs::read_dir(pack_directory(&repo))
        .map(Iterator::count)
        .unwrap_or_default()
        / 2;
    let loose = fs::read_dir(repo.objects.store_ref().path().join("17"))
        .map(Iterator::count)
        .unwrap_or_default();
    if packs > PACKS_MAX || loose > LOOSE_DIRECTORY_FILES_MAX {
        return Some(format!(
            "it has {packs} packs and about {} loose objects",
            loose * 256
        ));
    }
    None
}

/// What a crash may have left: locks nobody holds any more (ours is the only process here), temporary packs, packs
/// that are cut short, refs to what is not there.
fn recover(repo: &gix::Repository) -> anyhow::Result<()> {
    remove_stale(repo.git_dir(), 0)?;
    for entry in fs::read_dir(pack_directory(repo))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            let bundle = gix_pack::Bundle::at(&path, gix::hash::Kind::Sha1)?;
            anyhow::ensure!(
                bundle.pack.checksum() == bundle.index.pack_checksum(),
                "{} does not belong to its index",
                path.display()
            );
        }
    }
    for reference in repo.references()?.all()? {
        let mut reference = reference.map_err(|error| anyhow::anyhow!("a ref cannot be read: {error}"))?;
        reference.peel_to_id()?.object()?.try_into_commit()?.tree()?;
    }
    Ok(())
}

fn remove_stale(directory: &Path, depth: usize) -> io::Result<()> {
    // objects/xx, objects/pack and refs/tips are all there is.
    const DEPTH_MAX: usize = 3;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if depth < DEPTH_MAX {
                remove_stale(&entry.path(), depth + 1)?;
            }
        } else if name.ends_with(".lock") || name.ends_with(".keep") || name.starts_with(".tmp") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

struct Listed {
    directory: PathBuf,
    used: SystemTime,
    bytes: u64,
}

fn list(directory: &Path) -> io::Result<Vec<Listed>> {
    let mut mirrors = Vec::new();
    for instance in fs::read_dir(directory)? {
        let instance = instance?;
        if !instance.file_type()?.is_dir() {
            continue;
        }
        for entry in fs::read_dir(instance.path())? {
            let directory = entry?.path();
            if directory.extension().is_some_and(|extension| extension == "git") {
                let used = fs::metadata(directory.with_extension("lock")).and_then(|lock| lock.modified());
                let bytes = bytes_of(&directory)?;
                mirrors.push(Listed {
                    directory,
                    used: used.unwrap_or(SystemTime::UNIX_EPOCH),
                    bytes,
                });
            }
        }
    }
    Ok(mirrors)
}

/// Bytes below a mirror. A file that goes away meanwhile counts nothing.
fn bytes_of(directory: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => total += bytes_of(&entry.path()).unwrap_or_default(),
            Ok(metadata) => total += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
