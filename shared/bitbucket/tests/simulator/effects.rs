//! What a run does to a pull request beside its status reply: comments on lines, ticks, descriptions, pull requests,
//! builds.

use bitbucket::{ConflictWith, Error, Lines, Missing, NewBuild};
use http::Method;
use pipeline::ids::{CommentId, CommitId};
use serde_json::{Value, json};

use crate::world::{PR, World, demo};

fn lines(first: u32, last: u32, added: bool) -> Lines {
    Lines {
        path: "a.rs".into(),
        first,
        last,
        first_is_added: added && first == last,
        last_is_added: added,
    }
}

#[tokio::test]
async fn a_comment_stands_on_lines_of_the_diff_and_nowhere_else() {
    let world = World::start().await;
    let bot = world.bot();
    let one = bot
        .add_comment_on(&demo(), PR, "new", &lines(2, 2, true))
        .await
        .unwrap();
    let several = bot
        .add_comment_on(&demo(), PR, "both", &lines(1, 2, true))
        .await
        .unwrap();
    let threads = bot.activities(&demo(), PR, 100).await.unwrap().threads;
    let place = |id: CommentId| {
        let thread = threads.iter().find(|thread| thread.comment.id == id).unwrap();
        let anchor = thread.comment.anchor.as_ref().unwrap();
        (anchor.path.clone(), anchor.start_line, anchor.line)
    };
    assert_eq!(place(one.id), ("a.rs".to_owned(), None, Some(2)));
    assert_eq!(place(several.id), ("a.rs".to_owned(), Some(1), Some(2)));
    for wrong in [lines(2, 2, false), lines(70, 70, true)] {
        let refused = bot.add_comment_on(&demo(), PR, "x", &wrong).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn a_task_is_ticked_in_the_version_it_has() {
    let world = World::start().await;
    let bot = world.bot();
    let task = CommentId(
        world
            .comments("alice-t", json!({"text": "do", "severity": "BLOCKER"}))
            .await,
    );
    let stale = bot.tick_task(&demo(), PR, task, 7).await.unwrap_err();
    assert!(
        matches!(
            stale,
            Error::Conflict {
                with: ConflictWith::CommentVersion,
                ..
            }
        ),
        "{stale:?}"
    );
    let ticked = bot.tick_task(&demo(), PR, task, 0).await.unwrap();
    assert_eq!((ticked.state.as_str(), ticked.text.as_str()), ("RESOLVED", "do"));
}

#[tokio::test]
async fn a_description_is_set_and_the_reviewers_stay() {
    let world = World::start().await;
    let bot = world.bot();
    let reviewed = json!({"version": 0, "title": "Three", "reviewers": [{"user": {"name": "carol"}}]});
    world
        .rest("alice-t", Method::PUT, "pull-requests/1", &reviewed)
        .await;
    let seen = bot.pull_request(&demo(), PR).await.unwrap();
    assert_eq!(seen.reviewers, ["carol"]);
    let set = bot.describe_pull_request(&seen, "Four", "Why.").await.unwrap();
    assert_eq!(
        (
            set.title.as_str(),
            set.description.as_str(),
            set.reviewers.as_slice()
        ),
        ("Four", "Why.", ["carol".to_owned()].as_slice())
    );
    let stale = bot.describe_pull_request(&seen, "Five", "").await.unwrap_err();
    assert!(
        matches!(
            stale,
            Error::Conflict {
                with: ConflictWith::PullRequestVersion,
                ..
            }
        ),
        "{stale:?}"
    );
}

#[tokio::test]
async fn a_pull_request_is_opened_once_and_found_again() {
    let world = World::start().await;
    let bot = world.bot();
    let (from, to) = ("refs/heads/main", "refs/heads/feature/x");
    world
        .rest(
            "alice-t",
            Method::POST,
            "branches",
            &json!({"name": "other", "startPoint": from}),
        )
        .await;
    let (demo, other) = (demo(), "refs/heads/feature/x");
    let ends = ((&demo, other), (&demo, "refs/heads/other"));
    assert_eq!(bot.pull_request_between(ends.0, ends.1).await.unwrap(), None);
    let opened = bot
        .open_pull_request(ends.0, ends.1, "Other", "Why.")
        .await
        .unwrap();
    assert_eq!(
        (opened.from_ref.id.as_str(), opened.to_ref.id.as_str()),
        (to, "refs/heads/other")
    );
    let again = bot
        .open_pull_request(ends.0, ends.1, "Other", "")
        .await
        .unwrap_err();
    assert!(matches!(again, Error::Conflict { .. }), "{again:?}");
    let found = bot.pull_request_between(ends.0, ends.1).await.unwrap();
    assert_eq!(found.map(|found| found.id), Some(opened.id));
}

#[tokio::test]
async fn a_build_is_set_also_where_only_the_old_way_is_there() {
    let world = World::start().await;
    let bot = world.bot();
    let commit = bot
        .pull_request(&demo(), PR)
        .await
        .unwrap()
        .from_ref
        .latest_commit;
    let build = |state: &'static str| NewBuild {
        key: "k".into(),
        name: "n".into(),
        state,
        url: "https://bitbucket.example.com/x".into(),
        description: "d".repeat(400),
    };
    bot.set_build(&demo(), &commit, &build("INPROGRESS"))
        .await
        .unwrap();
    let gone = |path: &str| json!({"method": "POST", "path": path, "when": "before", "status": 404, "body": "<html>"});
    world.sim(Method::PUT, "faults", &json!([gone("*/builds")])).await;
    bot.set_build(&demo(), &commit, &build("FAILED")).await.unwrap();
    let shown = bot.build_statuses(&commit).await.unwrap();
    assert_eq!(
        (shown.len(), shown[0].state.as_str()),
        (1, "FAILED"),
        "the same key replaces"
    );
    let faults: Value = json!([gone("*/builds"), gone("*/build-status/*")]);
    world.sim(Method::PUT, "faults", &faults).await;
    let neither = bot
        .set_build(&demo(), &commit, &build("FAILED"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            neither,
            Error::NotFound {
                what: Missing::Route,
                ..
            }
        ),
        "{neither:?}"
    );
}

#[tokio::test]
async fn what_changed_between_two_commits_is_a_diff() {
    let world = World::start().await;
    let bot = world.bot();
    let pull_request = bot.pull_request(&demo(), PR).await.unwrap();
    let ends: [CommitId; 2] = [
        pull_request.to_ref.latest_commit,
        pull_request.from_ref.latest_commit,
    ];
    let diff = bot
        .diff_between(&demo(), &ends[0], &ends[1], 100_000)
        .await
        .unwrap();
    assert!(
        diff.text.contains("+fn three() {}") && !diff.truncated,
        "{}",
        diff.text
    );
    let cut = bot.diff_between(&demo(), &ends[0], &ends[1], 60).await.unwrap();
    assert!(cut.truncated && cut.text.len() <= 60);
}
