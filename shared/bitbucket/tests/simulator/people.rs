//! Who the bot is, who may, and which token is good.

use bitbucket::{Error, Missing};
use pipeline::ids::PullRequestId;

use crate::world::{PR, World, demo, person, repository, sandbox};

#[tokio::test]
async fn the_bot_knows_itself_by_name_slug_and_email() {
    let world = World::start().await;
    let bot = world.bot().bot().await.unwrap();
    assert_eq!(
        (bot.name.as_str(), bot.slug.as_deref()),
        ("open.hands", Some("open_hands"))
    );
    assert_eq!(
        (bot.display_name.as_str(), bot.email.as_deref()),
        ("The Bot", Some("bot@example.test"))
    );
    assert!(bot.is(&person("open.hands")));
    assert!(!bot.is(&person("alice")));
}

#[tokio::test]
async fn writers_by_group_by_grant_and_by_being_admin_may_and_readers_may_not() {
    let world = World::start().await;
    let bot = world.bot();
    for (name, expected) in [
        ("alice", true),
        ("root", true),
        ("open.hands", true),
        ("alice2", false),
        ("carol", false),
        ("ali", false),
    ] {
        assert_eq!(
            bot.may(&demo(), &person(name), "REPO_WRITE").await.unwrap(),
            expected,
            "{name}"
        );
    }
    assert!(bot.may(&demo(), &person("alice2"), "REPO_READ").await.unwrap());
    assert!(bot.may(&sandbox(), &person("alice"), "REPO_WRITE").await.unwrap());
    assert!(!bot.may(&sandbox(), &person("alice2"), "REPO_READ").await.unwrap());
}

#[tokio::test]
async fn a_permission_of_no_repository_and_of_no_such_name_is_never_given() {
    let world = World::start().await;
    let gone = repository(1000, "PROJ", "gone");
    assert!(
        world
            .bot()
            .may(&gone, &person("alice"), "REPO_WRITE")
            .await
            .is_err()
    );
    assert!(
        world
            .bot()
            .may(&demo(), &person("alice"), "REPO_WRITES")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_bad_token_is_told_from_a_lacking_permission_and_from_what_is_not_there() {
    let world = World::start().await;
    let error = world
        .client("stolen")
        .pull_request(&demo(), PR)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    let error = world.client("stolen").bot().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    let error = world
        .client("carol-t")
        .pull_request(&demo(), PR)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
    for (repository, id, expected) in [
        (repository(1, "NONE", "demo"), 1, Missing::Project),
        (repository(1, "PROJ", "none"), 1, Missing::Repository),
        (demo(), 404, Missing::PullRequest),
    ] {
        let error = world
            .bot()
            .pull_request(&repository, PullRequestId(id))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::NotFound { what, .. } if what == expected),
            "{error:?}"
        );
    }
}
