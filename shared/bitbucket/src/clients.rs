//! One client per connection, made anew when its token was rotated, so that what is learned and limited is shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use config::{ConnectionSource, Proxy};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::ConnectionId;
use secrecy::{ExposeSecret, SecretString};

use crate::client::Client;

/// The clients of a role. No client is made before it is needed.
pub struct Clients {
    connections: Arc<dyn ConnectionSource>,
    proxy: Proxy,
    made: Mutex<HashMap<ConnectionId, (SecretString, Client)>>,
}

impl Clients {
    /// Clients for these connections, through the environment's proxy where a connection has none of its own.
    pub fn new(connections: Arc<dyn ConnectionSource>, proxy: Proxy) -> Self {
        Self { connections, proxy, made: Mutex::default() }
    }

    /// The connection's client with its current token.
    pub fn of(&self, id: &ConnectionId) -> Result<Client, Failure> {
        let Some(connection) = self.connections.get(id) else {
            let cause = anyhow::anyhow!("the connection {id} is not configured any more");
            return Err(Failure::abandon(FailureCode::Internal, None, cause));
        };
        // A token that is being rotated may be missing for a moment.
        let token = self
            .connections
            .bot_token(id)
            .map_err(|error| Failure::unavailable(FailureCode::BitbucketUnauthorized, None, error.into()))?;
        // Nothing panics while it is held; a poisoned map is still whole.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = made.get(id)
            && known.expose_secret() == token.expose_secret()
        {
            return Ok(client.clone());
        }
        let client = Client::new(&connection, token.clone(), &self.proxy)?;
        made.insert(id.clone(), (token, client.clone()));
        Ok(client)
    }
}
