//! Items 1, 8, 9, 13: who calls, what they may do, and under which name.

use serde_json::json;

use crate::scene::{BOT, By, JANE, READER, ROOT, STRANGER, Scene, world};
use crate::shape::assert_like;

#[tokio::test]
async fn a_missing_permission_is_401_with_the_callers_name() {
    let scene = Scene::start().await;
    let answer = scene.pr(STRANGER, "GET", "", None).await.is(401);
    assert_eq!(answer.exception(), "AuthorisationException");
    assert_eq!(answer.headers["x-ausername"], "stranger");
    assert_like(
        include_str!("../../fixtures/rest_error_401_permission.json"),
        &answer.text,
    );
    let answer = scene
        .repo(
            READER,
            "POST",
            "/branches",
            Some(json!({"name": "x", "startPoint": "main"})),
        )
        .await;
    assert_eq!(answer.is(401).exception(), "AuthorisationException");
}

#[tokio::test]
async fn wrong_credentials_and_no_credentials_are_told_apart() {
    let scene = Scene::start().await;
    let answer = scene.pr(By::Token("wrong"), "GET", "", None).await.is(401);
    assert_eq!(
        answer.exception(),
        "auth.IncorrectPasswordAuthenticationException"
    );
    assert!(!answer.headers.contains_key("x-ausername"));
    assert_like(
        include_str!("../../fixtures/rest_error_401_bad_password.json"),
        &answer.text,
    );
    let answer = scene.pr(By::Nobody, "GET", "", None).await.is(401);
    assert!(answer.exception().ends_with("AuthenticationRequiredException"));
}

#[tokio::test]
async fn application_properties_tell_anybody_the_version_and_the_caller_their_name() {
    let scene = Scene::start().await;
    let answer = scene
        .api(By::Nobody, "GET", "/application-properties", None)
        .await
        .is(200);
    assert!(!answer.headers.contains_key("x-ausername"));
    assert_like(
        include_str!("../../fixtures/rest_application_properties.json"),
        &answer.text,
    );
    let answer = scene
        .api(BOT, "GET", "/application-properties", None)
        .await
        .is(200);
    assert_eq!(
        (&answer.headers["x-ausername"], &answer.headers["x-auserid"]),
        (&"openhands".parse().unwrap(), &"202".parse().unwrap())
    );
}

#[tokio::test]
async fn a_token_bounds_what_its_owner_may_do() {
    let scene = Scene::start().await;
    let branch = |name| Some(json!({"name": name, "startPoint": "main"}));
    scene.repo(JANE, "POST", "/branches", branch("a")).await.is(200);
    scene
        .repo(By::Token("jane-read-t"), "POST", "/branches", branch("b"))
        .await
        .is(401);
    scene.repo(JANE, "GET", "/webhooks", None).await.is(401);
    scene.repo(ROOT, "GET", "/webhooks", None).await.is(200);
    scene
        .api(ROOT, "GET", "/admin/rate-limit/settings/users", None)
        .await
        .is(401);
    scene
        .api(
            By::Basic("root", "secret"),
            "GET",
            "/admin/rate-limit/settings/users",
            None,
        )
        .await
        .is(200);
}

const WRITERS: &str =
    "/users?filter=r&permission.1=REPO_WRITE&permission.1.projectKey=PROJ&permission.1.repositorySlug=demo";

fn names(answer: &crate::scene::Answer) -> Vec<String> {
    let json = answer.json();
    json["values"]
        .as_array()
        .expect("a page")
        .iter()
        .map(|user| user["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn a_permission_condition_counts_groups_projects_and_admins() {
    let scene = Scene::start().await;
    let answer = scene
        .api(BOT, "GET", &WRITERS.replace("filter=r&", ""), None)
        .await
        .is(200);
    let mut found = names(&answer);
    found.sort();
    assert_eq!(found, ["jcitizen", "openhands", "root"]);
    assert_eq!(names(&scene.api(BOT, "GET", WRITERS, None).await), ["root"]);
}

#[tokio::test]
async fn a_misspelt_permission_condition_fails_open_and_an_unknown_repository_is_400() {
    let scene = Scene::start().await;
    let everybody = names(&scene.api(BOT, "GET", "/users", None).await);
    assert_eq!(everybody.len(), 5);
    for wrong in ["permission.0", "permission.2", "permissions.1"] {
        let path = WRITERS.replace("filter=r&", "").replace("permission.1", wrong);
        assert_eq!(
            names(&scene.api(BOT, "GET", &path, None).await),
            everybody,
            "{wrong}"
        );
    }
    scene
        .api(BOT, "GET", &WRITERS.replace("demo", "nope"), None)
        .await
        .is(400);
}

#[tokio::test]
async fn the_users_filter_is_a_contains_match() {
    let scene = Scene::start().await;
    assert_eq!(
        names(&scene.api(BOT, "GET", "/users?filter=CITIZ", None).await),
        ["jcitizen"]
    );
    assert_eq!(
        names(&scene.api(BOT, "GET", "/users?filter=example.com", None).await).len(),
        4
    );
}

#[tokio::test]
async fn paths_carry_the_slug_and_not_the_name() {
    let mut world = world();
    world["users"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "jane@example", "tokens": []}));
    let scene = Scene::with(world, "", bitbucket_sim::Payloads::V9).await;
    let user = scene.api(BOT, "GET", "/users/jane_example", None).await.is(200);
    assert_eq!(user.json()["name"], "jane@example");
    assert!(user.json().get("emailAddress").is_none());
    scene.api(BOT, "GET", "/users/jane@example", None).await.is(404);
    let user = scene.api(BOT, "GET", "/users/jcitizen", None).await.is(200);
    assert_like(include_str!("../../fixtures/rest_user.json"), &user.text);
}

#[tokio::test]
async fn tokens_work_below_rest_and_scm_only() {
    let scene = Scene::start().await;
    for path in [
        "/projects/PROJ/repos/demo/pull-requests/7",
        "/plugins/servlet/applinks/whoami",
        "/",
    ] {
        let answer = scene.send(BOT, "GET", path, None).await.is(302);
        assert!(answer.headers["location"].to_str().unwrap().ends_with("/login"));
    }
}

#[tokio::test]
async fn a_user_token_is_no_password_for_x_token_auth_but_for_its_owner() {
    let scene = Scene::start().await;
    let path = "/scm/proj/demo.git/info/refs?service=git-upload-pack";
    let answer = scene
        .send(By::Basic("x-token-auth", "bot-t"), "GET", path, None)
        .await
        .is(401);
    assert!(
        answer.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("Atlassian Bitbucket")
    );
    scene
        .send(By::Basic("openhands", "bot-t"), "GET", path, None)
        .await
        .is(200);
    scene
        .send(By::Basic("jcitizen", "bot-t"), "GET", path, None)
        .await
        .is(401);
}

#[tokio::test]
async fn a_repository_token_acts_as_a_service_user_without_email() {
    let scene = Scene::start().await;
    let path = "/rest/access-tokens/latest/projects/PROJ/repos/demo";
    let body = json!({"name": "ci", "permissions": ["REPO_WRITE"], "expiryDays": 90});
    let made = scene.send(ROOT, "PUT", path, Some(body)).await.is(200).json();
    assert_eq!(
        (made["user"]["type"].as_str(), made["user"].get("emailAddress")),
        (Some("SERVICE"), None)
    );
    let listed = scene.send(ROOT, "GET", path, None).await.is(200).json();
    assert!(listed["values"][0].get("token").is_none());
    let secret: &'static str = Box::leak(made["token"].as_str().unwrap().to_owned().into_boxed_str());
    scene.pr(By::Token(secret), "GET", "", None).await.is(200);
    scene
        .send(
            By::Basic("x-token-auth", secret),
            "GET",
            "/scm/proj/demo.git/info/refs?service=git-upload-pack",
            None,
        )
        .await
        .is(200);
    let id = made["id"].as_str().unwrap();
    scene
        .send(ROOT, "DELETE", &format!("{path}/{id}"), None)
        .await
        .is(204);
    scene.pr(By::Token(secret), "GET", "", None).await.is(401);
}

#[tokio::test]
async fn granting_and_revoking_changes_what_a_user_may_do() {
    let scene = Scene::start().await;
    scene
        .repo(
            ROOT,
            "PUT",
            "/permissions/users?name=stranger&permission=REPO_READ",
            None,
        )
        .await
        .is(204);
    scene.pr(STRANGER, "GET", "", None).await.is(200);
    let listed = scene
        .repo(ROOT, "GET", "/permissions/users?filter=stran", None)
        .await
        .is(200)
        .json();
    assert_eq!(listed["values"][0]["permission"], "REPO_READ");
    scene
        .repo(ROOT, "DELETE", "/permissions/users?name=stranger", None)
        .await
        .is(204);
    scene.pr(STRANGER, "GET", "", None).await.is(401);
    let groups = "/projects/PROJ/permissions/groups?name=dev";
    scene.api(ROOT, "DELETE", groups, None).await.is(204);
    scene.pr(JANE, "GET", "", None).await.is(401);
    scene
        .api(ROOT, "PUT", &format!("{groups}&permission=PROJECT_READ"), None)
        .await
        .is(204);
    scene.pr(JANE, "GET", "", None).await.is(200);
}
