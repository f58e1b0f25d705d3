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
        Self {
            connections,
            proxy,
            made: Mutex::default(),
        }
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

    /// Asks Bitbucket now whether the connection can be used. The sentence says why not, without the token.
    pub async fn check(&self, id: &ConnectionId) -> Result<(), String> {
        let client = self.of(id).map_err(|failure| match failure {
            Failure::Retry { cause, .. } | Failure::Abandon { cause, .. } => format!("{cause:#}"),
            Failure::Refuse { report } => report.code.sentence().to_owned(),
        })?;
        client.check().await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use config::{Config, FileConnections};

    use super::*;

    /// One connection whose token is in a file of `directory`.
    fn configured(directory: &std::path::Path) -> Config {
        for name in ["token", "hook"] {
            std::fs::write(directory.join(name), "first").unwrap();
        }
        let path = directory.join("config.toml");
        let shown = directory.display();
        let text = format!(
            "data_dir = \"{shown}\"\n[sandbox]\nmode = \"off\"\n[llm]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
             [[model]]\nalias = \"default\"\nmodel = \"m\"\n\
             [[connection]]\nid = \"main\"\nbase_url = \"http://127.0.0.1:1\"\nbot_token_file = \"{shown}/token\"\n\
             webhook_secret_files = [\"{shown}/hook\"]\nrepositories = [\"PROJ/*\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        config::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn a_client_is_kept_until_its_token_is_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let config = configured(directory.path());
        let clients = Clients::new(Arc::new(FileConnections::new(&config)), Proxy::default());
        let id = ConnectionId::new("main").unwrap();
        let first = clients.of(&id).unwrap();
        assert!(Arc::ptr_eq(&first.inner, &clients.of(&id).unwrap().inner));
        let mut file = std::fs::File::create(directory.path().join("token")).unwrap();
        file.write_all(b"second, longer").unwrap();
        drop(file);
        assert!(!Arc::ptr_eq(&first.inner, &clients.of(&id).unwrap().inner));
    }

    #[test]
    fn a_connection_that_is_not_configured_has_no_client() {
        let directory = tempfile::tempdir().unwrap();
        let clients = Clients::new(
            Arc::new(FileConnections::new(&configured(directory.path()))),
            Proxy::default(),
        );
        let failure = clients.of(&ConnectionId::new("other").unwrap()).unwrap_err();
        assert_eq!(failure.code(), FailureCode::Internal);
    }
}
