use std::collections::BTreeMap;

use insta::assert_snapshot;
use pipeline::ids::CommitId;
use proptest::prelude::*;

use super::read::{File, KNOWN};
use super::*;
use crate::load_with;

fn read(text: &str) -> RepositoryFile {
    RepositoryFile::read(text.as_bytes(), false, "main")
}

fn notes(text: &str) -> Vec<String> {
    read(text).notes
}

#[test]
fn every_key_is_read() {
    let file = read(
        r#"
[defaults]
model = "fast"
effort = "high"
lang = "pt-BR"
quiet = true
sign_off = true
[limits]
budget = "$2.50"
time = "1h30m"
[paths]
only = ["src/**", "docs"]
protected = ["deploy/**"]
[checks]
test = { command = "make", seconds = 5 }
[permission]
change = "REPO_ADMIN"
read = "REPO_WRITE"
deny_users = ["bob"]
allow_users = ["alice"]
plan_needs_second_person = true
[reply]
build_status = false
"#,
    );
    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let expected = RepositoryFile {
        defaults: Defaults {
            model: Some("fast".into()),
            effort: Some(Effort::High),
            lang: Some("pt-BR".into()),
            quiet: true,
            sign_off: true,
        },
        limits: RepositoryLimits {
            budget: Some(Budget::UsdCents(250)),
            time_seconds: Some(5_400),
        },
        paths: Paths {
            only: texts(&["src/**", "docs"]),
            protected: texts(&["deploy/**"]),
        },
        checks: vec![CheckCommand {
            name: "test".into(),
            command: "make".into(),
            time_limit: Duration::from_secs(5),
        }],
        permission: RepositoryPermission {
            change: Some(Level::Admin),
            read: Some(Level::Write),
            deny_users: texts(&["bob"]),
            allow_users: texts(&["alice"]),
            plan_needs_second_person: true,
        },
        reply: RepositoryReply {
            build_status: Some(false),
        },
        notes: vec![],
    };
    assert_eq!(file, expected);
}

#[test]
fn checks_are_read_in_the_files_order() {
    let file = read(
        "[checks]\n\
         test = { command = \"cargo test -p parser\", seconds = 600 }\n\
         lint = { command = \"  cargo clippy  \" }\n\
         [checks.build]\ncommand = 'make'\n",
    );
    let check = |name: &str, command: &str, seconds| CheckCommand {
        name: name.to_owned(),
        command: command.to_owned(),
        time_limit: Duration::from_secs(seconds),
    };
    let expected = [
        check("test", "cargo test -p parser", 600),
        check("lint", "cargo clippy", 300),
        check("build", "make", 300),
    ];
    assert_eq!(file.checks, expected);
    assert_eq!(file.notes, [""; 0]);
}

#[test]
fn an_empty_file_asks_for_nothing() {
    for text in [
        "",
        "# nothing yet\n",
        "[checks]\n",
        "\u{feff}[checks]\n",
        "[permission]\n",
    ] {
        assert_eq!(read(text), RepositoryFile::default(), "{text:?}");
    }
}

#[test]
fn what_is_not_toml_is_not_used_as_a_whole() {
    let said = RepositoryFile::read(b"[checks]\n\xff", false, "main").notes;
    assert_eq!(
        said,
        ["`.openhands/resolver.toml` of `main` was not used: line 2 is not UTF-8"]
    );
    let said = RepositoryFile::read(b"[checks]\n", true, "main").notes;
    assert_eq!(
        said[0],
        "`.openhands/resolver.toml` of `main` was not used: it is longer than 64 KiB"
    );
    for (text, place) in [
        ("[checks\n", "line 1, column 8: "),
        ("[checks]\nä = { command = \"x\" }\n", "line 2, column 1: "),
        (
            "[defaults]\nquiet = true\n[reply]\nbuild_status = \"REPO_ADMIN\nread = 1\n",
            "line 4, column ",
        ),
        (
            "[checks]\ntest = { command = \"a\" }\ntest = { command = \"b\" }\n",
            "line 3, column 1: ",
        ),
    ] {
        let file = read(text);
        let expected = format!("`.openhands/resolver.toml` of `main` was not used: {place}");
        assert!(file.notes[0].starts_with(&expected), "{text}: {:?}", file.notes);
        let nothing = RepositoryFile {
            notes: file.notes.clone(),
            ..RepositoryFile::default()
        };
        assert_eq!(file, nothing);
    }
}

/// What is wrong, the key that is blamed, and where and why; the first line is another one.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "[checks]\ntest = 3\n",
        "checks.test",
        "line 3, column 8: invalid type: integer `3`",
    ),
    (
        "[checks]\ntest = { seconds = 3 }\n",
        "checks.test",
        "line 3, column 8: missing field `command`",
    ),
    (
        "[checks]\n\ntest = { command = true }\n",
        "checks.test",
        "line 4, column 20: invalid type: boolean `true`",
    ),
    (
        "[checks]\n\"a b\" = { command = \"x\" }\n",
        "checks.a b",
        "line 3, column 1: a check's name is",
    ),
    (
        "[checks]\ntest = { command = \" \" }\n",
        "checks.test",
        "line 3, column 20: a check's command is",
    ),
    (
        "[checks]\ntest = { command = \"a\\nb\" }\n",
        "checks.test",
        "line 3, column 20: a check's command is",
    ),
    (
        "[checks]\ntest = { command = \"x\", seconds = 0 }\n",
        "checks.test",
        "line 3, column 35: a check's seconds are 1 to 600",
    ),
    (
        "[checks]\ntest = { command = \"x\", seconds = 601 }\n",
        "checks.test",
        "line 3, column 35: a check's seconds",
    ),
    (
        "[checks]\ntest = { command = \"x\", seconds = -1 }\n",
        "checks.test",
        "line 3, column 35: ",
    ),
    (
        "[limits]\nbudget = \"5\"\n",
        "limits.budget",
        "line 3, column 10: takes an amount such as",
    ),
    (
        "[limits]\nbudget = \"$-5\"\n",
        "limits.budget",
        "line 3, column 10: must be more than nothing",
    ),
    (
        "[limits]\ntime = 20\n",
        "limits.time",
        "line 3, column 8: invalid type: integer `20`, expected a string",
    ),
    (
        "[paths]\nonly = [\"../x\"]\n",
        "paths.only",
        "line 3, column 8: must not contain",
    ),
    (
        "[paths]\nprotected = \"x\"\n",
        "paths.protected",
        "line 3, column 13: invalid type",
    ),
    (
        "[defaults.effort]\nx = 1\n",
        "defaults.effort",
        "line 3, column 1: ",
    ),
    (
        "[reply]\nbuild_status = \"no\"\n",
        "reply.build_status",
        "line 3, column 16: invalid type",
    ),
];

#[test]
fn a_key_that_is_not_right_is_named_with_line_and_column_and_the_others_count() {
    for (wrong, key, where_and_why) in WRONG {
        let file = read(&format!("defaults.lang = \"de\"\n{wrong}"));
        let expected =
            format!("In `.openhands/resolver.toml` of `main`, `{key}` was not used: {where_and_why}");
        assert_eq!(file.notes.len(), 1, "{wrong}: {:?}", file.notes);
        assert!(file.notes[0].starts_with(&expected), "{wrong}: {:?}", file.notes);
        let others = RepositoryFile {
            defaults: Defaults {
                lang: Some("de".into()),
                ..Defaults::default()
            },
            notes: file.notes.clone(),
            ..RepositoryFile::default()
        };
        assert_eq!(file, others, "{wrong}");
    }
}

#[test]
fn a_section_that_is_none_is_named() {
    let file = read("checks = 1\n[defaults]\nquiet = true\n");
    assert!(file.defaults.quiet);
    let expected =
        "In `.openhands/resolver.toml` of `main`, `checks` was not used: line 1, column 10: invalid type";
    assert!(file.notes[0].starts_with(expected), "{:?}", file.notes);
}

#[test]
fn more_checks_than_a_reply_can_show_are_left_out() {
    let checks =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8"].map(|n| format!("c{n} = {{ command = \"x\" }}"));
    let file = read(&format!("[checks]\n{}", checks.join("\n")));
    assert_eq!(file.checks.len(), CHECKS_MAX);
    assert!(
        file.notes[0].ends_with("`checks.c8` was not used: line 10, column 1: there are more than 8 checks"),
        "{:?}",
        file.notes
    );
}

#[test]
fn unknown_keys_are_said_and_ignored_and_the_one_that_is_meant_is_named() {
    assert_eq!(
        notes(
            "language = \"de\"\n[checks]\ntest = { command = \"x\", second = 3 }\n[path]\nonly = [\"src\"]\n\
             [permission]\ndeny_user = [\"x\"]\n"
        ),
        [
            "In `.openhands/resolver.toml` of `main`, `language` (line 1) is not known and was ignored",
            "In `.openhands/resolver.toml` of `main`, `checks.test.second` (line 3) is not known and was ignored; did you mean `seconds`?",
            "In `.openhands/resolver.toml` of `main`, `path` (line 4) is not known and was ignored; did you mean `paths`?",
            "In `.openhands/resolver.toml` of `main`, `permission.deny_user` (line 7) is not known and was ignored; did you mean `deny_users`?",
            "Until `[permission]` in `.openhands/resolver.toml` of `main` is put right, only who administers the repository may ask",
        ]
    );
    let many = ["0", "1", "2", "3", "4", "5", "6", "7", "8"].map(|n| format!("k{n} = 1"));
    let said = notes(&many.join("\n"));
    assert_eq!(said.len(), 6);
    assert!(said[5].contains("4 more keys"), "{said:?}");
}

#[test]
fn a_permission_that_cannot_be_read_leaves_administrators_only() {
    for wrong in [
        "change = \"WRITE\"",
        "change = \"is not known and was ignored\"",
        "deny_user = [\"bob\"]",
        "users.deny = [\"bob\"]",
        "read = 3",
        "deny_users = \"bob\"",
        "deny_users = [\"\"]",
        "allow_users = [3]",
        "plan_needs_second_person = \"yes\"",
    ] {
        let file = read(&format!("[permission]\n{wrong}\n[defaults]\nquiet = true\n"));
        assert_eq!(file.permission.change, Some(Level::Admin), "{wrong}");
        assert_eq!(file.permission.read, Some(Level::Admin), "{wrong}");
        assert!(
            file.defaults.quiet && file.notes.len() == 2,
            "{wrong}: {:?}",
            file.notes
        );
        assert!(file.notes[1].contains("only who administers the repository may ask"));
    }
    for whole in [
        "permission = 3\n",
        "[permissions]\ndeny_users = [\"bob\"]\n",
        "[Permision]\ndeny_users = [\"bob\"]\n",
    ] {
        assert_eq!(read(whole).permission.change, Some(Level::Admin), "{whole}");
    }
    let unknown = read("[people]\ndeny_users = 3\n");
    assert_eq!(unknown.permission, RepositoryPermission::default());
}

#[test]
fn a_file_that_cannot_be_read_as_a_whole_keeps_out_whom_it_may_have_named() {
    let broken = "[permission]\ndeny_users = [\"bob\"]\n[paths]\nonly = [\"src/**\n";
    let wrong = vec!["x"; 60].iter().enumerate().fold(
        "[permission]\nread = \"REPO_WRITE\"\n[checks]\n".to_owned(),
        |text, (n, x)| format!("{text}{x}{n} = 3\n[checks.y{n}]\n"),
    );
    let cut = RepositoryFile::read(b"[defaults]\n", true, "main");
    let bytes = RepositoryFile::read(b"[permission]\n\xff", false, "main");
    let unclosed = "[defaults]\nquiet = true\n[permission]\nchange = \"REPO_ADMIN\nread = 1\n";
    for file in [read(broken), read(unclosed), read(&wrong), cut, bytes] {
        assert_eq!(file.permission.read, Some(Level::Admin), "{:?}", file.notes);
        assert!(file.notes[0].contains("was not used"), "{:?}", file.notes);
        assert!(
            file.notes[1].contains("only who administers the repository may ask"),
            "{:?}",
            file.notes
        );
    }
    let without = read("[paths]\nonly = [\"src/**\n");
    assert_eq!(without.permission, RepositoryPermission::default());
}

#[test]
fn a_file_narrows_who_may_and_never_widens() {
    let operator = Permission {
        deny_users: vec!["carol".into()],
        ..Permission::default()
    };
    let narrow = |text: &str| narrowed(&operator, &read(text));
    for (asked, change) in [
        ("REPO_READ", "REPO_WRITE"),
        ("REPO_WRITE", "REPO_WRITE"),
        ("REPO_ADMIN", "REPO_ADMIN"),
    ] {
        assert_eq!(
            narrow(&format!("[permission]\nchange = \"{asked}\"\n")).change,
            change
        );
    }
    assert_eq!(narrow("[permission]\nread = \"REPO_WRITE\"\n").read, "REPO_WRITE");
    let denied = narrow("[permission]\ndeny_users = [\"bob\"]\nplan_needs_second_person = true\n");
    assert_eq!(denied.deny_users, ["carol", "bob"]);
    assert!(denied.plan_needs_second_person);
    assert_eq!(narrow(""), operator);
    let strict = Permission {
        plan_needs_second_person: true,
        ..operator
    };
    assert!(
        narrowed(&strict, &read("[permission]\nplan_needs_second_person = false\n")).plan_needs_second_person
    );
}

#[test]
fn people_are_left_out_by_name_or_by_not_being_named() {
    let denies = read("[permission]\ndeny_users = [\"Bob\"]\n");
    assert!(
        denies.leaves_out(&["bob"]) && denies.leaves_out(&["x", "BOB"]) && !denies.leaves_out(&["alice"])
    );
    let allows = read("[permission]\nallow_users = [\"alice\"]\n");
    assert!(!allows.leaves_out(&["Alice"]) && allows.leaves_out(&["bob"]));
    let both = read("[permission]\nallow_users = [\"alice\"]\ndeny_users = [\"alice\"]\n");
    assert!(both.leaves_out(&["alice"]));
    assert!(!RepositoryFile::default().leaves_out(&["anyone"]));
}

#[test]
fn defaults_fill_what_a_request_leaves_open() {
    let defaults = read("[defaults]\nmodel = \"fast\"\nlang = \"de\"\nquiet = true\n").defaults;
    let mut options = Options {
        lang: Some("fr".into()),
        ..Options::default()
    };
    defaults.fill(&mut options);
    let expected = Options {
        model: Some("fast".into()),
        lang: Some("fr".into()),
        quiet: true,
        ..Options::default()
    };
    assert_eq!(options, expected);
}

fn with_configuration(text: &str, check: impl Fn(&crate::Config)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolver.toml");
    let least = "data_dir = \"/d\"\n[[connection]]\nid = \"main\"\nbase_url = \"bitbucket.example.com\"\n\
                 bot_token_file = \"/t\"\nwebhook_secret_files = [\"/w\"]\nrepositories = [\"PROJ/*\"]\n";
    std::fs::write(&path, format!("{least}{text}")).unwrap();
    check(&load_with(&path, []).unwrap());
}

#[test]
fn the_configuration_in_effect_is_shown_with_where_each_value_comes_from() {
    let operator = "[connection.permission]\nread = \"REPO_WRITE\"\n\
                    [limits]\nrun_usd = 5.0\n\
                    [[model]]\nalias = \"smart\"\nmodel = \"m1\"\nprice_in = 1.0\n\
                    [[model]]\nalias = \"fast\"\nmodel = \"m2\"\n\
                    [reply]\nfinish = \"edit-and-comment\"\n";
    with_configuration(operator, |config| {
        let file = read(
            "[defaults]\nmodel = \"fast\"\nlang = \"de\"\n[limits]\nbudget = \"$2\"\ntime = \"20m\"\n\
             [paths]\nonly = [\"src/**\", \"a|b\"]\n[checks]\ntest = { command = \"x\" }\n\
             [permission]\nchange = \"REPO_ADMIN\"\n[reply]\nbuild_status = false\n[x]\n",
        );
        let at = CommitId::new("9f8e7d6c5b4a39281706f5e4d3c2b1a098765432").unwrap();
        let answer = shown(&Shown {
            config,
            connection: &config.connections[0],
            file: &file,
            branch: "main",
            at: Some(&at),
        });
        assert_snapshot!(answer, @r#"
        "Repository" is `.openhands/resolver.toml` of `main` at `9f8e7d6c5b4`.

        | setting | value | from |
        |---|---|---|
        | mentioned as | `@openhands`, anywhere in a comment | operator |
        | who may ask for changes | `REPO_ADMIN` | repository |
        | who may ask questions | `REPO_WRITE` | operator, for this connection |
        | a plan is approved by | whoever may ask for changes | default |
        | model | `fast` | repository |
        | models to choose from | `smart`, `fast` | operator |
        | effort | the model's own | default |
        | agent | `builtin` | operator |
        | time of a run | 20 min | repository |
        | money of a run | $2.00 | repository |
        | tokens of a run | 2000000 | operator |
        | model calls of a run | 150 | operator |
        | changes only in | `src/**`, `a?b` | repository |
        | protected, beside CI and agents' files | nothing | default |
        | checks | `test` | repository |
        | language of answers | `de` | repository |
        | one reply at the end only | no | default |
        | `Signed-off-by` in commits | no | default |
        | build status on commits | no | repository |
        | how a run's end is told | `edit-and-comment` | operator |

        - In `.openhands/resolver.toml` of `main`, `x` (line 15) is not known and was ignored
        "#);
    });
}

#[test]
fn without_a_file_the_operators_values_and_the_defaults_are_shown() {
    with_configuration("", |config| {
        let answer = shown(&Shown {
            config,
            connection: &config.connections[0],
            file: &RepositoryFile::default(),
            branch: "main",
            at: None,
        });
        assert_snapshot!(answer, @"
        There is no `.openhands/resolver.toml` of `main`; with one, the repository narrows what the operator allows.

        | setting | value | from |
        |---|---|---|
        | mentioned as | `@openhands`, anywhere in a comment | operator |
        | who may ask for changes | `REPO_WRITE` | default |
        | who may ask questions | `REPO_READ` | default |
        | a plan is approved by | whoever may ask for changes | default |
        | model | none | default |
        | models to choose from | none | operator |
        | effort | the model's own | default |
        | agent | `builtin` | operator |
        | time of a run | 30 min | operator |
        | money of a run | not counted: the models have no prices | operator |
        | tokens of a run | 2000000 | operator |
        | model calls of a run | 150 | operator |
        | changes only in | any path | default |
        | protected, beside CI and agents' files | nothing | default |
        | checks | none | default |
        | language of answers | that of the request | default |
        | one reply at the end only | no | default |
        | `Signed-off-by` in commits | no | default |
        | build status on commits | yes | default |
        | how a run's end is told | `edit` | default |
        ");
    });
}

#[test]
fn the_schema_is_that_of_the_types_and_names_every_known_key() {
    let schema = sorted(serde_json::to_value(schemars::schema_for!(File)).unwrap());
    for (section, keys) in KNOWN {
        let property = &schema["properties"][section];
        let named = property["$ref"]
            .as_str()
            .or(property["additionalProperties"]["$ref"].as_str())
            .unwrap();
        let fields = schema["$defs"][named.rsplit('/').next().unwrap()]["properties"]
            .as_object()
            .unwrap();
        let mut known = keys.to_vec();
        known.sort_unstable();
        assert_eq!(fields.keys().collect::<Vec<_>>(), known, "{section}");
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../schemas/resolver.toml.schema.json"
    );
    let generated = serde_json::to_string_pretty(&schema).unwrap() + "\n";
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

proptest! {
    #[test]
    fn any_text_is_read_or_named(text in "([a-z=\\[\\]\"{}., \n#'0-9ä-]|permission|checks|change|\\[defaults\\]\n|command = |lang|true){0,60}") {
        let file = read(&text);
        prop_assert!(file.notes.len() <= 7);
    }
}
