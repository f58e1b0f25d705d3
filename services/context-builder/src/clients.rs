//! One Bitbucket client for each connection, made anew when the bot's token was rotated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bitbucket::Client;
use config::{Connection, ConnectionSource, Proxy};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::ConnectionId;
use secrecy::{ExposeSecret, SecretString};

/// Clients by connection.
pub(crate) struct Clients {
    connections: Arc<dyn ConnectionSource>,
    proxy: Proxy,
    made: Mutex<HashMap<ConnectionId, (SecretString, Client)>>,
}

impl Clients {
    pub(crate) fn new(connections: Arc<dyn ConnectionSource>, proxy: Proxy) -> Self {
        Self {
            connections,
            proxy,
            made: Mutex::default(),
        }
    }

    /// The connection and a client with its bot's current token.
    pub(crate) fn of(&self, id: &ConnectionId) -> Result<(Arc<Connection>, Client), Failure> {
        let connection = self.connections.get(id).ok_or_else(|| {
            let cause = anyhow::anyhow!("connection {id} is no longer configured");
            Failure::abandon(FailureCode::Internal, None, cause)
        })?;
        // A missing or empty file may be a rotation in progress.
        let token = self
            .connections
            .bot_token(id)
            .map_err(|cause| Failure::unavailable(FailureCode::BitbucketUnauthorized, None, cause.into()))?;
        // A panic cannot happen while it is held: a poisoned map is whole.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((used, client)) = made.get(id)
            && used.expose_secret() == token.expose_secret()
        {
            return Ok((connection, client.clone()));
        }
        let client = Client::new(&connection, token.clone(), &self.proxy)?;
        made.insert(id.clone(), (token, client.clone()));
        Ok((connection, client))
    }
}
