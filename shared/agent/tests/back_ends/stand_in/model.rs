//! One question to the model, over plain HTTP.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

/// Where the model is said to be.
#[derive(Clone)]
pub(crate) struct Model {
    address: String,
    key: String,
    name: String,
}

impl Model {
    pub(crate) fn new(base_url: &str, key: &str, name: &str) -> Self {
        Self {
            address: base_url.trim_start_matches("http://").to_owned(),
            key: key.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The same model, somewhere else.
    pub(crate) fn at(&self, base_url: &str, key: &str) -> Self {
        Self::new(base_url, key, &self.name)
    }

    /// Asks it something; returns the status of its answer.
    pub(crate) fn ask(&self, text: &str) -> io::Result<u16> {
        let body = json!({"model": self.name, "messages": [{"role": "user", "content": text}]}).to_string();
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::other("no HTTP answer"))
    }
}
