//! The same work for many files on a few threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::filter::Filter;

/// More threads than this wait for the file system, not for the processor.
const THREADS_MAX: usize = 8;
/// Items a thread takes at a time, so that neighbours in a pack stay with one thread's cache.
const CHUNK: usize = 32;

/// What a thread has of its own.
pub(crate) struct Worker<'repo> {
    pub(crate) objects: &'repo gix::OdbHandle,
    /// Conversion by attributes, where there are any.
    pub(crate) filter: Option<Filter<'repo>>,
    /// For the object being read.
    pub(crate) buffer: Vec<u8>,
}

/// Runs `each` for every item. The first error ends all threads and is returned; so does `stop`. With `attributes`
/// (a tree), every worker has the filter of that tree.
pub(crate) fn for_each<T: Sync>(
    repo: &gix::Repository,
    attributes: Option<gix::ObjectId>,
    items: &[T],
    stop: &AtomicBool,
    each: impl Fn(&mut Worker<'_>, &T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let shared = repo.clone().into_sync();
    let work = || {
        let repo = shared.to_thread_local();
        let filter = attributes.map(|tree| Filter::new(&repo, tree)).transpose()?;
        let mut worker = Worker {
            objects: &repo.objects,
            filter,
            buffer: Vec::new(),
        };
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            if start >= items.len() {
                return Ok(());
            }
            for item in &items[start..items.len().min(start + CHUNK)] {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Stopped);
                }
                each(&mut worker, item)?;
            }
        }
    };
    let threads = available().min(THREADS_MAX).min(items.len().div_ceil(CHUNK));
    if threads <= 1 {
        return work();
    }
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                if let Err(error) = work() {
                    next.store(items.len(), Ordering::Relaxed);
                    failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(error);
                }
            });
        }
    });
    failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

/// Threads this machine has for us.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
