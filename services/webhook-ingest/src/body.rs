//! Reading a body that nobody has vouched for: up to a limit, within a time, within the memory set aside for it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Answer;
use crate::signature::RawBody;

/// From the end of the headers to the end of the body; Bitbucket sends its 5 KiB at once.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Memory for bodies being read, all connections together: far more than honest traffic needs (5 KiB each), and a
/// bound on what unsigned traffic can take. The process grows by up to twice as much: an allocator keeps what it had.
const ROOM_BYTES: usize = 32 * 1024 * 1024;

/// However large the limit of one body, some fit at once.
const BODIES_AT_ONCE_MIN: usize = 4;

/// Room is counted in this unit.
const UNIT_BYTES: usize = 1024;

/// Memory for bodies.
#[derive(Clone)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
    body_bytes_max: usize,
}

impl Room {
    pub(crate) fn new(body_bytes_max: usize) -> Self {
        let bytes = ROOM_BYTES.max(body_bytes_max.saturating_mul(BODIES_AT_ONCE_MIN));
        Self {
            units: Arc::new(Semaphore::new(bytes / UNIT_BYTES)),
            body_bytes_max,
        }
    }

    /// Reads a body. `TooLarge` as soon as it is known to be over the limit: by its `Content-Length` before a byte is
    /// read, else at the first byte beyond.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<RawBody, Answer> {
        let declared = declared_length(headers);
        if declared.is_some_and(|length| length > self.body_bytes_max as u64) {
            return Err(Answer::TooLarge);
        }
        let declared = declared
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(0);
        tokio::time::timeout(BODY_TIMEOUT, self.collect(declared, body))
            .await
            .unwrap_or(Err(Answer::TooSlow))
    }

    async fn collect(&self, declared: usize, mut body: Body) -> Result<RawBody, Answer> {
        let mut taken = self.take(declared.max(UNIT_BYTES)).await?;
        let mut bytes = Vec::with_capacity(declared);
        while let Some(frame) = body.frame().await {
            // A body that breaks off is answered all the same; usually nobody listens any more.
            let frame = frame.map_err(|_| Answer::Broken)?;
            let Ok(chunk) = frame.into_data() else { continue };
            let length = bytes.len() + chunk.len();
            if length > self.body_bytes_max {
                return Err(Answer::TooLarge);
            }
            if length > bytes.capacity() {
                // Room for what is reserved, which is more than what is used: doubled, so that growing costs little.
                let capacity = length.max(2 * bytes.capacity()).min(self.body_bytes_max);
                let had = taken.num_permits() * UNIT_BYTES;
                taken.merge(self.take(capacity.saturating_sub(had)).await?);
                bytes.reserve_exact(capacity - bytes.len());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(RawBody::new(Bytes::from(bytes), taken))
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Answer> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).map_err(|_| Answer::TooLarge)?;
        // Closed never; waiting is within the body's time-out.
        self.units
            .clone()
            .acquire_many_owned(units)
            .await
            .map_err(|_| Answer::Unavailable)
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const LIMIT: usize = 32 * 1024 * 1024;

    /// Headers that declare a body of the largest size.
    fn largest() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_LENGTH, LIMIT.into())])
    }

    #[tokio::test]
    async fn bodies_wait_for_memory_until_others_are_done_with_theirs() {
        let room = Room::new(LIMIT);
        let mut bodies = Vec::new();
        for _ in 0..BODIES_AT_ONCE_MIN {
            bodies.push(room.read(&largest(), Body::from("x")).await.ok().unwrap());
        }
        let headers = HeaderMap::new();
        let mut next = pin!(room.read(&headers, Body::from("x")));
        let mut looked = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut looked).is_pending());
        bodies.pop();
        assert!(matches!(next.as_mut().poll(&mut looked), Poll::Ready(Ok(_))));
    }

    #[tokio::test]
    async fn a_body_without_a_length_takes_what_it_needs_and_gives_it_back() {
        let room = Room::new(LIMIT);
        let all = room.units.available_permits();
        let body = room
            .read(&HeaderMap::new(), Body::from(vec![b'x'; 5000]))
            .await
            .ok()
            .unwrap();
        assert_eq!(all - room.units.available_permits(), 5);
        drop(body);
        assert_eq!(room.units.available_permits(), all);
    }

    #[tokio::test]
    async fn a_declared_length_is_no_way_around_the_limit() {
        let room = Room::new(2000);
        let short = HeaderMap::from_iter([(CONTENT_LENGTH, 5.into())]);
        let answer = room.read(&short, Body::from(vec![b'x'; 2001])).await.err();
        assert_eq!(answer, Some(Answer::TooLarge));
    }
}
