//! Pulling the plug: a worker or NATS dies at the worst moments; there is one commit and one reply all the same.
//!
//! The moments are reached from outside: the model or Bitbucket holds an answer back, and the process is killed there.

use pipeline::run::RunState;
use pipeline::subject;
use serde_json::json;
use tests::git_cli;
use tests::inside;
use tests::nats_proxy::NatsProxy;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{scenario_in, works};

fn apart() -> Setup {
    Setup {
        separate_roles: true,
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_resolver_killed_while_the_agent_works_starts_again() {
    scenario_in(apart(), async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true}},
            {"reply": works("echo done >> work.txt", "Done at the second go.")},
        ]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        world.kill("resolver").await.unwrap();
        world.start_role("resolver").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.pull_request(1).file("work.txt").await, "done\n");
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_before_its_push_arrives_pushes_once() {
    scenario_in(apart(), async |world| {
        let hold = world
            .holds_next("POST", "*/git-receive-pack", "before")
            .await
            .unwrap();
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.held(hold).await.unwrap();
        world.dies_and_comes_back("resolver", hold).await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_after_its_push_finds_it_and_does_not_work_again() {
    scenario_in(apart(), async |world| {
        let hold = world
            .holds_next("POST", "*/git-receive-pack", "after")
            .await
            .unwrap();
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.held(hold).await.unwrap();
        let asked = world.model.requests().len();
        world.dies_and_comes_back("resolver", hold).await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
        assert_eq!(
            world.model.requests().len(),
            asked,
            "the agent did not run a second time"
        );
    })
    .await;
}

#[tokio::test]
async fn a_push_that_arrives_after_the_next_attempt_has_looked_for_it_is_found() {
    scenario_in(apart(), async |world| {
        let base = world.pull_request(1).head().await;
        let (url, branch) = (world.pull_request(1).clone_url(), world.pull_request(1).branch());
        let pushing = world
            .holds_next("POST", "*/git-receive-pack", "after")
            .await
            .unwrap();
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.held(pushing).await.unwrap();
        let asked = world.model.requests().len();
        world.kill("resolver").await.unwrap();
        // As if the server took its time: the branch has nothing when the next attempt looks, and then it has.
        let clone = git_cli::clone(&url, &branch).await.unwrap();
        let put = async |commit: &str| {
            let to = format!("+{commit}:refs/heads/{branch}");
            let pushed = git_cli::git(clone.path(), &["push", "--quiet", "origin", &to]).await;
            pushed.unwrap();
        };
        put(&base).await;
        let looking = world
            .holds_next("POST", "*/git-upload-pack", "after")
            .await
            .unwrap();
        world.start_role("resolver").await.unwrap();
        world.held(looking).await.unwrap();
        put("HEAD").await;
        world.lets_go(looking).await.unwrap();

        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
        assert_eq!(
            world.model.requests().len(),
            asked,
            "the agent did not run a second time"
        );
    })
    .await;
}

#[tokio::test]
async fn a_reply_killed_before_its_comment_arrives_writes_one() {
    scenario_in(apart(), async |world| {
        let hold = world
            .holds_next("POST", "/rest/api/*/pull-requests/1/comments", "before")
            .await
            .unwrap();
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.held(hold).await.unwrap();
        world.dies_and_comes_back("reply", hold).await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
    })
    .await;
}

#[tokio::test]
async fn a_reply_killed_after_its_comment_arrived_finds_it_and_edits_it() {
    scenario_in(apart(), async |world| {
        let hold = world
            .holds_next("POST", "/rest/api/*/pull-requests/1/comments", "after")
            .await
            .unwrap();
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.held(hold).await.unwrap();
        let posted = world.pull_request(1).reply_to(comment).await;
        world.dies_and_comes_back("reply", hold).await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert_eq!(reply.id, posted.id, "the same comment, edited");
    })
    .await;
}

#[tokio::test]
async fn a_reply_killed_after_its_last_edit_leaves_it_as_it_is() {
    scenario_in(apart(), async |world| {
        world.script(json!([{"reply": {"hold": true, "then": works("echo done >> work.txt", "Done.")}}]));
        let pr = world.pull_request(1);
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        pr.wait_for("a sign of work", |comments| {
            comments
                .iter()
                .any(|c| c.is_bots() && c.text.starts_with("**Working"))
                .then_some(())
        })
        .await;
        let hold = world
            .holds_next("PUT", "/rest/api/*/pull-requests/1/comments/*", "after")
            .await
            .unwrap();
        world.model.release();
        world.held(hold).await.unwrap();
        let written = pr.final_reply_to(comment).await;
        world.dies_and_comes_back("reply", hold).await.unwrap();
        let pr = world.pull_request(1);
        pr.reaction_to(comment, "white_check_mark").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(
            (reply.id, reply.version),
            (written.id, written.version),
            "found as it was, and not written again"
        );
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_between_the_end_of_its_run_and_the_acknowledgement_changes_nothing() {
    scenario_in(apart(), async |world| {
        let server = world.nats.as_ref().unwrap().url();
        let proxy = NatsProxy::start(server.replace("nats://", ""), b"+ACK")
            .await
            .unwrap();
        world.kill("resolver").await.unwrap();
        let config = world.path("resolver.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace(&server, &proxy.url())).unwrap();
        world.start_role("resolver").await.unwrap();

        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        proxy.was_cut().await.unwrap();
        world.kill("resolver").await.unwrap();
        let nats = inside::connect(world).await.unwrap();
        let before = inside::runs(&nats).await.unwrap();
        assert_eq!(before[0].state, RunState::Done);
        let waiting = inside::messages(&nats, subject::JOBS).await.unwrap();
        assert_eq!(waiting, 1, "the job was not acknowledged");
        let written = world.pull_request(1).final_reply_to(comment).await;
        world.start_role("resolver").await.unwrap();
        let acknowledged = until(WAIT_MAX, || async {
            (inside::messages(&nats, subject::JOBS).await.ok()? == 0).then_some(())
        });
        acknowledged
            .await
            .expect("the job is acknowledged by the next resolver");
        let after = inside::runs(&nats).await.unwrap();
        assert_eq!((after[0].n, &after[0].outcome), (before[0].n, &before[0].outcome));
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert_eq!(reply.text, written.text);
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
        assert_eq!(world.model.requests().len(), 1, "the agent ran once");
    })
    .await;
}

#[tokio::test]
async fn every_role_killed_in_turn_loses_and_doubles_nothing() {
    scenario_in(apart(), async |world| {
        for role in [
            "webhook-ingest",
            "mention-parser",
            "context-builder",
            "resolver",
            "reply",
        ] {
            let comment = world
                .alice()
                .comments(1, &format!("@openhands while {role} dies"))
                .await
                .unwrap();
            world.pull_request(1).reply_to(comment).await;
            world.kill(role).await.unwrap();
            world.start_role(role).await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{role}: {}", reply.text);
        }
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_nats_server_killed_and_restarted_in_the_middle_of_a_run_is_survived() {
    scenario_in(apart(), async |world| {
        world.script(json!([{"reply": {"hold": true, "then": works("echo done >> work.txt", "Done.")}}]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let nats = world.nats.as_mut().unwrap();
        nats.kill().await.unwrap();
        nats.restart().await.unwrap();
        let pr = world.pull_request(1);
        // A server that was away longer than the ack wait has the job delivered again; whoever works then asks again.
        let reply = pr.final_reply_releasing_the_model(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_whole_up_killed_in_the_middle_of_a_run_goes_on_after_its_restart() {
    scenario_in(Setup::default(), async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true}},
            {"reply": works("echo done >> work.txt", "Done.")},
        ]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        world.kill("up").await.unwrap();
        world.start_role("up").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    })
    .await;
}
