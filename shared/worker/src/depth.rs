//! How much a stream holds.

use crate::{Error, Nats};

impl Nats {
    /// Messages in `stream`, asked of its leader.
    pub async fn stream_messages(&self, stream: &str) -> Result<u64, Error> {
        let handle = self.jetstream().get_stream(stream).await.map_err(|error| Error::unavailable(stream, error))?;
        Ok(handle.cached_info().state.messages)
    }
}
