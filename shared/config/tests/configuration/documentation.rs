//! The documentation names every setting.

use std::fmt::Write;

use crate::Place;

const DOCUMENTATION: &str = include_str!("../../../../docs/configuration.md");

/// The keys a section knows, as the complaint about an unknown one lists them.
fn known(problems: &str, place: &str) -> Vec<String> {
    let line = problems
        .lines()
        .find(|line| line.trim_start().starts_with(place))
        .expect(place);
    let (_, keys) = line.split_once("known are ").expect("the keys are listed");
    keys.split(", ").map(ToOwned::to_owned).collect()
}

#[test]
fn every_setting_is_documented_in_its_section() {
    let sections = [
        "ingest",
        "health",
        "nats",
        "mention",
        "permission",
        "sandbox",
        "policy",
        "agent",
        "llm",
        "context",
        "limits",
        "reply",
        "telemetry",
    ];
    let mut text = "x = 1\n".to_owned();
    for section in sections {
        writeln!(text, "[{section}]\nx = 1").unwrap();
    }
    text.push_str("[[connection]]\nx = 1\n[[model]]\nx = 1\n");
    let problems = Place::new().load(&text, &[]).unwrap_err().to_string();
    let documented = |heading: &str| {
        let (_, rest) = DOCUMENTATION.split_once(heading).expect(heading);
        rest.split("\n### ").next().unwrap_or_default().to_owned()
    };
    let mut places: Vec<(String, String)> = sections
        .iter()
        .map(|section| (format!("{section}.x"), format!("### `[{section}]`")))
        .collect();
    places.push(("connection[0].x".to_owned(), "### `[[connection]]`".to_owned()));
    places.push(("model[0].x".to_owned(), "### `[[model]]`".to_owned()));
    let mut count = 0;
    for (place, heading) in places {
        let section = documented(&heading);
        for key in known(&problems, &place)
            .iter()
            .filter(|key| !["mention", "permission"].contains(&key.as_str()))
        {
            assert!(
                section.contains(&format!("`{key}`")),
                "{heading} does not document {key}"
            );
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
    for section in known(&problems, "x:") {
        assert!(
            ["data_dir"].contains(&section.as_str())
                || DOCUMENTATION.contains(&format!("`[{section}]`"))
                || DOCUMENTATION.contains(&format!("`[[{section}]]`")),
            "{section}"
        );
    }
}
