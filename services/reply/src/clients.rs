//! One Bitbucket client per connection, made anew when its token was rotated.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::anyhow;
use bitbucket::Client;
use config::{ConnectionSource, Proxy};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::ConnectionId;
use secrecy::{ExposeSecret, SecretString};

/// Clients by connection.
pub(crate) struct Clients {
    connections: Arc<dyn ConnectionSource>,
    proxy: Proxy,
    made: Mutex<HashMap<ConnectionId, (SecretString, Client)>>,
    /// Connections whose database refused characters beyond U+FFFF.
    three_byte: Mutex<HashSet<ConnectionId>>,
}

impl Clients {
    /// No client is made before it is needed.
    pub(crate) fn new(connections: Arc<dyn ConnectionSource>, proxy: Proxy) -> Self {
        Self {
            connections,
            proxy,
            made: Mutex::default(),
            three_byte: Mutex::default(),
        }
    }

    /// The connection's client with its current token.
    pub(crate) fn of(&self, id: &ConnectionId) -> Result<Client, Failure> {
        let Some(connection) = self.connections.get(id) else {
            let cause = anyhow!("the connection {id} is not configured any more");
            return Err(Failure::abandon(FailureCode::Internal, None, cause));
        };
        // A token that is being rotated may be missing for a moment.
        let token = self
            .connections
            .bot_token(id)
            .map_err(|error| Failure::unavailable(FailureCode::BitbucketUnauthorized, None, error.into()))?;
        let mut made = lock(&self.made);
        if let Some((known, client)) = made.get(id)
            && known.expose_secret() == token.expose_secret()
        {
            return Ok(client.clone());
        }
        let client = Client::new(&connection, token.clone(), &self.proxy)?;
        made.insert(id.clone(), (token, client.clone()));
        Ok(client)
    }

    /// Whether the connection's Bitbucket takes characters beyond U+FFFF, as far as we know.
    pub(crate) fn takes_beyond_bmp(&self, id: &ConnectionId) -> bool {
        !lock(&self.three_byte).contains(id)
    }

    /// Bitbucket refused a text. Whether that may have been for characters that are avoided from now on.
    pub(crate) fn avoid_beyond_bmp(&self, id: &ConnectionId, text: &str) -> bool {
        let suspicious = text.chars().any(|c| c > '\u{ffff}') && lock(&self.three_byte).insert(id.clone());
        if suspicious {
            tracing::info!(connection.id = %id, "characters beyond U+FFFF are avoided: a text with them was refused");
        }
        suspicious
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held; a poisoned map is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
