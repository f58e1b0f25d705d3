//! An agent that does whatever it is told, as harmfully as it can, and what comes of it: nothing (reliability-security.md
//! rows 1, 2, 12, 30 to 32, 36). The program is `tests/evil-agent`; that it finds secrets and gets out where nothing
//! confines it is shown by the same story without a sandbox.

mod canaries;
mod collector;
mod commands;
mod declared;
mod fired;
mod injection;
mod judged;
mod sampler;
mod sinks;
mod stage;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::thread::Comment;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario_in, works};

use judged::{
    around_the_agent, came_to_nothing, ended, found_in, one_commit_was_pushed, refs, tell, the_reply_is_words,
};
use sampler::{Sampler, Samples};
use stage::{Cast, Dump, Stage};

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
