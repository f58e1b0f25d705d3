use bitbucket::Anchor;
use jiff::Timestamp;
use pipeline::mention::Command;

use super::*;
use crate::context::material::Age::{Before, EditedAfter, WrittenAfter};
use crate::lane::tests::mention;
use crate::records;

fn comment(id: u64, author: &str, text: &str, replies: Vec<Comment>) -> Comment {
    Comment {
        id: CommentId(id),
        version: 0,
        text: text.to_owned(),
        author: Some(person(author)),
        created_at: None,
        updated_at: None,
        severity: "NORMAL".to_owned(),
        state: "OPEN".to_owned(),
        thread_resolved: false,
        anchor: None,
        replies,
    }
}

fn person(name: &str) -> Person {
    Person {
        id: None,
        name: name.to_owned(),
        slug: None,
        display_name: None,
        email: None,
        is_service: false,
    }
}

fn bot() -> Bot {
    Bot {
        name: "openhands".to_owned(),
        slug: None,
        id: None,
        display_name: "OpenHands".to_owned(),
        email: None,
    }
}

/// What a run sees that knows of no time and nothing told.
fn threads_of<'a>(run: &'a Run, bot: &'a Bot) -> Threads<'a> {
    const NOTHING: &Told = &Told {
        asked: BTreeSet::new(),
        answers: BTreeSet::new(),
        reopened: BTreeSet::new(),
    };
    Threads {
        run,
        bot,
        since: None,
        told: NOTHING,
    }
}

/// The run that comment `id` asked for.
fn run(id: u64, text: &str) -> Run {
    let asked = mention(id, 0, 1, Some(text));
    let id = RunId::derive(&asked.origin.instance, asked.comment, 0);
    Run {
        requester: Some(person("alice")),
        ..records::queued(&asked, &id, None, Timestamp::UNIX_EPOCH)
    }
}

fn activities(threads: Vec<Comment>) -> Activities {
    let threads = threads
        .into_iter()
        .map(|comment| Thread { comment, hunk: None })
        .collect();
    Activities {
        threads,
        cut: false,
        unreadable: 0,
    }
}

#[test]
fn the_thread_is_read_from_the_root_without_our_reply_to_this_request() {
    let run = run(3, "fix it");
    let status = format!("Queued.\n\n[//]: # (openhands-resolver run={} n=1)", run.id);
    let earlier = "Done.\n\n[//]: # (openhands-resolver run=r-000000000000 n=4)";
    let root = comment(
        1,
        "bob",
        "This is wrong.",
        vec![
            comment(
                2,
                "openhands",
                earlier,
                vec![comment(
                    3,
                    "alice",
                    "Still. @openhands fix it",
                    vec![comment(4, "openhands", &status, vec![])],
                )],
            ),
            comment(5, "mallory", &status, vec![]),
        ],
    );
    let bot = bot();
    let threads = threads_of(&run, &bot);
    let remarks = threads.remarks(&root);
    let seen: Vec<(u64, usize, bool, bool)> = remarks
        .iter()
        .map(|remark| (remark.comment.0, remark.depth, remark.by_bot, remark.is_trigger))
        .collect();
    assert_eq!(
        seen,
        [
            (1, 0, false, false),
            (2, 1, true, false),
            (3, 2, false, true),
            (5, 1, false, false)
        ]
    );
    assert_eq!(
        remarks[1].text.trim(),
        "Done.",
        "the bot's marker says nothing to an agent"
    );
    assert!(
        remarks[3].text.contains(MARKER),
        "a marker by anyone else is a text like any other"
    );
}

#[test]
fn what_came_after_the_request_is_known_as_such() {
    let run = Run {
        comment_version: 1,
        ..run(3, "fix it")
    };
    let at = |second| Some(Timestamp::from_second(second).unwrap());
    let timed = |comment: Comment, created: i64, version: u32, updated: i64| Comment {
        created_at: at(created),
        updated_at: at(updated),
        version,
        ..comment
    };
    let trigger = timed(comment(3, "alice", "@openhands fix it", vec![]), 10, 1, 20);
    let task = Comment {
        severity: "BLOCKER".to_owned(),
        state: "RESOLVED".to_owned(),
        ..timed(comment(7, "bob", "test it", vec![]), 5, 0, 30)
    };
    let replies = vec![
        trigger,
        timed(comment(4, "bob", "before", vec![]), 15, 0, 15),
        timed(comment(5, "bob", "edited", vec![]), 15, 1, 21),
        timed(comment(6, "bob", "after", vec![]), 21, 0, 21),
        task,
    ];
    let thread = Thread {
        comment: timed(comment(1, "bob", "root", replies), 1, 0, 1),
        hunk: None,
    };
    let seen = |run: &Run| {
        let threads = Threads {
            run,
            bot: &bot(),
            since: asked_at(run, &thread),
            told: &Told::default(),
        };
        let remarks = threads.remarks(&thread.comment);
        remarks
            .iter()
            .map(|remark| (remark.comment.0, remark.age, remark.task))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        seen(&run),
        [
            (1, Before, None),
            (3, Before, None),
            (4, Before, None),
            (5, EditedAfter, None),
            (6, WrittenAfter, None),
            // Ticking a task is no edit of its text.
            (7, Before, Some(Done(true))),
        ]
    );
    let older = Run {
        comment_version: 0,
        ..run
    };
    assert_eq!(
        seen(&older)[1],
        (3, EditedAfter, None),
        "the trigger was edited since"
    );
}

#[test]
fn answers_that_are_no_work_are_left_out_with_what_only_asked_for_them() {
    let run = run(9, "fix it");
    let told = Told {
        asked: [CommentId(1), CommentId(4)].into(),
        answers: [CommentId(2), CommentId(5), CommentId(8)].into(),
        ..Told::default()
    };
    let all = activities(vec![
        comment(
            1,
            "bob",
            "@openhands help",
            vec![comment(2, "openhands", "Write ...", vec![])],
        ),
        comment(
            3,
            "bob",
            "Why?",
            vec![comment(
                4,
                "eve",
                "@openhands do",
                vec![comment(5, "openhands", "Refused", vec![])],
            )],
        ),
        comment(
            7,
            "bob",
            "Said before.",
            vec![comment(8, "mallory", "not the bot", vec![])],
        ),
    ]);
    let bot = bot();
    let threads = Threads {
        run: &run,
        bot: &bot,
        since: None,
        told: &told,
    };
    let shown: Vec<Vec<u64>> = threads
        .others(&all, None)
        .iter()
        .map(|thread| thread.remarks.iter().map(|remark| remark.comment.0).collect())
        .collect();
    assert_eq!(shown, [vec![3, 4], vec![7, 8]]);
}

#[test]
fn the_whole_trigger_is_shown_where_it_says_more_than_the_request() {
    let run = run(3, "fix it");
    let bot = bot();
    let threads = threads_of(&run, &bot);
    let shown = |comment: Comment| {
        threads
            .trigger(&Thread { comment, hunk: None })
            .map(|remark| remark.text)
    };
    assert_eq!(shown(comment(3, "alice", "@openhands fix it", vec![])), None);
    let text = "Look at a.rs. @openhands fix it";
    assert_eq!(shown(comment(3, "alice", text, vec![])).as_deref(), Some(text));
    let edited = Comment {
        version: 1,
        ..comment(3, "alice", text, vec![])
    };
    assert_eq!(shown(edited), None, "a version nobody admitted");
}

#[test]
fn a_mention_alone_takes_the_comment_it_replies_to_for_the_request() {
    let asked = |parent: Comment| request(&run(3, ""), &activities(vec![parent]), &bot());
    let reply = || vec![comment(3, "alice", "@openhands", vec![])];
    let request = asked(comment(1, "bob", "Return the error.", reply())).unwrap();
    assert_eq!(
        (request.text.as_str(), request.pointed_at),
        ("Return the error.", Some(CommentId(1)))
    );
    assert!(
        asked(comment(1, "openhands", "Done.", reply())).is_none(),
        "the bot's own words are no request"
    );
    assert!(asked(comment(1, "bob", " ", reply())).is_none());
    assert!(
        asked(comment(3, "alice", "@openhands", vec![])).is_none(),
        "it replies to nothing"
    );
    assert!(asked(comment(9, "bob", "elsewhere", vec![])).is_none());
}

#[test]
fn a_comment_that_was_changed_after_it_was_pointed_at_is_no_request() {
    let at = |second| Some(Timestamp::from_second(second).unwrap());
    let asked = |version, changed| {
        let trigger = Comment {
            created_at: at(10),
            ..comment(3, "alice", "@openhands", vec![])
        };
        let parent = Comment {
            version,
            updated_at: at(changed),
            ..comment(1, "bob", "Return the error.", vec![trigger])
        };
        request(&run(3, ""), &activities(vec![parent]), &bot()).is_some()
    };
    assert!(asked(0, 5) && asked(1, 9) && asked(0, 11));
    assert!(!asked(1, 11));
}

#[test]
fn a_request_in_words_needs_no_thread() {
    let run = run(3, "fix it");
    assert_eq!(run.command, Command::request("fix it"));
    let request = request(&run, &Activities::default(), &bot()).unwrap();
    assert_eq!(
        (
            request.text.as_str(),
            request.requester.as_str(),
            request.pointed_at
        ),
        ("fix it", "alice", None)
    );
}

#[test]
fn other_threads_know_whether_they_are_tasks_and_resolved() {
    let run = run(3, "fix it");
    let bot = bot();
    let task = Comment {
        severity: "BLOCKER".to_owned(),
        ..comment(1, "bob", "Add a test.", vec![])
    };
    let resolved = Comment {
        state: "RESOLVED".to_owned(),
        ..comment(2, "bob", "Typo.", vec![])
    };
    let anchor = Anchor {
        path: "a.rs".to_owned(),
        src_path: None,
        line: Some(3),
        line_type: None,
        file_type: None,
        start_line: None,
        to_hash: None,
        orphaned: false,
    };
    let inline = Comment {
        anchor: Some(anchor.clone()),
        thread_resolved: true,
        ..comment(4, "bob", "Why?", vec![])
    };
    let all = activities(vec![
        task,
        resolved,
        comment(3, "alice", "@openhands fix it", vec![]),
        inline,
    ]);
    let others = threads_of(&run, &bot).others(&all, all.thread_of(CommentId(3)));
    let seen: Vec<(u64, bool, bool)> = others
        .iter()
        .map(|thread| (thread.remarks[0].comment.0, thread.is_task, thread.resolved))
        .collect();
    assert_eq!(seen, [(1, true, false), (2, false, true), (4, false, true)]);
    assert_eq!(others[2].place.as_ref().map(|place| &place.anchor), Some(&anchor));
}

#[test]
fn what_bitbucket_cannot_give_is_named_and_what_it_cannot_give_now_is_asked_again() {
    let mut unread = Vec::new();
    assert_eq!(or_unread(Ok(1), "x", &mut unread), Ok(Some(1)));
    assert_eq!(
        or_unread::<u8>(Err(Error::Server { status: 500 }), "the diff", &mut unread),
        Ok(None)
    );
    assert_eq!(unread, ["the diff: not given by Bitbucket"]);
    for away in [
        Error::Timeout,
        Error::Server { status: 503 },
        Error::RateLimited { after: None },
    ] {
        assert_eq!(or_unread::<u8>(Err(away.clone()), "x", &mut unread), Err(away));
    }
}
