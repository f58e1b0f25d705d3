//! What may be typed, for people: `help`, the README's list, the tables of `docs/commands.md`, and what is not built yet.
//! All from the tables of verbs and options.

use std::fmt::Write as _;

use crate::command::Command;
use crate::options::{OPTIONS, OptionRow};
use crate::verbs::{Row, TABLE, Verb};

/// The name in the documentation; replies use the one that is configured.
const NAME: &str = "openhands";

/// How a bot of this name is mentioned: Bitbucket puts quotation marks around names with blanks (bitbucket-dc.md 4.1).
pub fn mention(name: &str) -> String {
    if name.chars().any(char::is_whitespace) {
        format!("@\"{name}\"")
    } else {
        format!("@{name}")
    }
}

/// What `help` answers, for a bot that is mentioned as `name`.
pub fn help(name: &str) -> String {
    let mut text = format!(
        "Write `{}` and what should be done, in your own words, anywhere on a pull request; or one of these \
         verbs right behind the mention:\n\n",
        mention(name)
    );
    for row in TABLE
        .iter()
        .filter(|row| row.verb.is_built() && row.verb != Verb::Request)
    {
        writeln!(text, "- {} — {}", typed(name, row), row.does).expect("a string takes all");
    }
    let options: Vec<String> = OPTIONS
        .iter()
        .filter(|row| row.built)
        .map(|row| format!("`{}`", option(row)))
        .collect();
    writeln!(
        text,
        "\nOptions narrow a request, right behind the verb or at the end of its line: {}.",
        options.join(", ")
    )
    .expect("a string takes all");
    let coming: Vec<String> = TABLE
        .iter()
        .filter(|row| !row.verb.is_built())
        .map(|row| format!("`{}`", row.verb.name()))
        .collect();
    if !coming.is_empty() {
        writeln!(text, "\nNot built yet: {}.", coming.join(", ")).expect("a string takes all");
    }
    text.trim_end().to_owned()
}

/// What is answered where nothing is started because the verb or an option is not built yet; nothing for a command that
/// has neither.
pub fn not_yet(command: &Command) -> Option<String> {
    let row = command.verb.row();
    if !command.verb.is_built() {
        return Some(format!(
            "`{}` is not built yet, so nothing was started. It will {}. Until then: {}.",
            command.verb.name(),
            row.does,
            row.instead
        ));
    }
    command.option_not_built().map(|option| {
        let row = option.row();
        format!(
            "The option `--{}` is not built yet, so nothing was started: it is to mean \"{}\". Until then, ask without \
             it; to write about an option, put `--` and a blank before your text.",
            row.key, row.does
        )
    })
}

fn typed(name: &str, row: &Row) -> String {
    let mut typed = format!("`{} {}`", mention(name), row.usage());
    let aliases: Vec<String> = row.forms.iter().skip(1).map(|form| format!("`{form}`")).collect();
    if !aliases.is_empty() {
        write!(typed, " (or {})", aliases.join(", ")).expect("a string takes all");
    }
    typed
}

/// The verbs, as the table of `docs/commands.md`.
pub fn verbs_table() -> String {
    let mut text = "| verb | what it does | who | waits its turn |\n|---|---|---|---|\n".to_owned();
    for row in TABLE {
        let forms: Vec<String> = row.forms.iter().skip(1).map(|form| format!("`{form}`")).collect();
        let aliases = if forms.is_empty() {
            String::new()
        } else {
            format!(" ({})", forms.join(", "))
        };
        let usage = match row.verb {
            Verb::Request => row.usage(),
            _ => format!("`{}`", row.usage().replace('|', "\\|")),
        };
        let turn = if row.verb.is_queued() { "yes" } else { "no" };
        let not_yet = if row.verb.is_built() {
            String::new()
        } else {
            format!(" (not yet; {})", row.instead)
        };
        writeln!(
            text,
            "| {usage}{aliases} | {}{not_yet} | {} | {turn} |",
            row.does, row.who
        )
        .expect("a string takes all");
    }
    text
}

/// The options, as the table of `docs/commands.md`.
pub fn options_table() -> String {
    let mut text = "| option | what it does |\n|---|---|\n".to_owned();
    for row in OPTIONS {
        let not_yet = if row.built { "" } else { " (not yet)" };
        let option = option(row).replace('|', "\\|");
        writeln!(text, "| `{option}` | {}{not_yet} |", row.does).expect("a string takes all");
    }
    text
}

/// `--time 20m`: an option as it is typed.
fn option(row: &OptionRow) -> String {
    match row.value {
        "" => format!("--{}", row.key),
        value => format!("--{} {value}", row.key),
    }
}

/// What works today, as the README lists it.
pub fn readme_list() -> String {
    let mut text = String::new();
    for row in TABLE.iter().filter(|row| row.verb.is_built()) {
        let typed = match row.verb {
            Verb::Request => format!("`@{NAME}` and {}", row.usage()),
            _ => typed(NAME, row),
        };
        writeln!(text, "- {typed}: {}", row.does).expect("a string takes all");
    }
    text
}

/// `text` with what stands between the markers of `part` replaced; `None` where a marker is missing.
pub fn spliced(text: &str, part: &str, content: &str) -> Option<String> {
    let (start, end) = (
        format!("<!-- {part}: generated from shared/pipeline/src -->\n"),
        format!("<!-- end of {part} -->"),
    );
    let from = text.find(&start)? + start.len();
    let to = from + text[from..].find(&end)?;
    Some(format!(
        "{}\n{}\n\n{}",
        &text[..from],
        content.trim_end(),
        &text[to..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mention::{GrammarRefusal, OptionName};

    #[test]
    fn the_documentation_has_the_tables() {
        let mut stale = Vec::new();
        for (file, parts) in [
            (
                "docs/commands.md",
                vec![("verbs", verbs_table()), ("options", options_table())],
            ),
            ("README.md", vec![("verbs", readme_list())]),
        ] {
            let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
            let checked_in = std::fs::read_to_string(&path).unwrap();
            let mut text = checked_in.clone();
            for (part, content) in parts {
                text = spliced(&text, part, &content)
                    .unwrap_or_else(|| panic!("{file} has no place for {part}"));
            }
            if text != checked_in {
                std::fs::write(&path, text).unwrap();
                stale.push(file);
            }
        }
        assert!(
            stale.is_empty(),
            "rewritten, look at the difference and commit: {stale:?}"
        );
    }

    #[test]
    fn splicing_again_changes_nothing_and_a_lost_marker_is_noticed() {
        let text = "a\n<!-- x: generated from shared/pipeline/src -->\nold\n<!-- end of x -->\nb\n";
        let once = spliced(text, "x", "new\n").unwrap();
        assert!(
            once.contains("\nnew\n") && !once.contains("old") && once.ends_with("-->\nb\n"),
            "{once}"
        );
        assert_eq!(spliced(&once, "x", "new\n").unwrap(), once);
        assert_eq!(spliced("a", "x", "new"), None);
    }

    #[test]
    fn help_names_every_verb_under_the_configured_name() {
        assert!(help("Open Hands").contains("`@\"Open Hands\" stop"));
        let help = help("coder");
        for row in TABLE.iter().filter(|row| row.verb != Verb::Request) {
            assert!(help.contains(row.verb.name()), "{:?}", row.verb);
        }
        assert!(
            help.contains("`@coder stop [run-id|all]`") && !help.contains("openhands"),
            "{help}"
        );
        for row in OPTIONS {
            assert_eq!(help.contains(&format!("--{}", row.key)), row.built, "{}", row.key);
        }
    }

    #[test]
    fn what_is_not_built_is_said_in_a_sentence_with_what_to_type_instead() {
        for row in TABLE {
            let said = not_yet(&Command::of_verb(row.verb, ""));
            assert_eq!(said.is_some(), !row.verb.is_built(), "{:?}", row.verb);
            if let Some(said) = said {
                assert!(
                    said.contains("not built yet") && said.contains("Until then") && said.ends_with('.'),
                    "{said}"
                );
            }
        }
        let mut command = Command::request("go");
        command.options.suggest = true;
        assert_eq!(not_yet(&command).is_some(), !OptionName::Suggest.row().built);
        let refused = Command::refused(GrammarRefusal::Twice {
            option: OptionName::Time,
        });
        assert_eq!(not_yet(&refused), None);
    }
}
