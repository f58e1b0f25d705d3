//! Configuration as operators write it: what loads, what is refused and in which words.

mod documentation;
mod environment;
mod example;
mod roles;
mod secrets;
mod wrong;

use std::path::PathBuf;

use config::{Config, Problems};

/// The least that loads.
const MINIMAL: &str = r#"
data_dir = "/var/lib/openhands-resolver"

[[connection]]
id = "main"
base_url = "https://bitbucket.example.com"
bot_token_file = "/run/secrets/bot-token"
webhook_secret_files = ["/run/secrets/hook"]
repositories = ["PROJ/*"]
"#;

/// A directory with a configuration file in it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).expect("a file in it");
        path
    }

    fn load(&self, text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
        let path = self.write("config.toml", text);
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        config::load_with(&path, variables)
    }

    /// What is printed, with the directory's name taken out.
    fn shown(&self, text: impl ToString) -> String {
        text.to_string()
            .replace(&self.directory.path().display().to_string(), "[dir]")
    }
}

#[test]
fn the_least_configuration_loads_with_the_documented_defaults() {
    let config = Place::new().load(MINIMAL, &[]).unwrap();
    insta::assert_debug_snapshot!(config);
}
