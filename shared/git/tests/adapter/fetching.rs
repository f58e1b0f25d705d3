//! Fetch and checkout.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::http::StatusCode;
use git::{Cache, CacheLimits, Depth, Error, Mirror, TreeLimits};
use pipeline::ids::{InstanceId, RepositoryId, RunId};

use crate::server::Server;
use crate::world::{BRANCH, World, alice, git, rev, try_git};

#[test]
fn a_checkout_has_the_files_and_no_git_directory() {
    let world = World::new();
    let (head, tree) = world.check_out(world.mirror().as_ref());
    assert_eq!(head, world.server_head());
    assert_eq!(
        fs::read_to_string(tree.join("a.txt")).unwrap(),
        "one\ntwo\nthree\n"
    );
    assert_eq!(
        fs::read_link(tree.join("link")).unwrap().to_str(),
        Some("src/b.txt")
    );
    let executable = |name| fs::metadata(tree.join(name)).unwrap().permissions().mode() & 0o111 != 0;
    assert!(executable("run.sh") && !executable("a.txt"));
    assert!(!tree.join(".git").exists());
}

#[test]
fn a_new_commit_is_fetched_on_top_of_what_is_there() {
    let world = World::new();
    let mirror = world.mirror();
    let (_, _) = world.check_out(mirror.as_ref());
    let second = world.author_pushes("src/c.txt", "c\n");
    let third = world.author_pushes("src/d.txt", "d\n");
    let (head, tree) = world.check_out(mirror.as_ref());
    assert_eq!(head, third);
    assert_eq!(fs::read_to_string(tree.join("src/d.txt")).unwrap(), "d\n");
    assert_eq!(mirror.first_parent(&third).unwrap(), second);
}

#[test]
fn an_unchanged_branch_costs_no_pack() {
    let world = World::new();
    let mirror = world.mirror();
    world.fetch(mirror.as_ref()).unwrap();
    let before = world.server.seen().len();
    world.fetch(mirror.as_ref()).unwrap();
    assert_eq!(
        world.server.seen().len() - before,
        1,
        "the listing: {:?}",
        world.server.seen()
    );
}

#[test]
fn a_rebased_branch_is_fetched_without_the_history_of_its_new_base() {
    let world = World::new();
    let mirror = world.mirror();
    world.fetch(mirror.as_ref()).unwrap();
    git(&world.author(), &["checkout", "-q", "--orphan", "other"]);
    for number in 0..5 {
        world.author_commits(&format!("Base {number}"));
    }
    let head = world.author_pushes("a.txt", "rebased\n");
    assert_eq!(world.fetch(mirror.as_ref()).unwrap(), head);
    let (_, tree) = world.check_out(mirror.as_ref());
    assert_eq!(fs::read_to_string(tree.join("a.txt")).unwrap(), "rebased\n");
}

#[test]
fn a_branch_set_back_to_an_older_commit_is_fetched() {
    let world = World::new();
    let old = world.server_head();
    // Dates that only grow would let the date alone say what is new; here everything old is older than what we know.
    git(&world.author(), &["checkout", "-q", "-b", "later"]);
    git(
        &world.author(),
        &[
            "commit",
            "-q",
            "--allow-empty",
            "--date=2040-01-01T00:00:00Z",
            "-m",
            "Later",
        ],
    );
    git(
        &world.author(),
        &[
            "rebase",
            "-q",
            "--force-rebase",
            "--committer-date-is-author-date",
            "HEAD~1",
        ],
    );
    git(
        &world.author(),
        &["push", "-q", "origin", &format!("HEAD:{BRANCH}")],
    );
    let mirror = world.mirror();
    world.fetch(mirror.as_ref()).unwrap();
    git(&world.bare(), &["update-ref", BRANCH, old.as_str()]);
    assert_eq!(world.fetch(mirror.as_ref()).unwrap(), old);
    let (_, tree) = world.check_out(mirror.as_ref());
    assert!(tree.join("a.txt").exists());
}

#[test]
fn the_whole_history_can_be_fetched_too() {
    let world = World::new();
    let first = world.server_head();
    for number in 0..4 {
        world.author_pushes("n.txt", &number.to_string());
    }
    let mirror = world.mirror();
    world.fetch(mirror.as_ref()).unwrap();
    assert!(mirror.first_parent(&world.server_head()).is_ok());
    mirror
        .fetch(
            &world.remote(),
            "refs/heads/main",
            Depth::Full,
            &AtomicBool::new(false),
        )
        .unwrap();
    let head = mirror
        .fetch(&world.remote(), BRANCH, Depth::Full, &AtomicBool::new(false))
        .unwrap();
    let mut commit = head;
    for _ in 0..4 {
        commit = mirror.first_parent(&commit).unwrap();
    }
    assert_eq!(commit, first);
}

#[test]
fn a_server_that_speaks_version_0_only_is_understood() {
    let world = World::new();
    world.server.behave(|server| server.version_0_only = true);
    let mirror = world.mirror();
    world.check_out(mirror.as_ref());
    let head = world.author_pushes("src/c.txt", "c\n");
    assert_eq!(world.check_out(mirror.as_ref()).0, head);
    assert_eq!(mirror.remote_head(&world.remote(), BRANCH).unwrap(), Some(head));
}

#[test]
fn a_deleted_branch_is_told_apart_from_a_missing_repository() {
    let world = World::new();
    let mirror = world.mirror();
    git(&world.bare(), &["update-ref", "-d", BRANCH]);
    assert!(matches!(world.fetch(mirror.as_ref()), Err(Error::BranchGone { branch }) if branch == BRANCH));
    assert_eq!(mirror.remote_head(&world.remote(), BRANCH).unwrap(), None);
    let mut remote = world.remote();
    remote.url = remote.url.replace("demo", "nothing");
    let missing = mirror.fetch(&remote, BRANCH, Depth::Shallow(1), &AtomicBool::new(false));
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
}

#[test]
fn a_prefix_of_another_branch_is_not_that_branch() {
    let world = World::new();
    let mirror = world.mirror();
    let gone = mirror.fetch(
        &world.remote(),
        "refs/heads/feature",
        Depth::Shallow(1),
        &AtomicBool::new(false),
    );
    assert!(matches!(gone, Err(Error::BranchGone { .. })), "{gone:?}");
}

#[test]
fn statuses_are_told_apart() {
    let world = World::new();
    let mirror = world.mirror();
    let mut remote = world.remote();
    remote.token = "wrong".to_owned().into();
    let refused = mirror.fetch(&remote, BRANCH, Depth::Shallow(1), &AtomicBool::new(false));
    assert!(matches!(refused, Err(Error::Unauthorized)), "{refused:?}");
    assert!(!format!("{refused:?}").contains("wrong"));
    let answered = |status: u16, headers: Vec<(&'static str, String)>| {
        let status = StatusCode::from_u16(status).unwrap();
        world
            .server
            .behave(|server| server.instead = Some((status, headers)));
        world.fetch(mirror.as_ref()).unwrap_err()
    };
    assert!(matches!(answered(403, vec![]), Error::Forbidden));
    assert!(matches!(answered(503, vec![]), Error::Server { status: 503 }));
    assert!(matches!(
        answered(200, vec![("content-type", "text/html".into())]),
        Error::Protocol { .. }
    ));
    let limited = answered(429, vec![("retry-after", "7".into())]);
    assert!(matches!(limited, Error::RateLimited { after: Some(after) } if after == Duration::from_secs(7)));
}

#[test]
fn a_redirect_to_another_origin_never_carries_the_token() {
    let world = World::new();
    let elsewhere = Server::start(world.directory.path());
    let target = format!(
        "{}/proj/demo.git/info/refs?service=git-upload-pack",
        elsewhere.url
    );
    world
        .server
        .behave(|server| server.instead = Some((StatusCode::FOUND, vec![("location", target)])));
    let mirror = world.mirror();
    assert!(matches!(
        world.fetch(mirror.as_ref()),
        Err(Error::Redirected { status: 302 })
    ));
    let head = world.server_head();
    assert!(mirror.push(&world.remote(), BRANCH, &head, &head).is_err());
    assert_eq!(elsewhere.seen(), Vec::<String>::new());
}

#[test]
fn nothing_listening_is_unreachable() {
    let world = World::new();
    let mut remote = world.remote();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    remote.url = format!("http://{}/x.git", free.local_addr().unwrap());
    drop(free);
    let failed = world
        .mirror()
        .fetch(&remote, BRANCH, Depth::Shallow(1), &AtomicBool::new(false));
    assert!(matches!(failed, Err(Error::Unreachable { .. })), "{failed:?}");
}

#[test]
fn a_raised_stop_flag_ends_fetch_and_checkout() {
    let world = World::new();
    let mirror = world.mirror();
    let raised = AtomicBool::new(true);
    let fetched = mirror.fetch(&world.remote(), BRANCH, Depth::Shallow(1), &raised);
    assert!(matches!(fetched, Err(Error::Stopped)), "{fetched:?}");
    let head = world.fetch(mirror.as_ref()).unwrap();
    let tree = tempfile::tempdir().unwrap();
    let checked_out = mirror.check_out(&head, tree.path(), &TreeLimits::default(), &raised);
    assert!(matches!(checked_out, Err(Error::Stopped)), "{checked_out:?}");
}

#[test]
fn odd_branch_names_work_and_others_are_refused() {
    let world = World::new();
    let mirror = world.mirror();
    let head = world.server_head();
    for name in [
        "a#b",
        "a%2Fb",
        "ünï/cödé",
        "-x",
        "--upload-pack=touch MARKER",
        "$(id)",
        "refs/heads/x",
        &"n".repeat(200),
    ] {
        let branch = format!("refs/heads/{}", name.replace(' ', "-"));
        git(&world.bare(), &["update-ref", "--", &branch, head.as_str()]);
        let fetched = mirror.fetch(
            &world.remote(),
            &branch,
            Depth::Shallow(1),
            &AtomicBool::new(false),
        );
        assert_eq!(fetched.unwrap(), head, "{branch}");
    }
    for bad in [
        "main",
        "refs/tags/v1",
        "refs/heads/",
        "refs/heads/a b",
        "refs/heads/a..b",
        "refs/heads/a\nb",
        "+refs/heads/a",
    ] {
        let fetched = mirror.fetch(&world.remote(), bad, Depth::Shallow(1), &AtomicBool::new(false));
        assert!(matches!(fetched, Err(Error::Invalid(_))), "{bad}: {fetched:?}");
    }
}

#[test]
fn a_run_is_found_below_newer_commits() {
    let world = World::new();
    let mirror = world.mirror();
    let start = world.fetch(mirror.as_ref()).unwrap();
    fs::write(world.author().join("fix.txt"), "x").unwrap();
    let ours = world.author_commits("Fix it\n\nRun-Id: r-0123456789ab");
    world.author_pushes("more.txt", "more");
    let head = world.author_pushes("even-more.txt", "more");
    assert_eq!(world.fetch(mirror.as_ref()).unwrap(), head);
    let run = RunId::new("r-0123456789ab").unwrap();
    assert_eq!(mirror.commits_of_run(&head, &run, &alice(), 10).unwrap(), [ours]);
    assert_eq!(
        mirror.commits_of_run(&head, &run, &alice(), 2).unwrap(),
        [],
        "two commits are not enough"
    );
    assert_eq!(
        mirror
            .commits_of_run(&head, &RunId::new("r-000000000000").unwrap(), &alice(), 10)
            .unwrap(),
        []
    );
    assert_eq!(mirror.commits_of_run(&start, &run, &alice(), 10).unwrap(), []);
}

#[test]
fn the_latest_subjects_are_those_of_people_as_far_as_was_fetched() {
    let world = World::new();
    let author = world.author();
    world.author_pushes("more.txt", "more");
    git(&author, &["branch", "-q", "aside", "HEAD~1"]);
    world.author_commits("Fix it\n\nRun-Id: r-0123456789ab");
    let merge = ["merge", "-q", "--no-ff", "-m", "Merge it", "aside"];
    git(&author, &["checkout", "-q", "aside"]);
    world.author_commits("fix: Aside\n\nRun-Id: r-0123456789ab\n\nis what a run's commit says.");
    git(&author, &["checkout", "-q", "main"]);
    git(&author, &merge);
    let head = world.author_pushes("even-more.txt", "more");
    let of = |mirror: &dyn Mirror, count, commits_max| {
        let subjects = mirror.latest_subjects(&[&head, &head], count, commits_max);
        subjects.unwrap()
    };

    let mirror = world.mirror();
    let fetch = |depth| {
        mirror.fetch(
            &world.remote(),
            BRANCH,
            Depth::Shallow(depth),
            &AtomicBool::new(false),
        )
    };
    assert_eq!(fetch(1).unwrap(), head);
    assert_eq!(of(mirror.as_ref(), 5, 64), ["Change even-more.txt"]);

    let deep = Depth::Shallow(64);
    mirror
        .deepen(&world.remote(), &[BRANCH], deep, &AtomicBool::new(false))
        .unwrap();
    let mut all = of(mirror.as_ref(), 5, 64);
    assert_eq!(all[0], "Change even-more.txt");
    // Made within one second, so that any of them may be the newer one.
    all.sort();
    assert_eq!(
        all,
        ["Change even-more.txt", "Change more.txt", "Start", "fix: Aside"]
    );
    assert_eq!(of(mirror.as_ref(), 2, 64).len(), 2);
    assert_eq!(of(mirror.as_ref(), 5, 1), ["Change even-more.txt"]);
}

#[test]
fn a_mirror_that_was_damaged_is_made_anew() {
    let world = World::new();
    let head = world.fetch(world.mirror().as_ref()).unwrap();
    let packs = find(&world.directory.path().join("data"), "pack");
    assert_eq!(packs.len(), 1, "{packs:?}");
    let mut permissions = fs::metadata(&packs[0]).unwrap().permissions();
    permissions.set_mode(0o644);
    fs::set_permissions(&packs[0], permissions).unwrap();
    fs::write(
        &packs[0],
        b"PACK\0\0\0\x02\0\0\0\0 nothing of the kind, and too short",
    )
    .unwrap();
    let mirror = world.mirror();
    let tree = tempfile::tempdir().unwrap();
    let damaged = mirror.check_out(
        &head,
        tree.path(),
        &TreeLimits::default(),
        &AtomicBool::new(false),
    );
    assert!(matches!(damaged, Err(Error::Damaged { .. })), "{damaged:?}");
    drop(mirror);
    world.check_out(world.mirror().as_ref());
}

#[test]
fn what_a_crash_leaves_is_cleared() {
    let world = World::new();
    let head = world.fetch(world.mirror().as_ref()).unwrap();
    let data = world.directory.path().join("data/mirrors");
    let bare = fs::read_dir(&data)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("84.git");
    fs::write(bare.join("in-use"), "1").unwrap();
    fs::write(bare.join("shallow.lock"), "").unwrap();
    fs::write(bare.join("objects/pack/.tmpHALF"), "half a pack").unwrap();
    world.author_pushes("src/c.txt", "c\n");
    let mirror = world.mirror();
    assert_ne!(world.check_out(mirror.as_ref()).0, head);
    assert!(!bare.join("objects/pack/.tmpHALF").exists());
    assert_eq!(find(&bare, "pack").len(), 2, "the first fetch was kept");
}

#[test]
fn a_mirror_cut_short_by_a_crash_is_made_anew() {
    let world = World::new();
    world.fetch(world.mirror().as_ref()).unwrap();
    let data = world.directory.path().join("data/mirrors");
    let bare = fs::read_dir(&data)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("84.git");
    let pack = find(&bare, "pack").remove(0);
    fs::remove_file(&pack).unwrap();
    fs::write(bare.join("in-use"), "1").unwrap();
    world.check_out(world.mirror().as_ref());
}

#[test]
fn a_mirror_in_use_is_waited_for() {
    let world = World::new();
    let held = world.mirror();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.check_out(world.mirror().as_ref()).0);
        let head = world.fetch(held.as_ref()).unwrap();
        assert!(!waiting.is_finished());
        drop(held);
        assert_eq!(waiting.join().unwrap(), head);
    });
}

#[test]
fn the_least_recently_used_mirror_goes_first_and_none_in_use() {
    let world = World::new();
    let instance = InstanceId::of_base_url(&world.server.url);
    let limits = CacheLimits {
        bytes: 1,
        ..CacheLimits::default()
    };
    let cache = Cache::new(&world.directory.path().join("small"), limits);
    let exists = |id: u64| {
        world
            .directory
            .path()
            .join(format!("small/mirrors/{instance}/{id}.git"))
            .exists()
    };
    let first = cache.mirror(&instance, RepositoryId(1)).unwrap();
    world.fetch(first.as_ref()).unwrap();
    drop(cache.mirror(&instance, RepositoryId(2)).unwrap());
    assert!(exists(1), "it is in use");
    drop(first);
    drop(cache.mirror(&instance, RepositoryId(3)).unwrap());
    assert!(!exists(1) && !exists(2) && exists(3));
}

#[test]
fn the_token_is_nowhere_in_the_mirror() {
    let world = World::new();
    world.check_out(world.mirror().as_ref());
    let (found, text) = try_git(
        world.directory.path(),
        &["grep", "--no-index", "-l", crate::server::TOKEN, "--", "data"],
    );
    assert!(!found, "{text}");
}

fn find(directory: &std::path::Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find(&path, extension));
        } else if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_pull_requests_source_is_read_and_never_pushed_to() {
    let world = World::new();
    let theirs = world.author_pushes("theirs.txt", "theirs\n");
    let name = git::pull_request_ref(pipeline::ids::PullRequestId(7));
    git(&world.bare(), &["update-ref", &name, theirs.as_str()]);
    let mirror = world.mirror();
    let go = AtomicBool::new(false);
    let head = mirror
        .fetch(&world.remote(), &name, Depth::Shallow(1), &go)
        .unwrap();
    assert_eq!(head, theirs);
    let refused = mirror.push(&world.remote(), &name, &head, &head);
    assert!(
        matches!(refused, Err(git::PushError::Git(Error::Invalid(_)))),
        "{refused:?}"
    );
    for other in [
        "refs/pull-requests/7/merge",
        "refs/pull-requests/x/from",
        "refs/tags/v1",
    ] {
        let refused = mirror.fetch(&world.remote(), other, Depth::Shallow(1), &go);
        assert!(matches!(refused, Err(Error::Invalid(_))), "{other}: {refused:?}");
    }
}

#[test]
fn commits_that_git_itself_would_not_make_are_history_like_others() {
    for committer in ["Odd <odd@example.test> never", "nobody at all"] {
        let world = World::new();
        let author = world.author();
        let (tree, parent) = (rev(&author, "HEAD^{tree}"), rev(&author, "HEAD"));
        let odd =
            format!("tree {tree}\nparent {parent}\nauthor {committer}\ncommitter {committer}\n\nfix: Odd\n");
        fs::write(author.join("odd"), odd).unwrap();
        let write = ["hash-object", "-t", "commit", "-w", "--literally", "odd"];
        let odd = git(&author, &write);
        git(
            &author,
            &["push", "-q", "origin", &format!("{}:{BRANCH}", odd.trim())],
        );
        let mirror = world.mirror();
        let (deep, go_on) = (Depth::Shallow(64), AtomicBool::new(false));
        let head = mirror.fetch(&world.remote(), BRANCH, deep, &go_on).unwrap();
        let run = RunId::new("r-0123456789ab").unwrap();
        assert_eq!(mirror.commits_of_run(&head, &run, &alice(), 10).unwrap(), []);
        let subjects = mirror.latest_subjects(&[&head], 5, 64).unwrap();
        assert_eq!(subjects, ["fix: Odd", "Start"], "{committer}");
    }
}
