//! The example that operators start from.

use std::fmt::Write;

use config::Role;

use crate::Place;

const EXAMPLE: &str = include_str!("../../../../config/example.toml");

/// The lines that are not commented out.
fn filled() -> Vec<&'static str> {
    EXAMPLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[test]
fn the_example_starts_every_role_once_its_secret_files_are_there() {
    let place = Place::new();
    let mut text = EXAMPLE.to_owned();
    for name in ["bot-token", "hook", "llm"] {
        let path = place.write(name, "s3cret\n").display().to_string();
        let mentioned = format!("/run/secrets/{name}");
        assert!(text.contains(&mentioned));
        text = text.replace(&mentioned, &path);
    }
    let config = place.load(&text, &[]).unwrap();
    for role in Role::ALL {
        config.check_role(role).unwrap();
    }
    assert_eq!(
        config.webhook_url(&config.connections[0]).as_deref(),
        Some("https://resolver.example.com/integration/bitbucket-dc/connections/main/events")
    );
}

#[test]
fn about_twenty_lines_are_to_be_filled_in() {
    let count = filled().len();
    assert!((15..=22).contains(&count), "{count} lines");
}

#[test]
fn what_the_example_comments_out_are_settings_with_their_defaults() {
    let place = Place::new();
    let mut config = place.load(EXAMPLE, &[]).unwrap();
    // Every commented setting, put back where it belongs.
    let mut text = String::new();
    let mut continued: Vec<(String, String)> = Vec::new();
    for line in EXAMPLE
        .lines()
        .skip_while(|line| !line.starts_with("# ---"))
        .skip(1)
    {
        let Some(line) = line.strip_prefix("# ") else {
            continue;
        };
        if let Some(section) = line.strip_suffix(" continued") {
            continued.push((section.to_owned(), String::new()));
        } else if line.starts_with('[') {
            continued.push((line.to_owned(), String::new()));
        } else if let Some((_, lines)) = continued.last_mut() {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    for line in EXAMPLE.lines().take_while(|line| !line.starts_with("# ---")) {
        text.push_str(line);
        text.push('\n');
        if let Some(at) = continued.iter().position(|(section, _)| line.trim() == section) {
            text.push_str(&continued.remove(at).1);
        }
    }
    assert!(continued.len() >= 8, "the optional sections are gone");
    for (section, lines) in continued
        .into_iter()
        .filter(|(section, _)| !section.starts_with("[connection."))
    {
        writeln!(text, "{section}\n{lines}").unwrap();
    }
    let mut uncommented = place.load(&text, &[]).unwrap();
    // The one listener that the example fills in differently from its default stands in both.
    uncommented.ingest.listen = config.ingest.listen;
    config.proxy = uncommented.proxy.clone();
    assert_eq!(format!("{uncommented:?}"), format!("{config:?}"));
}
