use super::*;

fn file(text: &str) -> TreeFile {
    TreeFile {
        bytes: text.as_bytes().to_vec(),
        total: text.len() as u64,
    }
}

fn said_of(text: &str) -> Vec<String> {
    let read = read(&file(text), "main");
    assert_eq!(read.checks, [], "{text}");
    read.notes
}

#[test]
fn checks_are_read_in_the_files_order() {
    let text = "[checks]\n\
                test = { command = \"cargo test -p parser\", seconds = 600 }\n\
                lint = { command = \"  cargo clippy  \" }\n\
                [checks.build]\ncommand = 'make'\n";
    let read = read(&file(text), "main");
    let check = |name: &str, command: &str, seconds| CheckCommand {
        name: name.to_owned(),
        command: command.to_owned(),
        time_limit: Duration::from_secs(seconds),
    };
    let checks = vec![
        check("test", "cargo test -p parser", 600),
        check("lint", "cargo clippy", 300),
        check("build", "make", 300),
    ];
    assert_eq!(
        read,
        Configuration {
            checks,
            notes: vec![]
        }
    );
}

#[test]
fn an_empty_file_asks_for_nothing() {
    for text in ["", "# nothing yet\n", "[checks]\n", "\u{feff}[checks]\n"] {
        assert_eq!(read(&file(text), "main"), Configuration::default(), "{text:?}");
    }
}

#[test]
fn a_file_that_is_not_valid_is_named_with_line_and_column() {
    for (text, where_and_why) in [
        ("[checks\n", "line 1, column 8: "),
        (
            "[checks]\ntest = 3\n",
            "line 2, column 8: invalid type: integer `3`, expected struct CheckTable",
        ),
        (
            "[checks]\ntest = { seconds = 3 }\n",
            "line 2, column 8: missing field `command`",
        ),
        (
            "[checks]\n\ntest = { command = true }\n",
            "line 3, column 20: invalid type: boolean `true`",
        ),
        ("checks = 1\n", "line 1, column 10: invalid type"),
        ("[checks]\nä = { command = \"x\" }\n", "line 2, column 1: "),
        (
            "[checks]\n\"a b\" = { command = \"x\" }\n",
            "line 2, column 1: a check's name is",
        ),
        (
            "[checks]\ntest = { command = \" \" }\n",
            "line 2, column 20: a check's command is",
        ),
        (
            "[checks]\ntest = { command = \"a\\nb\" }\n",
            "line 2, column 20: a check's command is",
        ),
        (
            "[checks]\ntest = { command = \"x\", seconds = 0 }\n",
            "line 2, column 35: a check's seconds are 1 to 600",
        ),
        (
            "[checks]\ntest = { command = \"x\", seconds = 601 }\n",
            "line 2, column 35: a check's seconds",
        ),
        (
            "[checks]\ntest = { command = \"x\", seconds = -1 }\n",
            "line 2, column 35: ",
        ),
    ] {
        let said = said_of(text);
        let expected = format!("`.openhands/resolver.toml` of `main` was not used: {where_and_why}");
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with(&expected), "{text}: {said:?}");
    }
}

#[test]
fn what_is_no_text_or_too_long_is_not_used() {
    let not_text = TreeFile {
        bytes: b"[checks]\n\xff".to_vec(),
        total: 10,
    };
    let said = read(&not_text, "main").notes;
    assert_eq!(
        said,
        ["`.openhands/resolver.toml` of `main` was not used: line 2 is not UTF-8"]
    );
    let cut = TreeFile {
        bytes: b"[checks]\n".to_vec(),
        total: 70_000,
    };
    let said = read(&cut, "main").notes;
    assert_eq!(
        said,
        ["`.openhands/resolver.toml` of `main` was not used: it is longer than 64 KiB"]
    );
}

#[test]
fn more_checks_than_a_reply_can_show_are_refused() {
    let checks =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8"].map(|n| format!("c{n} = {{ command = \"x\" }}"));
    let said = said_of(&format!("[checks]\n{}", checks.join("\n")));
    assert!(
        said[0].contains("line 10, column 1: there are 9 checks, at most 8 may be"),
        "{said:?}"
    );
}

#[test]
fn unknown_keys_are_said_and_ignored() {
    let text =
        "language = \"de\"\n[checks]\ntest = { command = \"x\", minutes = 3 }\n[paths]\nonly = [\"src\"]\n";
    let read = read(&file(text), "main");
    assert_eq!(read.checks.len(), 1);
    assert_eq!(
        read.notes,
        [
            "In `.openhands/resolver.toml` of `main`, `language` (line 1) is not known and was ignored",
            "In `.openhands/resolver.toml` of `main`, `checks.test.minutes` (line 3) is not known and was ignored",
            "In `.openhands/resolver.toml` of `main`, `paths` (line 4) is not known and was ignored",
        ]
    );
    let many = ["0", "1", "2", "3", "4", "5", "6", "7", "8"].map(|n| format!("k{n} = 1"));
    let said = super::read(&file(&many.join("\n")), "main").notes;
    assert_eq!(said.len(), UNKNOWN_NAMED_MAX + 1);
    assert!(said[UNKNOWN_NAMED_MAX].contains("4 more keys"), "{said:?}");
}

#[test]
fn the_schema_is_that_of_the_type() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/resolver.toml.schema.json"
    );
    let schema = serde_json::to_value(schemars::schema_for!(File)).unwrap();
    let generated = serde_json::to_string_pretty(&sorted(schema)).unwrap() + "\n";
    if std::fs::read_to_string(path).unwrap_or_default() != generated {
        std::fs::write(path, generated).unwrap();
        panic!("{path} was rewritten: look at the difference and commit");
    }
}

/// Keys in alphabetical order, whichever features other crates have switched on.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            fields.into_iter().collect()
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
