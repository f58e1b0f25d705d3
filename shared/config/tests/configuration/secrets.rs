//! Secrets at run time: read when used, read again when rotated, never shown.

use config::{ConnectionSource, FileConnections, SecretError};
use pipeline::ids::ConnectionId;
use secrecy::ExposeSecret;

use crate::Place;

fn connections(place: &Place) -> FileConnections {
    let text = format!(
        "data_dir = \"/d\"\n[[connection]]\nid = \"main\"\nbase_url = \"http://localhost:1\"\n\
         bot_token_file = '{}'\nwebhook_secret_files = ['{}', '{}']\nrepositories = [\"P/*\"]\n",
        place.write("token", "t0ken\n").display(),
        place.write("hook", "current\r\n").display(),
        place.write("hook-old", "old").display(),
    );
    FileConnections::new(&place.load(&text, &[]).expect("the configuration is right"))
}

fn main_id() -> ConnectionId {
    ConnectionId::new("main").expect("a right id")
}

#[test]
fn the_line_end_of_a_secret_file_does_not_count() {
    let place = Place::new();
    let connections = connections(&place);
    assert_eq!(
        connections.bot_token(&main_id()).unwrap().expose_secret(),
        "t0ken"
    );
    let secrets = connections.webhook_secrets(&main_id()).unwrap();
    let secrets: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, ["current", "old"]);
}

#[test]
fn a_rotated_secret_is_used_at_once() {
    let place = Place::new();
    let connections = connections(&place);
    let token = || {
        connections
            .bot_token(&main_id())
            .unwrap()
            .expose_secret()
            .to_owned()
    };
    assert_eq!(token(), "t0ken");
    place.write("token", "rewritten");
    assert_eq!(token(), "rewritten");
    std::fs::rename(place.write("next", "replaced!"), place.file("token")).unwrap();
    assert_eq!(token(), "replaced!");
}

#[test]
fn a_file_that_is_empty_for_a_moment_keeps_its_last_value() {
    let place = Place::new();
    let connections = connections(&place);
    assert!(connections.bot_token(&main_id()).is_ok());
    place.write("token", "");
    assert_eq!(
        connections.bot_token(&main_id()).unwrap().expose_secret(),
        "t0ken"
    );
    place.write("token", "next");
    assert_eq!(connections.bot_token(&main_id()).unwrap().expose_secret(), "next");
}

#[test]
fn a_secret_that_never_was_there_is_an_error() {
    let place = Place::new();
    let connections = connections(&place);
    std::fs::remove_file(place.file("token")).unwrap();
    assert!(matches!(
        connections.bot_token(&main_id()),
        Err(SecretError::Unreadable { .. })
    ));
    let unknown = ConnectionId::new("other").unwrap();
    assert!(matches!(
        connections.bot_token(&unknown),
        Err(SecretError::UnknownConnection { .. })
    ));
    assert!(connections.get(&unknown).is_none());
}

#[test]
fn debug_output_shows_no_secret() {
    let place = Place::new();
    let connections = connections(&place);
    let token = connections.bot_token(&main_id()).unwrap();
    let shown = format!("{token:?} {:?}", connections.all());
    assert!(!shown.contains("t0ken") && !shown.contains("current"), "{shown}");
}
