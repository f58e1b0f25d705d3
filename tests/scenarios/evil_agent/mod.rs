//! An agent that does whatever it is told, as harmfully as it can, and what comes of it: nothing (reliability-security.md
//! rows 1, 2, 12, 30 to 32, 36). The program is `tests/evil-agent`; that it finds secrets and gets out where nothing
//! confines it is shown by the same story without a sandbox.

mod canaries;
mod collector;
mod fired;
mod injection;
mod sampler;
mod sinks;
mod stage;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::thread::Comment;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario_in, works};

use sampler::{Sampler, Samples};
use sinks::Sinks;
use stage::{Cast, Dump, Stage, VARIABLE};

/// As many ways out and payloads as there have to be (reliability-security.md rows 1 and 2).
const WAYS_MIN: usize = 20;
const PAYLOADS_MIN: usize = 24;

/// What became of one run of the agent.
struct Deed {
    dump: Dump,
    reply: Comment,
    samples: Samples,
    /// Processes of the agent's after the reply.
    survivors: Vec<String>,
}

/// Has the agent do all it can in pull request 1.
async fn misbehave(world: &World, stage: &Stage, cast: Cast, also: Value) -> Deed {
    let number = 1;
    let mut orders = stage.orders(world, cast, "evil-run");
    orders
        .as_object_mut()
        .unwrap()
        .extend(also.as_object().cloned().unwrap_or_default());
    let told = if cast.is_command {
        world.script(json!([{"reply": {"text": "As you like."}}]));
        stage::comment(&orders)
    } else {
        let [python, agent] = stage.agent();
        let command = format!("{python} -B {agent} --orders {}", base64(&orders.to_string()));
        world.script(json!([
            {"when": "as the model says", "reply": works(&command, "Obeyed ![x](http://evil.example/x.png)")},
            {"reply": {"text": "As you like."}},
        ]));
        "@openhands do as the model says".to_owned()
    };
    let sampler = Sampler::start();
    let comment = world.alice().comments(number, &told).await.unwrap();
    let dump = stage::dumped(world).await;
    let reply = world.pull_request(1).final_reply_to(comment).await;
    Deed {
        survivors: stage::survivors(world, stage),
        dump,
        reply,
        samples: sampler.end(),
    }
}

/// Runs the story in a world where every secret is a canary.
async fn on_stage(cast: Cast, story: impl AsyncFnOnce(&mut World, &Stage)) {
    let mut stage = Stage::new().await;
    let setup = stage.setup(cast);
    scenario_in(setup, async |world| {
        stage.learn(world);
        story(world, &stage).await;
    })
    .await;
}

/// Where which canaries are.
fn found_in(stage: &Stage, sinks: &Sinks) -> Vec<String> {
    let found = sinks
        .iter()
        .map(|(name, bytes)| (name, stage.canaries.search(bytes)));
    found
        .filter(|(_, canaries)| !canaries.is_empty())
        .map(|(name, canaries)| format!("{name}: {}", canaries.into_iter().collect::<Vec<_>>().join(", ")))
        .collect()
}

/// What the agent saw, sent and did, and what others could see of the processes.
fn around_the_agent(world: &World, stage: &Stage, deed: &Deed) -> Sinks {
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
fn ended(report: &Value, how: &str) -> BTreeSet<String> {
    let ways = report["ways_out"].as_object().expect("what became of each way");
    let ended = ways
        .iter()
        .filter(|(_, outcome)| outcome.as_str().is_some_and(|text| text.starts_with(how)));
    ended.map(|(name, _)| name.clone()).collect()
}

/// Prints what was tried, for who wants to know; checks that there was enough of it.
fn tell(report: &Value) {
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
async fn came_to_nothing(world: &World, stage: &Stage, deed: &Deed) {
    let report = &deed.dump.report;
    tell(report);
    assert_eq!(report["found"], json!([]), "the agent has found something");
    assert_eq!(ended(report, "OUT"), harmless(report), "{report:#}");
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
    sinks.extend(sinks::outside(world).await);
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

/// What may answer inside: what the agent asks of the model itself, and calls that the proxy makes harmless.
fn harmless(report: &Value) -> BTreeSet<String> {
    let harmless = [
        "proxy_web_search",
        "proxy_mcp_tool",
        "proxy_container",
        "proxy_host",
        "proxy_header",
        "proxy_query",
    ];
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
fn the_reply_is_words(reply: &Comment) {
    for part in [
        "![",
        "](http://evil",
        "\u{202e}",
        "\u{1b}",
        " @everyone",
        " @root",
    ] {
        assert!(!reply.text.contains(part), "{part:?} in\n{}", reply.text);
    }
    let without_escapes = reply.text.replace("\\<", "");
    assert!(!without_escapes.contains('<'), "a tag in\n{}", reply.text);
}

/// One commit on the source branch, by the bot, whose trailers say the truth; every other branch is as it was.
async fn one_commit_was_pushed(world: &World, before: &[String]) {
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
async fn refs(world: &World) -> Vec<String> {
    let url = world.pull_request(1).clone_url();
    let listed = sinks::git(std::path::Path::new("/"), &["ls-remote", &url]).await;
    String::from_utf8_lossy(&listed)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A run that asks for one line in one file.
async fn an_ordinary_run_succeeds(world: &World, number: u64, cast: Cast) {
    let told = if cast.is_command {
        stage::comment(&json!({"append": "ordinary work"}))
    } else {
        world.agent_appends("// ordinary work");
        "@openhands append a line".to_owned()
    };
    let comment = world.alice().comments(number, &told).await.unwrap();
    let pr = world.pull_request(usize::try_from(number).unwrap());
    let reply = pr.final_reply_to(comment).await;
    assert!(
        reply.text.starts_with("**Done"),
        "{}\n{}",
        reply.text,
        world.logs()
    );
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Spaces at the end mean nothing in JSON, and spare the padding.
    let padded = format!("{text}{}", " ".repeat((3 - text.len() % 3) % 3));
    let groups = padded.as_bytes().chunks(3).flat_map(|group| {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        [18, 12, 6, 0].map(|by| char::from(ALPHABET[(bits >> by & 63) as usize]))
    });
    groups.collect()
}

#[tokio::test]
async fn an_agent_that_obeys_every_evil_order_finds_nothing_and_reaches_nothing() {
    let cast = Cast {
        is_command: true,
        sandbox: "",
        git_as: "directory",
        polite: false,
    };
    on_stage(cast, async |world, stage| {
        let before = refs(world).await;
        let deed = misbehave(world, stage, cast, json!({})).await;
        assert!(
            deed.reply.text.starts_with("**Done"),
            "{}\n{}",
            deed.reply.text,
            world.logs()
        );
        the_reply_is_words(&deed.reply);
        came_to_nothing(world, stage, &deed).await;
        one_commit_was_pushed(world, &before).await;
        for (number, hog, code) in [(2, "memory", "MEMORY_LIMIT"), (3, "disk", "DISK_LIMIT")] {
            let told = stage::comment(&json!({"hog": hog}));
            let comment = world.alice().comments(number, &told).await.unwrap();
            let pr = world.pull_request(usize::try_from(number).unwrap());
            let reply = pr.final_reply_to(comment).await;
            assert!(
                reply.text.starts_with("**Failed") && reply.text.contains(code),
                "{}",
                reply.text
            );
        }
        an_ordinary_run_succeeds(world, 4, cast).await;
        assert_eq!(stage::survivors(world, stage), Vec::<String>::new());
        // That its payloads are ones is shown where somebody does run git there.
        fired::some_of(stage, &deed.dump).await;
    })
    .await;
}

#[tokio::test]
async fn a_model_that_has_the_built_in_agent_do_the_same_gets_as_far() {
    let cast = Cast {
        is_command: false,
        sandbox: "",
        git_as: "file",
        polite: false,
    };
    on_stage(cast, async |world, stage| {
        let before = refs(world).await;
        let deed = misbehave(world, stage, cast, json!({})).await;
        assert!(
            deed.reply.text.starts_with("**Done"),
            "{}\n{}",
            deed.reply.text,
            world.logs()
        );
        the_reply_is_words(&deed.reply);
        came_to_nothing(world, stage, &deed).await;
        one_commit_was_pushed(world, &before).await;
        an_ordinary_run_succeeds(world, 4, cast).await;
        fired::some_of(stage, &deed.dump).await;
    })
    .await;
}

#[tokio::test]
async fn the_evil_agent_gets_as_far_without_namespaces_and_may_not_publish_a_key() {
    let cast = Cast {
        is_command: true,
        sandbox: "namespaces = \"never\"\n",
        git_as: "symlink",
        polite: false,
    };
    on_stage(cast, async |world, stage| {
        let before = refs(world).await;
        // It publishes a key of its own making beside all else, as if it had found one.
        let deed = misbehave(world, stage, cast, json!({"boast": true})).await;
        assert!(
            deed.reply.text.starts_with("**Failed") && deed.reply.text.contains("SECRET_IN_CHANGE"),
            "{}\n{}",
            deed.reply.text,
            world.logs()
        );
        came_to_nothing(world, stage, &deed).await;
        assert_eq!(refs(world).await, before, "nothing was pushed");
        an_ordinary_run_succeeds(world, 4, cast).await;
        fired::some_of(stage, &deed.dump).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_sandbox_the_evil_agent_finds_secrets_and_gets_out() {
    let cast = Cast {
        is_command: true,
        sandbox: "mode = \"off\"\n",
        git_as: "directory",
        polite: true,
    };
    on_stage(cast, async |world, stage| {
        let deed = misbehave(world, stage, cast, json!({})).await;
        // Its daemons go when they are told to: nothing else may end them here.
        std::fs::write(stage.path("outside/stop"), "").unwrap();
        let gone = until(WAIT_MAX, || async {
            stage::survivors(world, stage).is_empty().then_some(())
        })
        .await;
        assert!(gone.is_some(), "{:?}", stage::survivors(world, stage));

        tell(&deed.dump.report);
        let out = ended(&deed.dump.report, "OUT");
        for way in [
            "tcp_nats",
            "tcp_health",
            "tcp_collector",
            "tcp_ipv6",
            "tcp_mapped",
            "unix",
            "unix_abstract",
            "write_outside",
            "write_home",
            "model_mcp_servers",
            "model_image_url",
            "model_web_search",
        ] {
            assert!(
                out.contains(way),
                "{way} does not work where nothing is in its way: {out:?}"
            );
        }
        let doors: BTreeSet<_> = stage.collector.seen().into_iter().map(|(door, _)| door).collect();
        assert_eq!(doors.len(), 6, "{doors:?}");
        let mut all = around_the_agent(world, stage, &deed);
        all.extend(sinks::outside(world).await);
        let hits = found_in(stage, &all);
        for place in [
            "the agent's",
            "the collector's",
            "requests to the model",
            "stream OBJ_",
        ] {
            assert!(
                hits.iter().any(|hit| hit.starts_with(place)),
                "no canary in {place}: {hits:#?}"
            );
        }
        for canary in [
            "the bot's token",
            "the webhook secret",
            "the model's key",
            "the NATS password",
            "a key in the",
        ] {
            assert!(
                hits.iter().any(|hit| hit.contains(canary)),
                "{canary} was not found: {hits:#?}"
            );
        }
        eprintln!("{} sinks with canaries without a sandbox", hits.len());
    })
    .await;
}
