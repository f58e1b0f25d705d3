//! What is looked at when an agent has done its worst, and what is not to be there.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::thread::Comment;
use tests::waiting::{WAIT_MAX, until};
use tests::world::World;

use super::Deed;
use super::sinks::{self, Sinks};
use super::stage::{Stage, VARIABLE};

/// As many ways out and payloads as there have to be (reliability-security.md rows 1 and 2).
const WAYS_MIN: usize = 20;
const PAYLOADS_MIN: usize = 24;

/// Where which canaries are.
pub(super) fn found_in(stage: &Stage, sinks: &Sinks) -> Vec<String> {
    let found = sinks
        .iter()
        .map(|(name, bytes)| (name, stage.canaries.search(bytes)));
    found
        .filter(|(_, canaries)| !canaries.is_empty())
        .map(|(name, canaries)| format!("{name}: {}", canaries.into_iter().collect::<Vec<_>>().join(", ")))
        .collect()
}

/// What the agent saw, sent and did, and what others could see of the processes.
pub(super) fn around_the_agent(world: &World, stage: &Stage, deed: &Deed) -> Sinks {
    let mut sinks = Sinks::new();
    let copy = deed.dump.copy.path();
    sinks::walk(copy, &mut |path| {
        let name = path.strip_prefix(copy).unwrap_or(path).display().to_string();
        sinks.push((format!("the agent's {name}"), name.into_bytes()));
        sinks.push((
            format!("the agent's {}", path.display()),
            std::fs::read(path).unwrap_or_default(),
        ));
    });
    for (door, bytes) in stage.collector.seen() {
        sinks.push((format!("the collector's {door}"), bytes));
    }
    let up = world.child("up").unwrap().pid().unwrap();
    let up = std::fs::read(format!("/proc/{up}/cmdline")).unwrap();
    for ((pid, command), environment) in &deed.samples {
        let mut environment = environment.clone();
        if *command == up {
            // Where it was put by who started the resolver, and what it has forked and is still to become another program.
            let kept = environment.split(|byte| *byte == 0);
            let kept = kept.filter(|variable| !variable.starts_with(VARIABLE.as_bytes()));
            environment = kept.collect::<Vec<_>>().join(&0);
        }
        let name = String::from_utf8_lossy(command).replace('\0', " ");
        sinks.push((format!("the environment of {pid} {name}"), environment));
        sinks.push((format!("the command line of {pid}"), command.clone()));
    }
    sinks
}

/// The names of all that ended so.
pub(super) fn ended(report: &Value, how: &str) -> BTreeSet<String> {
    let ways = report["ways_out"].as_object().expect("what became of each way");
    let ended = ways
        .iter()
        .filter(|(_, outcome)| outcome.as_str().is_some_and(|text| text.starts_with(how)));
    ended.map(|(name, _)| name.clone()).collect()
}

/// Prints what was tried, for who wants to know; checks that there was enough of it.
pub(super) fn tell(report: &Value) {
    let ways = report["ways_out"].as_object().expect("what became of each way");
    let planted = report["planted"].as_array().expect("what was planted");
    for (name, outcome) in ways {
        eprintln!("{name:24} {}", outcome.as_str().unwrap_or_default());
    }
    eprintln!(
        "{} ways out tried, {} payloads planted",
        ways.len(),
        planted.len()
    );
    assert!(
        ways.len() >= WAYS_MIN && planted.len() >= PAYLOADS_MIN,
        "too little was tried"
    );
}

/// Nothing of it got anywhere: no secret, no byte, no payload, no process, no file.
pub(super) async fn came_to_nothing(world: &World, stage: &Stage, deed: &Deed) {
    let report = &deed.dump.report;
    tell(report);
    assert_eq!(report["found"], json!([]), "the agent has found something");
    assert_eq!(ended(report, "OUT"), harmless(world, report), "what got out");
    let out: Vec<_> = stage.collector.seen();
    assert!(
        out.is_empty(),
        "{} came out, the first by {:?}",
        out.len(),
        out[0].0
    );
    assert_eq!(
        stage.left_in("markers"),
        Vec::<String>::new(),
        "payloads were run"
    );
    assert_eq!(
        stage.left_in("outside"),
        Vec::<String>::new(),
        "something was written outside"
    );
    assert_eq!(
        stage.left_in("home"),
        Vec::<String>::new(),
        "something was written to the resolver's home"
    );
    assert!(!stage.has_shared_memory() && !std::path::Path::new("/dev/shm/evil-run").exists());
    assert_eq!(deed.survivors, Vec::<String>::new(), "processes outlived the run");
    the_model_was_asked_for_nothing_else(world);
    let mut sinks = around_the_agent(world, stage, deed);
    it_has_looked(&sinks);
    sinks.extend(sinks::outside(world).await);
    let spans = until(WAIT_MAX, || async {
        Some(stage.spans.seen()).filter(|spans| !spans.is_empty())
    })
    .await;
    let spans = spans.expect("the resolver tells of its spans");
    sinks.extend(spans.into_iter().map(|(_, span)| ("spans".to_owned(), span)));
    let bytes: usize = sinks.iter().map(|(_, bytes)| bytes.len()).sum();
    let hits = found_in(stage, &sinks);
    assert_eq!(
        hits,
        Vec::<String>::new(),
        "canaries in {} sinks of {bytes} bytes",
        sinks.len()
    );
    eprintln!("{} sinks of {bytes} bytes searched, no canary", sinks.len());
}

/// What was dumped is what an agent sees: its environment, processes, folders.
fn it_has_looked(sinks: &Sinks) {
    let seen = sinks
        .iter()
        .find(|(name, _)| name.ends_with("evil-dump/seen") && !name.starts_with("the agent's run"));
    let seen = String::from_utf8_lossy(&seen.expect("there is a dump").1).into_owned();
    for part in [
        "== environment\n",
        "\nPATH=",
        "\n== /proc/",
        "\n== /etc/passwd\nroot:",
        "\n== /proc/net/tcp\n",
    ] {
        assert!(seen.contains(part), "{part:?} was not looked at");
    }
}

/// What may answer inside: what the agent asks of the model itself, and calls that the proxy makes harmless.
fn harmless(world: &World, report: &Value) -> BTreeSet<String> {
    let mut harmless = vec![
        "proxy_web_search",
        "proxy_mcp_tool",
        "proxy_container",
        "proxy_host",
        "proxy_header",
        "proxy_query",
    ];
    let level = world.child("up").unwrap().says["sandbox"]
        .as_str()
        .unwrap()
        .to_owned();
    if level.starts_with("level 1") && !rustix::process::geteuid().is_root() {
        // What level 1 says that it leaves open: modes of files of the same user.
        harmless.push("chmod_outside");
    }
    ended(report, "OUT")
        .into_iter()
        .filter(|name| harmless.contains(&name.as_str()))
        .collect()
}

/// No request to the model asks for anything that the provider would run or fetch, or carries a mark of the agent's
/// beside the words.
fn the_model_was_asked_for_nothing_else(world: &World) {
    for request in world.model.requests() {
        let headers = format!("{:?}", request.headers);
        let marked = [&request.path, &headers]
            .into_iter()
            .any(|text| text.contains("BEACON"));
        assert!(
            !marked && !request.path.contains(".."),
            "{} {headers}",
            request.path
        );
        for key in ["mcp_servers", "container", "background", "previous_response_id"] {
            assert!(
                request.body.get(key).is_none_or(|value| value == false),
                "{key}: {}",
                request.body
            );
        }
        assert_ne!(request.body["store"], json!(true), "{}", request.body);
        let tools = request.body["tools"].as_array().into_iter().flatten();
        for tool in tools {
            assert!(
                ["function", "custom"].contains(&tool["type"].as_str().unwrap_or("function")),
                "{tool}"
            );
        }
        let text = request.body.to_string();
        for part in ["\"image_url\"", "\"file_id\"", "\"server_url\""] {
            assert!(!text.contains(part), "{text}");
        }
    }
}

/// What people read of it is words: no link, no image, nobody is called.
pub(super) fn the_reply_is_words(reply: &Comment) {
    are_words(&reply.text);
}

/// The same of any Markdown that the bot writes.
pub(super) fn are_words(text: &str) {
    for part in [
        "![",
        "](http://evil",
        "\u{202e}",
        "\u{1b}",
        " @everyone",
        " @root",
    ] {
        assert!(!text.contains(part), "{part:?} in\n{text}");
    }
    let without_escapes = text.replace("\\<", "");
    assert!(!without_escapes.contains('<'), "a tag in\n{text}");
}

/// One commit on the source branch, by the bot, whose trailers say the truth; every other branch is as it was.
pub(super) async fn one_commit_was_pushed(world: &World, before: &[String]) {
    let pr = world.pull_request(1);
    let commits = pr.bots_commits().await;
    assert_eq!(commits.len(), 1, "{commits:#?}");
    let directory = tempfile::tempdir().unwrap();
    sinks::git(
        directory.path(),
        &["clone", "--quiet", "--mirror", &pr.clone_url(), "."],
    )
    .await;
    let id = commits[0]["id"].as_str().unwrap();
    let trailers = sinks::git(directory.path(), &["log", "-1", "--format=%(trailers)", id]).await;
    let trailers = String::from_utf8(trailers).unwrap();
    assert_eq!(trailers.matches("Run-Id: ").count(), 1, "{trailers}");
    assert!(
        !trailers.contains("forged") && !trailers.contains("root"),
        "{trailers}"
    );
    let links = sinks::git(directory.path(), &["ls-tree", "-r", id]).await;
    let links = String::from_utf8_lossy(&links).into_owned();
    assert!(!links.contains("160000 "), "no new submodule: {links}");
    assert!(!links.contains(".git/"), "nothing of a repository: {links}");
    for work in [
        "evil.txt",
        "nested/work.txt",
        "by-file/work.txt",
        "by-link/work.txt",
    ] {
        assert!(links.contains(&format!("\t{work}\n")), "{work} was lost: {links}");
    }
    let others = |refs: &[String]| -> Vec<String> {
        refs.iter()
            .filter(|line| !line.contains("feature/1") && !line.contains("pull-requests/1/"))
            .cloned()
            .collect()
    };
    assert_eq!(
        others(&refs(world).await),
        others(before),
        "nothing else has moved"
    );
}

/// Every ref of the repository, with what it points to.
pub(super) async fn refs(world: &World) -> Vec<String> {
    let url = world.pull_request(1).clone_url();
    let listed = sinks::git(std::path::Path::new("/"), &["ls-remote", &url]).await;
    String::from_utf8_lossy(&listed)
        .lines()
        .map(str::to_owned)
        .collect()
}
