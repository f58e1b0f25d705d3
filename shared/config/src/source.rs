//! How roles reach connections and secrets: through a trait, so that they need not come from files for ever.

use std::sync::Arc;

use pipeline::ids::ConnectionId;
use secrecy::SecretString;

use crate::connection::Connection;
use crate::secret::{SecretCache, SecretError};
use crate::sections::Config;

/// Connections and their secrets. Secrets are asked for when used, so that a rotated one is used at once.
pub trait ConnectionSource: Send + Sync {
    /// Every connection, in a fixed order.
    fn all(&self) -> Vec<Arc<Connection>>;
    /// The connection with this id.
    fn get(&self, id: &ConnectionId) -> Option<Arc<Connection>>;
    /// The bot's HTTP access token.
    fn bot_token(&self, id: &ConnectionId) -> Result<SecretString, SecretError>;
    /// The secrets a webhook may be signed with: the current one first.
    fn webhook_secrets(&self, id: &ConnectionId) -> Result<Vec<SecretString>, SecretError>;
}

/// Connections from the configuration file, secrets from the files it names. A secret is read again when its file
/// changes.
pub struct FileConnections {
    connections: Vec<Arc<Connection>>,
    secrets: SecretCache,
}

impl FileConnections {
    /// Takes the connections; opens no file yet.
    pub fn new(config: &Config) -> Self {
        let connections = config.connections.iter().cloned().map(Arc::new).collect();
        Self {
            connections,
            secrets: SecretCache::default(),
        }
    }

    fn find(&self, id: &ConnectionId) -> Result<&Arc<Connection>, SecretError> {
        let found = self.connections.iter().find(|connection| connection.id == *id);
        found.ok_or_else(|| SecretError::UnknownConnection { id: id.to_string() })
    }
}

impl ConnectionSource for FileConnections {
    fn all(&self) -> Vec<Arc<Connection>> {
        self.connections.clone()
    }

    fn get(&self, id: &ConnectionId) -> Option<Arc<Connection>> {
        self.find(id).ok().cloned()
    }

    fn bot_token(&self, id: &ConnectionId) -> Result<SecretString, SecretError> {
        self.secrets.line(&self.find(id)?.bot_token_file)
    }

    fn webhook_secrets(&self, id: &ConnectionId) -> Result<Vec<SecretString>, SecretError> {
        self.find(id)?
            .webhook_secret_files
            .iter()
            .map(|path| self.secrets.line(path))
            .collect()
    }
}
