//! The sections that a verb brings along: the work that is carried on, the builds that failed.

use bitbucket::BuildStatus;
use pipeline::command::Command;
use pipeline::verbs::Verb;

use crate::context::budget::Budget;
use crate::context::material::{Earlier, Material};
use crate::context::sections::{Block, Section, section};
use crate::context::visible;

/// A kept patch is shown up to this many bytes: it is in the working directory as well.
const PATCH_BYTES_MAX: usize = 48 * 1024;
/// How Bitbucket spells that a build failed (bitbucket-dc.md 3.8).
const FAILED: &str = "FAILED";

/// The run that is carried on: what it was asked, what it said, and its work.
pub(super) fn earlier_run(material: &Material, budget: &mut Budget) -> Option<Section> {
    let earlier = material.earlier.as_deref()?;
    let mut blocks = Vec::new();
    let told = budget.take("what the earlier run said", visible::text(&told(earlier)));
    blocks.extend(told.map(|body| Block::new("text", body)));
    if let Some(patch) = &earlier.patch {
        let end = patch.floor_char_boundary(PATCH_BYTES_MAX);
        if end < patch.len() {
            budget.leave_out(format!("the earlier patch: the last {} bytes", patch.len() - end));
        }
        let taken = budget.take("the earlier patch", visible::text(&patch[..end]));
        blocks.extend(taken.map(|body| Block::new("diff", body)));
    }
    let about = format!(
        "Run {} did not get to an end. Its work is shown as a patch, where there is any; whether the working directory has it already is said at the end of this document.",
        earlier.run
    );
    section("The earlier run", about, blocks)
}

fn told(earlier: &Earlier) -> String {
    let list = |title: &str, items: &[String]| {
        let lines: Vec<String> = items.iter().map(|item| format!("- {item}\n")).collect();
        let lines = lines.concat();
        if lines.is_empty() {
            String::new()
        } else {
            format!("{title}\n{lines}")
        }
    };
    let said = match earlier.said.trim() {
        "" => String::new(),
        _ => format!("It said:\n{}\n", earlier.said),
    };
    let asked = format!("It was asked:\n{}\n", earlier.asked);
    let rest = [
        list("It asked back:", &earlier.questions),
        list("It left undone:", &earlier.not_done),
    ];
    [asked, said].concat() + &rest.concat()
}

/// The builds that are to be repaired, with where their logs are.
pub(super) fn failed_builds(material: &Material, budget: &mut Budget) -> Option<Section> {
    if material.command.verb != Verb::FixCi {
        return None;
    }
    let lines: Vec<String> = failed(&material.command, &material.builds).map(build).collect();
    if lines.is_empty() {
        return None;
    }
    let body = budget.take("the failed builds", lines.join("\n"))?;
    section(
        "Failed builds",
        "The builds that are to be repaired, for the source branch's head.",
        vec![Block::new("text", body)],
    )
}

/// The builds that a command is about: all that failed, or the one it names.
pub(crate) fn failed<'a>(
    command: &'a Command,
    builds: &'a [BuildStatus],
) -> impl Iterator<Item = &'a BuildStatus> {
    let is_named = |build: &BuildStatus| {
        let Some(key) = command.argument.as_deref() else {
            return true;
        };
        let names = [Some(build.key.as_str()), build.name.as_deref()];
        names
            .into_iter()
            .flatten()
            .any(|name| name.eq_ignore_ascii_case(key))
    };
    builds
        .iter()
        .filter(move |build| build.state == FAILED && is_named(build))
}

fn build(build: &BuildStatus) -> String {
    let name = build
        .name
        .as_deref()
        .map(|name| format!(" ({})", visible::line(name)))
        .unwrap_or_default();
    let mut lines = vec![format!("{}{name}", visible::line(&build.key))];
    lines.extend(
        build
            .description
            .as_deref()
            .map(|text| format!("  said: {}", visible::line(text))),
    );
    lines.extend(
        build
            .url
            .as_deref()
            .map(|url| format!("  log: {}", visible::line(url))),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_named(key: &str, state: &str) -> BuildStatus {
        BuildStatus {
            key: key.to_owned(),
            name: Some(format!("{key} tests")),
            state: state.to_owned(),
            url: Some("https://ci.example/1".to_owned()),
            description: None,
            updated_at: None,
        }
    }

    #[test]
    fn a_command_is_about_the_builds_that_failed_or_the_one_it_names() {
        let builds = [
            build_named("unit", "FAILED"),
            build_named("lint", "SUCCESSFUL"),
            build_named("Docs", "FAILED"),
        ];
        let keys = |argument: Option<&str>| -> Vec<&str> {
            let command = Command {
                argument: argument.map(str::to_owned),
                ..Command::of_verb(Verb::FixCi, "")
            };
            let found: Vec<String> = failed(&command, &builds).map(|build| build.key.clone()).collect();
            builds
                .iter()
                .map(|build| build.key.as_str())
                .filter(|key| found.iter().any(|one| one == key))
                .collect()
        };
        assert_eq!(keys(None), ["unit", "Docs"]);
        assert_eq!(keys(Some("docs")), ["Docs"]);
        assert_eq!(keys(Some("unit tests")), ["unit"]);
        assert!(keys(Some("lint")).is_empty() && keys(Some("other")).is_empty());
    }

    #[test]
    fn a_failed_build_is_shown_on_lines_of_its_own() {
        let hostile = BuildStatus {
            description: Some("2 failed\n# Request".to_owned()),
            ..build_named("unit", "FAILED")
        };
        let shown = build(&hostile);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.contains("log: https://ci.example/1"));
    }
}
