//! What operators see: health, metrics, `runs`.

use tests::world::{World, scenario};

use crate::starting_and_stopping::executable;

/// A text with run ids, commit ids, ports and durations replaced, for snapshots.
pub(crate) fn redacted(text: &str) -> String {
    let lines = text
        .split('\n')
        .map(|line| line.split(' ').map(redacted_word).collect::<Vec<_>>().join(" "));
    let text = lines.collect::<Vec<_>>().join("\n");
    // On a busy machine what takes no second elsewhere may take one.
    text.replace("under <time>", "<time>")
}

fn redacted_word(word: &str) -> String {
    const COMMIT_DIGITS_MIN: usize = 11;
    let is_hex = |part: &&str| {
        part.len() >= COMMIT_DIGITS_MIN
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let mut word = word.to_owned();
    for part in word
        .clone()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(is_hex)
    {
        word = word.replace(part, "<commit>");
    }
    for part in word
        .clone()
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != ':' && c != '.')
    {
        let is_time = part
            .strip_suffix('s')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if part.starts_with("r-") && part.len() == 14 {
            word = word.replace(part, "<run>");
        } else if part.starts_with("127.0.0.1:") {
            word = word.replace(part, "<bitbucket>");
        } else if is_time {
            word = word.replace(part, "<time>");
        }
    }
    word
}

pub(crate) async fn page(world: &World, path: &str) -> String {
    let health = world.child("up").unwrap().says["health"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .http
        .get(format!("http://{health}{path}"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

fn config(world: &World) -> String {
    world.path("resolver.toml").to_str().unwrap().to_owned()
}

#[tokio::test]
async fn health_and_metrics_tell_what_happened() {
    scenario(async |world| {
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
        let ready = page(world, "/readyz").await;
        assert!(
            ready.contains("\"ready\":true") && ready.contains("\"level\":\"level "),
            "{ready}"
        );
        let metrics = page(world, "/metrics").await;
        let queues = [
            "resolver_queue_depth{consumer=\"resolver\"}",
            "resolver_runs{state=\"queued\"}",
        ];
        for part in ["deliveries", "bitbucket", "publish"].into_iter().chain(queues) {
            assert!(metrics.contains(part), "{part} is missing:\n{metrics}");
        }
        assert!(metrics.contains("done"), "the run's end is counted:\n{metrics}");
    })
    .await;
}

#[tokio::test]
async fn a_refused_token_is_told_while_it_lasts_and_the_roles_stay_ready() {
    scenario(async |world| {
        let (token, right) = (world.path("bot-token"), "bot-t");
        assert_eq!(world.end("up").await.unwrap(), 0);
        std::fs::write(&token, "revoked-t").unwrap();
        world.start_resolver().await.unwrap();
        let world = &*world;
        let told = |is_told: bool| {
            tests::waiting::until(tests::waiting::WAIT_MAX, move || async move {
                let ready = page(world, "/readyz").await;
                let is = ready.contains("connection main: Bitbucket refused the access token");
                (is == is_told && ready.contains("\"ready\":true")).then_some(ready)
            })
        };
        let ready = told(true).await.expect("the refused token is told");
        assert!(!ready.contains("revoked-t"), "{ready}");
        std::fs::write(&token, right).unwrap();
        told(false).await.expect("the warning is taken back");
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
    })
    .await;
}

#[tokio::test]
async fn runs_list_show_and_why_answer_an_operator() {
    scenario(async |world| {
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
        let ignored = world.alice().comments(1, "nothing for a bot").await.unwrap();
        let refused = world
            .http
            .post(world.webhook_url())
            .body("x")
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), 401);

        let config = config(world);
        let listed = tests::waiting::until(tests::waiting::WAIT_MAX, || async {
            let (code, stdout, stderr) = executable(&["runs", "list", "--config", &config]).await;
            assert_eq!(code, 0, "{stderr}");
            stdout.contains("1 refused as 401").then_some(stdout)
        });
        let listed = listed.await.expect("the refused delivery is counted");
        assert!(
            listed.contains("done") && listed.contains("PROJ/demo #1") && listed.contains("fix it"),
            "{listed}"
        );

        let run = listed
            .split_whitespace()
            .find(|word| word.starts_with("r-"))
            .unwrap()
            .to_owned();
        let (code, patch, stderr) = executable(&["runs", "show", &run, "--patch", "--config", &config]).await;
        assert!(
            code == 0 && patch.contains("+// looked at by the bot"),
            "{patch}{stderr}"
        );
        let (code, brief, stderr) = executable(&["runs", "show", &run, "--brief", "--config", &config]).await;
        assert!(code == 0 && brief.contains("fix it"), "{brief}{stderr}");

        let (code, why, stderr) =
            executable(&["runs", "why", &comment.to_string(), "--config", &config]).await;
        assert!(
            code == 0 && why.contains("queued") && why.contains(&run),
            "{why}{stderr}"
        );
        let last = why.lines().last().unwrap_or_default();
        assert!(
            last.starts_with(&format!("run {run}: done, "))
                && last.contains("refs/heads/feature/1, reply is comment "),
            "{why}"
        );
        let why_ignored = tests::waiting::until(tests::waiting::WAIT_MAX, || async {
            let (code, stdout, _) =
                executable(&["runs", "why", &ignored.to_string(), "--config", &config]).await;
            (code == 0).then_some(stdout)
        });
        assert!(
            why_ignored
                .await
                .expect("an ignored comment has a decision")
                .contains("ignored")
        );
        let (code, _, stderr) = executable(&["runs", "why", "999999", "--config", &config]).await;
        assert!(code == 1 && stderr.contains("nothing is recorded"), "{stderr}");
    })
    .await;
}

#[tokio::test]
async fn a_runs_record_and_transcript_say_who_worked_how_confined_and_what_was_said() {
    scenario(async |world| {
        world.agent_runs("echo done > work.txt", "Did it.");
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
        let config = config(world);
        let (_, listed, _) = executable(&["runs", "list", "--json", "--config", &config]).await;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let run = listed["runs"][0]["id"].as_str().unwrap();

        let (_, shown, _) = executable(&["runs", "show", run, "--config", &config]).await;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["setup"]["agent"], "builtin");
        assert_eq!(shown["setup"]["model"], "default");
        let level = shown["setup"]["sandbox"]["level"].as_u64().unwrap();
        assert!(level >= 1, "agents are confined: {shown}");
        let says = world.child("up").unwrap().says["sandbox"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            shown["setup"]["sandbox"]["name"],
            says.as_str(),
            "as it said at start"
        );

        let arguments = ["runs", "show", run, "--transcript", "--config", &config];
        let (code, transcript, stderr) = executable(&arguments).await;
        assert_eq!(code, 0, "{stderr}");
        let lines: Vec<serde_json::Value> = transcript
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 1, "one line for each call: {transcript}");
        for part in ["do it", "echo done > work.txt", "Did it."] {
            assert!(transcript.contains(part), "{part}: {transcript}");
        }
        let two = [&arguments[..], &["--patch"]].concat();
        let (code, ..) = executable(&two).await;
        assert_ne!(code, 0, "one part at a time");
    })
    .await;
}
