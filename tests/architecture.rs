//! The architecture's rules, read off the source: who may know whom, and which door leads to which outside world.
//!
//! Each rule is a function over text, and each has a control: a planted offence that it must find.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const SERVICES: [&str; 5] = [
    "webhook-ingest",
    "mention-parser",
    "context-builder",
    "resolver",
    "reply",
];
/// Adapters to the outside world: they know what travels, never each other.
const ADAPTERS: [&str; 4] = ["bitbucket", "git", "agent", "worker"];
/// Production files stay readable in one go; tests at their end are not counted.
const FILE_LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A source file of the product.
struct Source {
    path: String,
    /// The text without comments and without `#[cfg(test)] mod` blocks.
    code: String,
}

/// All production sources: everything under `src` of `shared/*` and `services/*`.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for group in ["shared", "services"] {
        for member in fs::read_dir(root().join(group)).unwrap() {
            collect(&member.unwrap().path().join("src"), &mut found);
        }
    }
    // Test modules with a file of their own are looked at as tests.
    found.retain(|source| !source.path.ends_with("tests.rs"));
    assert!(
        found.len() > 50,
        "the scan sees the product: {} files",
        found.len()
    );
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(Source {
                path,
                code: production_code(&text),
            });
        }
    }
}

/// Drops comments and the test module, which by convention is the last item of a file.
fn production_code(text: &str) -> String {
    let text = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Where any of `needles` occurs outside the paths that may have it.
fn offences(sources: &[Source], needles: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !allowed.iter().any(|path| source.path.starts_with(path)))
    {
        for (number, line) in source.code.lines().enumerate() {
            if let Some(needle) = needles.iter().find(|needle| line.contains(**needle)) {
                offences.push(format!(
                    "{}: `{needle}` (about line {}): {}",
                    source.path,
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    offences
}

/// Asserts that nothing has the needles, and that the same scan would see a planted one.
fn check_absent(needles: &[&str], allowed: &[&str], why: &str) {
    for needle in needles {
        let planted = [Source {
            path: "services/planted/src/lib.rs".into(),
            code: format!("let x = {needle};"),
        }];
        assert_eq!(
            offences(&planted, needles, allowed).len(),
            1,
            "the control finds `{needle}`"
        );
    }
    let found = offences(&sources(), needles, allowed);
    assert!(found.is_empty(), "{why}\n{}", found.join("\n"));
}

#[test]
fn only_worker_speaks_nats() {
    check_absent(
        &["async_nats"],
        &["shared/worker/"],
        "async-nats is worker's door",
    );
}

#[test]
fn only_settle_acks() {
    let needles = [
        "double_ack(",
        ".ack(",
        "ack_with(",
        "AckKind::",
        "+ACK",
        "-NAK",
        "+TERM",
        "+WPI",
    ];
    check_absent(
        &needles,
        &["shared/worker/src/settle.rs", "shared/worker/src/settle/"],
        "only worker::settle acks",
    );
}

#[test]
fn only_reply_writes_to_a_pull_request() {
    let needles = [
        ".add_comment(",
        ".edit_comment(",
        ".delete_comment(",
        ".add_reaction(",
        ".remove_reaction(",
    ];
    check_absent(
        &needles,
        &["services/reply/", "shared/bitbucket/"],
        "only services/reply writes to a pull request",
    );
}

#[test]
fn only_config_reads_the_environment() {
    // Inside a cell the environment is what the cell has set, and a command of the agent gets it as it is.
    let in_a_cell = "shared/agent/src/builtin/tools/bash.rs";
    check_absent(
        &["env::var", "env::vars"],
        &["shared/config/", in_a_cell],
        "only shared/config reads the environment",
    );
}

#[test]
fn child_processes_start_in_sandbox_and_the_managed_server_only() {
    let allowed = ["shared/sandbox/", "shared/worker/src/managed"];
    check_absent(
        &["process::Command", " Command::new("],
        &allowed,
        "child processes start in shared/sandbox",
    );
}

#[test]
fn http_clients_are_built_behind_the_three_doors() {
    let allowed = ["shared/bitbucket/", "shared/agent/", "shared/git/"];
    check_absent(
        &["reqwest::"],
        &allowed,
        "reqwest is used by bitbucket, agent and git's transport only",
    );
}

#[test]
fn tls_verification_cannot_be_switched_off() {
    let needles = [
        "danger_accept_invalid",
        "sslVerify",
        "GIT_SSL_NO_VERIFY",
        "dangerous()",
        "ServerCertVerifier",
    ];
    check_absent(&needles, &[], "there is no way to switch TLS verification off");
}

#[test]
fn nothing_forces_or_deletes_a_ref() {
    let needles = ["\"+refs", "\"+{", "--force", "--mirror", "--delete", "force_push"];
    check_absent(&needles, &[], "no `+` refspec, no force, no delete");
}

#[test]
fn subjects_are_built_in_one_place() {
    check_absent(
        &["resolver.v1."],
        &["shared/pipeline/src/subject.rs"],
        "subjects come from pipeline::subject",
    );
}

#[test]
fn the_product_does_not_know_that_it_is_tested() {
    let needles = ["cfg(not(test))", "cfg!(test)"];
    check_absent(&needles, &[], "no test-only branches in the product");
}

#[test]
fn tests_do_not_sleep() {
    let mut found = Vec::new();
    for group in ["shared", "services", "tests"] {
        for member in fs::read_dir(root().join(group)).unwrap() {
            collect_tests(&member.unwrap().path(), &mut found);
        }
    }
    let needles = [concat!("time::", "sleep("), concat!("thread::", "sleep(")];
    let mut offending = offences(
        &found,
        &needles,
        &["tests/bitbucket-sim/src/", "tests/scripted-llm/src/"],
    );
    // Between two looks of a bounded wait, and where the time itself is what a test's handler spends.
    offending.retain(|line| !line.contains("LOOK") && !line.contains("// the work takes time"));
    assert!(
        offending.is_empty(),
        "wait for the event, with a time-out\n{}",
        offending.join("\n")
    );
}

/// Integration tests, harness and the test modules at the end of production files.
fn collect_tests(directory: &Path, found: &mut Vec<Source>) {
    let mut all = Vec::new();
    collect(directory, &mut all);
    for source in all {
        let text = fs::read_to_string(root().join(&source.path)).unwrap();
        let is_product = source.path.contains("/src/")
            && !source.path.starts_with("tests/")
            && !source.path.ends_with("tests.rs");
        let code = if is_product {
            text.split_once("\n#[cfg(test)]\nmod tests {")
                .map(|(_, tests)| tests.to_owned())
                .unwrap_or_default()
        } else {
            text
        };
        found.push(Source {
            path: source.path,
            code,
        });
    }
}

/// Own crates that each member depends on, tests aside.
fn own_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let workspace: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let declared = workspace["workspace"]["dependencies"].as_table().unwrap();
    let own: BTreeSet<_> = declared
        .iter()
        .filter(|(_, dependency)| dependency.get("path").is_some())
        .map(|(name, _)| name.clone())
        .collect();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    members
        .iter()
        .map(|member| {
            let path = root().join(member.as_str().unwrap()).join("Cargo.toml");
            let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            let uses = manifest.get("dependencies").and_then(toml::Value::as_table);
            let uses = uses
                .into_iter()
                .flat_map(|table| table.keys())
                .filter(|key| own.contains(*key));
            (name, uses.cloned().collect())
        })
        .collect()
}

#[test]
fn dependencies_point_in_one_direction() {
    let graph = own_dependencies();
    assert!(graph["pipeline"].is_empty(), "pipeline knows nobody");
    for service in SERVICES {
        let others: Vec<_> = graph[service]
            .iter()
            .filter(|used| SERVICES.contains(&used.as_str()))
            .collect();
        assert!(others.is_empty(), "{service} knows other services: {others:?}");
    }
    for adapter in ADAPTERS {
        let others: Vec<_> = graph[adapter]
            .iter()
            .filter(|used| ADAPTERS.contains(&used.as_str()))
            .collect();
        assert!(others.is_empty(), "{adapter} knows other adapters: {others:?}");
    }
    for (name, uses) in &graph {
        assert!(!uses.contains("cli"), "{name} knows cli");
        let is_product = !matches!(
            name.as_str(),
            "tests" | "bench" | "bitbucket-sim" | "scripted-llm" | "cli"
        );
        let services: Vec<_> = uses
            .iter()
            .filter(|used| SERVICES.contains(&used.as_str()))
            .collect();
        assert!(
            !is_product || services.is_empty(),
            "{name} knows services: {services:?}"
        );
        let test_tools: Vec<_> = uses
            .iter()
            .filter(|used| ["tests", "bitbucket-sim", "scripted-llm"].contains(&used.as_str()))
            .collect();
        let may = matches!(name.as_str(), "tests" | "bench");
        assert!(
            may || test_tools.is_empty(),
            "{name} ships with test tools: {test_tools:?}"
        );
    }
}

#[test]
fn secrets_and_tokens_stay_where_they_belong() {
    let graph = own_dependencies();
    for (role, never) in [
        ("webhook-ingest", &["git", "agent"][..]),
        ("mention-parser", &["bitbucket", "git", "agent"]),
        ("context-builder", &["git", "agent"]),
        ("reply", &["git", "agent"]),
    ] {
        let held: Vec<_> = graph[role]
            .iter()
            .filter(|used| never.contains(&used.as_str()))
            .collect();
        assert!(held.is_empty(), "{role} must not be able to use {held:?}");
    }
}

#[test]
fn what_travels_does_no_input_or_output() {
    let manifest = fs::read_to_string(root().join("shared/pipeline/Cargo.toml")).unwrap();
    for runtime in ["tokio", "async-nats", "reqwest", "gix"] {
        assert!(
            !manifest.contains(runtime),
            "pipeline must not depend on {runtime}"
        );
    }
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let silent: Vec<_> = dependencies
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.contains("path = "))
        .filter(|line| !line.contains(" # "))
        .collect();
    assert!(silent.is_empty(), "say in one line what it is for: {silent:#?}");
}

#[test]
fn files_are_short_enough_to_read() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|source| (source.code.lines().count(), source.path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "split by topic: {long:#?}");
}

#[test]
fn names_say_what_a_thing_is() {
    let banned = [
        "utils",
        "util",
        "helper",
        "helpers",
        "common",
        "misc",
        "manager",
        "processor",
    ];
    let offending: Vec<_> = sources()
        .into_iter()
        .map(|source| source.path)
        .filter(|path| {
            path.split(['/', '.', '_', '-'])
                .any(|word| banned.contains(&word))
        })
        .collect();
    assert!(offending.is_empty(), "{offending:?}");
}

#[test]
fn every_service_says_what_goes_in_and_comes_out() {
    for service in SERVICES {
        let text = fs::read_to_string(root().join("services").join(service).join("src/lib.rs")).unwrap();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("//! ") && first.contains(" in, "),
            "{service}: {first}"
        );
    }
}

#[test]
fn relative_links_in_the_documentation_lead_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    for directory in ["docs", "docs/adr", "deploy"] {
        for entry in fs::read_dir(root().join(directory)).into_iter().flatten() {
            pages.push(entry.unwrap().path());
        }
    }
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|extension| extension == "md"))
    {
        let text = fs::read_to_string(page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
        {
            let is_relative = !link.is_empty() && !link.contains("://") && !link.contains(' ');
            let target = page.parent().unwrap().join(link);
            assert!(!is_relative || target.exists(), "{}: {link}", page.display());
        }
    }
}
