//! Source branches with odd names: what git and Bitbucket take, the bot takes, too.

use serde_json::json;
use tests::git_cli;
use tests::setup::{FILE, Setup};

use crate::verb_queries::however_delivered;

/// Slashes, characters that mean something in URLs, other scripts, what looks like an option, a ref or Markdown.
const NAMES: [&str; 6] = [
    "feature/a/b#1%20",
    "-rf",
    "ünïcode/вётка",
    "refs/heads/x",
    "a+b&c=d",
    "`x`_!",
];

#[tokio::test]
async fn branches_with_odd_names_get_their_push_and_their_merge() {
    let mut setup = Setup {
        pull_requests: NAMES.len(),
        ..Setup::default()
    };
    let mut document = setup.document();
    for (number, name) in NAMES.iter().enumerate() {
        let branches = document["repositories"][0]["branches"].as_object_mut().unwrap();
        let branch = branches.remove(&format!("feature/{}", number + 1)).unwrap();
        branches.insert((*name).to_owned(), branch);
        document["pull_requests"][number]["from"] = json!(name);
    }
    setup.document = Some(document);
    however_delivered(setup, async |world| {
        world.agent_runs(&format!("sed -i 's/a - b/a + b/' {FILE}"), "Repaired the sign.");
        let url = world.pull_request(1).clone_url();
        let alice = world.alice();
        let mut asked = Vec::new();
        for number in 1..=NAMES.len() {
            let comment = alice.comments(number as u64, "@openhands fix the sign");
            asked.push(comment.await.unwrap());
        }
        for (number, (name, comment)) in NAMES.iter().zip(asked).enumerate() {
            let reply = world.pull_request(number + 1).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{name}: {}", reply.text);
        }
        git_cli::commit_and_push(&url, "main", "notes.txt", "by a person\n")
            .await
            .unwrap();
        for (number, name) in NAMES.iter().enumerate() {
            let number = number + 1;
            let comment = alice.comments(number as u64, "@openhands update branch");
            let reply = world
                .pull_request(number)
                .final_reply_to(comment.await.unwrap())
                .await;
            assert!(reply.text.starts_with("**Done"), "{name}: {}", reply.text);
            let head = git_cli::remote_head(&url, name).await.unwrap();
            let ours = world.pull_request(number).bots_commits().await;
            assert_eq!(ours[0]["id"], head.as_str(), "{name}");
            assert_eq!(ours.len(), 2, "{name}");
        }
    })
    .await;
}
