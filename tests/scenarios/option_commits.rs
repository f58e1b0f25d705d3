//! `--commits per-thread`: the agent works on one thread after the other, and each thread that led to a change has a commit
//! of its own, which its answer names.

use insta::assert_snapshot;
use pipeline::subject;
use serde_json::{Value, json};
use tests::inside;
use tests::pull_request::PullRequest;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario, scenario_in, works};

use crate::coding_agents::stand_in;
use crate::looking_in::redacted;
use crate::verb_address::{answers, comment, task};
use crate::verb_review::handing_over;

const FIX: &str = "sed -i 's/a - b/a + b/' src/lib.rs";
const NOTE: &str = "echo 'add adds' > notes.txt";
const ADDRESS: &str = "@openhands address --commits per-thread";

/// What people wait for: a thread on a line, a question, and a task.
struct Threads {
    sign: u64,
    question: u64,
    notes: u64,
}

impl Threads {
    async fn opened(world: &World) -> Self {
        let bob = world.bob();
        let sign = bob.comments_on(1, FILE, Some(2), "This is wrong.").await.unwrap();
        let question = bob.comments(1, "Is it fast enough?").await.unwrap();
        let notes = task(world, "Write that down.").await;
        Self {
            sign,
            question,
            notes,
        }
    }

    /// What the agent does in each pass, by the thread that the pass is for.
    fn rules(&self) -> Vec<Value> {
        vec![
            pass(self.sign, works(FIX, &answering(self.sign, "Add.", true))),
            pass(
                self.question,
                works("true", &answering(self.question, "It is.", false)),
            ),
            pass(
                self.notes,
                works(NOTE, &answering(self.notes, "Write it down.", true)),
            ),
        ]
    }

    /// Their numbers.
    fn all(&self) -> [u64; 3] {
        [self.sign, self.question, self.notes]
    }
}

/// How the model answers in the pass for a thread.
fn pass(thread: u64, reply: Value) -> Value {
    json!({"when": format!("turn of thread {thread},"), "reply": reply})
}

/// An agent's last message in the pass for a thread; it would also answer in another.
fn answering(thread: u64, words: &str, settled: bool) -> String {
    let result = json!({"answers": [
        {"thread": 99_999, "text": "Hello.", "settled": true},
        {"thread": thread, "text": format!("{words} Indeed."), "settled": settled},
    ]});
    handing_over(words, &result)
}

fn apart() -> Setup {
    Setup {
        separate_roles: true,
        ..Setup::default()
    }
}

/// The bot's commits, the first one first: id, parent, and the thread that the message names.
async fn commits(pr: &PullRequest<'_>) -> Vec<(String, String, Option<u64>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut commits: Vec<_> = pr
        .bots_commits()
        .await
        .iter()
        .map(|commit| {
            let message = text(&commit["message"]);
            assert!(message.contains("\nRun-Id: r-"), "{message}");
            let thread = message.lines().find_map(|line| line.strip_prefix("Thread: "));
            (
                text(&commit["id"]),
                text(&commit["parents"][0]["id"]),
                thread.map(|number| number.parse().unwrap()),
            )
        })
        .collect();
    commits.reverse();
    commits
}

/// The bot's one answer to a comment.
async fn answer(world: &World, thread: u64) -> String {
    let comment = comment(world, thread).await;
    let answers = answers(&comment);
    assert_eq!(answers.len(), 1, "{comment:#}");
    answers[0].to_owned()
}

/// Whether two commits were made, on top of `base` and of each other, and each thread was told of its own.
async fn each_has_its_own(world: &World, threads: &Threads, base: &str) {
    let pr = world.pull_request(1);
    let made = commits(&pr).await;
    let [sign, notes] = made.as_slice() else {
        panic!("{made:#?}");
    };
    assert_eq!((sign.1.as_str(), sign.2), (base, Some(threads.sign)));
    assert_eq!((&notes.1, notes.2), (&sign.0, Some(threads.notes)));
    assert_eq!(pr.head().await, notes.0);
    assert!(pr.file(FILE).await.contains("a + b"));
    assert_eq!(pr.file("notes.txt").await, "add adds\n");
    for (thread, commit) in [(threads.sign, &sign.0), (threads.notes, &notes.0)] {
        let said = answer(world, thread).await;
        assert!(
            said.starts_with("**Done** in [`") && said.contains(&format!("/commits/{commit})")),
            "{said}"
        );
    }
    let said = answer(world, threads.question).await;
    assert!(said.starts_with("**Not changed.**\n\nIt is. Indeed."), "{said}");
}

/// The reply as people read it, with names for what differs from time to time.
async fn shown(world: &World, threads: &Threads, reply: &str) -> String {
    let made = commits(&world.pull_request(1)).await;
    let mut text = reply.to_owned();
    for (commit, name) in made.iter().zip(["<first>", "<commit>"]) {
        text = text.replace(&commit.0, name).replace(&commit.0[..11], name);
    }
    for (thread, name) in threads.all().iter().zip(["<sign>", "<question>", "<notes>"]) {
        for after in ["]", ":"] {
            let named = |thread: &str| format!("omment {thread}{after}");
            text = text.replace(&named(&thread.to_string()), &named(name));
        }
    }
    let mut parts = text.split("/overview?commentId=");
    let mut linked = parts.next().unwrap().to_owned();
    for part in parts {
        let from = linked.rfind('(').unwrap();
        linked.replace_range(from.., "(<link>");
        linked.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    redacted(&linked)
}

#[tokio::test]
async fn each_thread_that_led_to_a_change_has_a_commit_that_its_answer_names() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.expected.extra_commits = 1;
            let threads = Threads::opened(world).await;
            world.script(Value::from(threads.rules()));
            let pr = world.pull_request(1);
            let base = pr.head().await;
            let asked = world.alice().comments(1, ADDRESS).await.unwrap();
            let reply = pr.final_reply_to(asked).await;
            each_has_its_own(world, &threads, &base).await;
            assert_eq!(world.model.requests().len(), 3, "one pass for each");
            assert_eq!(comment(world, threads.notes).await["state"], "RESOLVED");
            let text = shown(world, &threads, &reply.text).await;
            insta::allow_duplicates! { assert_snapshot!(text, @"
            **Done for @alice in <time>** · pushed `<commit>` to `feature/1` · [commit](http://<bitbucket>/projects/PROJ/repos/demo/pull-requests/1/commits/<commit>) · [diff](http://<bitbucket>/projects/PROJ/repos/demo/pull-requests/1/diff) · undo: reply `@openhands undo`

            What changed: 2 files, +2 −1 (from git)

            One commit for each thread:

            - [`<first>`](http://<bitbucket>/projects/PROJ/repos/demo/pull-requests/1/commits/<first>) for [comment <sign>](<link>)
            - [`<commit>`](http://<bitbucket>/projects/PROJ/repos/demo/pull-requests/1/commits/<commit>) for [comment <notes>](<link>)

            In the agent's words:

            Comment <sign>: Add.

            Comment <question>: It is.

            Comment <notes>: Write it down.

            Answered 3 threads: [comment <sign>](<link>), [comment <question>](<link>), [comment <notes>](<link>) (task ticked)

            Model `default` · 3 model calls · 6k tokens · `builtin`, sandbox level 2 (leaves open: the shared kernel) · run `<run>`
            ") };
        })
        .await;
    }
}

#[tokio::test]
async fn agents_of_others_work_thread_by_thread_as_well() {
    for kind in ["acp", "command"] {
        scenario_in(stand_in(kind, "well-behaved", ""), async |world| {
            let first = world.bob().comments(1, "It is not made.").await.unwrap();
            let second = world.bob().comments(1, "Make it.").await.unwrap();
            let asked = world.alice().comments(1, ADDRESS).await.unwrap();
            let reply = world.pull_request(1).final_reply_to(asked).await.text;
            assert!(
                reply.starts_with("**Done") && reply.contains("2 model calls"),
                "{reply}"
            );
            let made = commits(&world.pull_request(1)).await;
            assert_eq!((made.len(), made[0].2), (1, Some(first)), "{kind}");
            assert_eq!(world.pull_request(1).file("made.txt").await, "made\n");
            // It hands nothing over: its words are the answer, and nobody has said that this settles anything.
            let said = answer(world, first).await;
            assert!(
                said.starts_with("**Changed, not settled:** [`")
                    && said.contains(&made[0].0)
                    && said.contains("Made it."),
                "{said}"
            );
            let said = answer(world, second).await;
            assert!(
                said.starts_with("**Not changed.**") && said.contains("Made it."),
                "{said}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_resolver_killed_in_the_second_pass_begins_anew_and_commits_each_change_once() {
    scenario_in(apart(), async |world| {
        world.expected.extra_commits = 1;
        let threads = Threads::opened(world).await;
        let mut rules = threads.rules();
        let hold = json!({"when": format!("turn of thread {},", threads.question), "times": 1, "reply": {"hold": true}});
        rules.insert(0, hold);
        world.script(Value::from(rules));
        let base = world.pull_request(1).head().await;
        let asked = world.alice().comments(1, ADDRESS).await.unwrap();
        world.model.wait_for_requests(2, WAIT_MAX).await.unwrap();
        world.kill("resolver").await.unwrap();
        world.start_role("resolver").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(asked).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        each_has_its_own(world, &threads, &base).await;
        assert_eq!(world.model.requests().len(), 2 + 3, "all passes are made again");
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_before_or_after_its_push_arrives_pushes_once() {
    for when in ["before", "after"] {
        scenario_in(apart(), async |world| {
            world.expected.extra_commits = 1;
            let threads = Threads::opened(world).await;
            world.script(Value::from(threads.rules()));
            let base = world.pull_request(1).head().await;
            let hold = world
                .holds_next("POST", "*/git-receive-pack", when)
                .await
                .unwrap();
            let asked = world.alice().comments(1, ADDRESS).await.unwrap();
            world.held(hold).await.unwrap();
            let requests = world.model.requests().len();
            world.kill("resolver").await.unwrap();
            world.lets_go(hold).await.unwrap();
            world.start_role("resolver").await.unwrap();
            let reply = world.pull_request(1).final_reply_to(asked).await;
            assert!(reply.text.starts_with("**Done"), "{when}: {}", reply.text);
            assert!(
                reply.text.contains("One commit for each thread:"),
                "{}",
                reply.text
            );
            assert!(
                reply.text.contains("What changed: 2 files, +2 −1"),
                "{}",
                reply.text
            );
            each_has_its_own(world, &threads, &base).await;
            if when == "after" {
                assert_eq!(world.model.requests().len(), requests, "nothing is done again");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn undo_takes_all_commits_of_the_run_back_and_can_itself_be_undone() {
    scenario(async |world| {
        // Two runs with one commit more than other runs, and then another.
        world.expected.extra_commits = 3;
        let threads = Threads::opened(world).await;
        world.script(Value::from(threads.rules()));
        let pr = world.pull_request(1);
        let asked = world.alice().comments(1, ADDRESS).await.unwrap();
        pr.final_reply_to(asked).await;
        let made = commits(&pr).await;
        let theirs = pr.someone_pushes("by-hand.txt", "by a person\n").await;
        for (times, file) in [
            (1, FILE_ON_BRANCH.to_owned()),
            (2, FILE_ON_BRANCH.replace("a - b", "a + b")),
        ] {
            let newest = pr.bots_commits().await[0]["message"].as_str().unwrap().to_owned();
            let run = newest
                .lines()
                .find_map(|line| line.strip_prefix("Run-Id: "))
                .unwrap();
            let asked = world
                .alice()
                .comments(1, &format!("@openhands undo {run}"))
                .await
                .unwrap();
            let reply = pr.final_reply_to(asked).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            if times == 1 {
                for (commit, ..) in &made {
                    assert!(reply.text.contains(&commit[..11]), "{}", reply.text);
                }
            }
            assert_eq!(pr.file(FILE).await, file);
            assert_eq!(pr.bots_commits().await.len(), 2 + 2 * times);
        }
        assert_eq!(pr.file("notes.txt").await, "add adds\n");
        assert_eq!(pr.file("by-hand.txt").await, "by a person\n");
        let all = pr.commits().await;
        assert!(
            all.iter().any(|commit| commit["id"] == theirs.as_str()),
            "history stays"
        );
    })
    .await;
}

/// Has somebody push while the second pass is under way, which waits for `release`. The request, and the commit.
async fn moves(world: &World, threads: &Threads, path: &str, text: &str) -> (u64, String) {
    let mut rules = threads.rules();
    let second = rules[1]["reply"].take();
    rules[1]["reply"] = json!({"hold": true, "then": second});
    world.script(Value::from(rules));
    let pr = world.pull_request(1);
    let asked = world.alice().comments(1, ADDRESS).await.unwrap();
    world.model.wait_for_requests(2, WAIT_MAX).await.unwrap();
    (asked, pr.someone_pushes(path, text).await)
}

/// The same, and the end's reply.
async fn moved_meanwhile(world: &World, threads: &Threads, path: &str, text: &str) -> (String, String) {
    let (asked, theirs) = moves(world, threads, path, text).await;
    world.model.release();
    let reply = world.pull_request(1).final_reply_to(asked).await;
    (theirs, reply.text)
}

#[tokio::test]
async fn commits_land_on_top_of_what_was_pushed_meanwhile() {
    scenario(async |world| {
        world.expected.extra_commits = 1;
        let threads = Threads::opened(world).await;
        let (theirs, reply) = moved_meanwhile(world, &threads, "by-hand.txt", "by a person\n").await;
        assert!(
            reply.starts_with("**Done") && reply.contains("The branch moved from"),
            "{reply}"
        );
        each_has_its_own(world, &threads, &theirs).await;
        assert_eq!(world.pull_request(1).file("by-hand.txt").await, "by a person\n");
    })
    .await;
}

#[tokio::test]
async fn a_change_that_somebody_made_meanwhile_is_told_and_the_others_get_their_commits() {
    for is_killed in [false, true] {
        scenario_in(apart(), async |world| {
            let threads = Threads::opened(world).await;
            let text = FILE_ON_BRANCH.replace("a - b", "a + b");
            let (asked, theirs) = moves(world, &threads, FILE, &text).await;
            if is_killed {
                let hold = world
                    .holds_next("POST", "*/git-receive-pack", "after")
                    .await
                    .unwrap();
                world.model.release();
                world.held(hold).await.unwrap();
                world.dies_and_comes_back("resolver", hold).await.unwrap();
            } else {
                world.model.release();
            }
            let reply = world.pull_request(1).final_reply_to(asked).await.text;
            assert!(
                reply.contains(&format!(
                    "The branch has the change for comment {} already",
                    threads.sign
                )),
                "{reply}"
            );
            let made = commits(&world.pull_request(1)).await;
            assert_eq!(made.len(), 1, "{made:#?}");
            assert_eq!((&made[0].1, made[0].2), (&theirs, Some(threads.notes)));
            let said = answer(world, threads.sign).await;
            assert!(
                said.starts_with(
                    "**Nothing left to change:** the branch had it already when this was pushed."
                ) && !said.contains(&made[0].0[..11]),
                "{said}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_change_that_conflicts_with_what_was_pushed_meanwhile_pushes_none_of_them() {
    scenario(async |world| {
        let threads = Threads::opened(world).await;
        let text = FILE_ON_BRANCH.replace("a - b", "a * b");
        let (theirs, reply) = moved_meanwhile(world, &threads, FILE, &text).await;
        assert!(reply.contains("BRANCH_CONFLICT"), "{reply}");
        assert!(
            reply.contains("+    a + b") && reply.contains("+add adds"),
            "the patch has all of it: {reply}"
        );
        assert_eq!(world.pull_request(1).head().await, theirs);
        for thread in threads.all() {
            assert!(answers(&comment(world, thread).await).is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_model_that_fails_for_good_in_a_later_pass_leaves_the_patch_of_those_before() {
    scenario(async |world| {
        let threads = Threads::opened(world).await;
        let mut rules = threads.rules();
        rules[1] = pass(threads.question, json!({"status": 401}));
        world.script(Value::from(rules));
        let pr = world.pull_request(1);
        let base = pr.head().await;
        let asked = world.alice().comments(1, ADDRESS).await.unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(reply.contains("MODEL_UNAUTHORIZED"), "{reply}");
        assert!(
            reply.contains("+    a + b") && !reply.contains("+add adds"),
            "{reply}"
        );
        assert_eq!(pr.head().await, base);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_stopped_in_a_later_pass_keeps_no_patch_of_those_before() {
    scenario_in(apart(), async |world| {
        let threads = Threads::opened(world).await;
        let mut rules = threads.rules();
        rules[1]["reply"] = json!({"hold": true});
        rules.push(json!({"reply": works("true", "Nothing to do.")}));
        world.script(Value::from(rules));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let asked = alice.comments(1, ADDRESS).await.unwrap();
        world.model.wait_for_requests(2, WAIT_MAX).await.unwrap();
        let stop = alice.comments(1, "@openhands stop").await.unwrap();
        pr.final_reply_to(stop).await;
        pr.final_reply_to(asked).await;
        // The next one of the pull request is worked on when the resolver is done with this one.
        let next = alice.comments(1, "@openhands look around").await.unwrap();
        pr.final_reply_to(next).await;
        let nats = inside::connect(world).await.unwrap();
        let runs = inside::runs(&nats).await.unwrap();
        let stopped = runs.iter().find(|run| run.comment.0 == asked).unwrap();
        let key = subject::artifact(&stopped.id, subject::PATCH);
        assert_eq!(nats.artifacts().get(&key).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_a_later_pass_takes_out_again_is_not_pushed() {
    scenario(async |world| {
        let threads = Threads::opened(world).await;
        let token = format!("glpat-{}", "aB3dE5gH7jK9mN1pQ3sT");
        let mut rules = threads.rules();
        let leaks = format!("{FIX}; echo '// {token}' >> {FILE}");
        rules[0] = pass(
            threads.sign,
            works(&leaks, &answering(threads.sign, "Add.", true)),
        );
        let hides = format!("{NOTE}; sed -i '/glpat/d' {FILE}");
        rules[2] = pass(
            threads.notes,
            works(&hides, &answering(threads.notes, "Note.", true)),
        );
        world.script(Value::from(rules));
        let pr = world.pull_request(1);
        let base = pr.head().await;
        let asked = world.alice().comments(1, ADDRESS).await.unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(
            reply.contains("SECRET_IN_CHANGE") && reply.contains("`src/lib.rs` line 4"),
            "{reply}"
        );
        assert!(!reply.contains(&token), "{reply}");
        assert_eq!(pr.head().await, base);
    })
    .await;
}

#[tokio::test]
async fn a_file_in_the_place_of_a_protected_one_that_an_earlier_pass_removed_is_left_out() {
    scenario(async |world| {
        world.expected.extra_commits = 1;
        let threads = Threads::opened(world).await;
        let pr = world.pull_request(1);
        let base = pr.someone_pushes("owned/CODEOWNERS", "* @security\n").await;
        let mut rules = threads.rules();
        let removes = "rm -r owned";
        rules[1] = pass(
            threads.question,
            works(removes, &answering(threads.question, "Gone.", true)),
        );
        let replaces = format!("{NOTE}; echo mine > owned");
        rules[2] = pass(
            threads.notes,
            works(&replaces, &answering(threads.notes, "Note.", true)),
        );
        world.script(Value::from(rules));
        let asked = world.alice().comments(1, ADDRESS).await.unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(
            reply.contains("Left out as protected") && reply.contains("`owned/CODEOWNERS`"),
            "{reply}"
        );
        assert_eq!(pr.file("owned/CODEOWNERS").await, "* @security\n");
        let made = commits(&pr).await;
        let of: Vec<_> = made.iter().filter_map(|(.., thread)| *thread).collect();
        assert_eq!(of, [threads.sign, threads.notes]);
        assert_eq!(made[0].1, base);
    })
    .await;
}

#[tokio::test]
async fn a_pass_that_is_cut_short_ends_the_run_and_all_work_is_kept_as_a_patch() {
    let setup = Setup {
        config: "[limits]\nrun_turns = 3\n".to_owned(),
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let threads = Threads::opened(world).await;
        let mut rules = threads.rules();
        let goes_on =
            json!({"tool_calls": [{"name": "bash", "arguments": {"command": "echo more >> more.txt"}}]});
        rules[1] = pass(threads.question, goes_on.clone());
        rules.push(json!({"reply": goes_on}));
        world.script(Value::from(rules));
        let pr = world.pull_request(1);
        let base = pr.head().await;
        let asked = world.alice().comments(1, ADDRESS).await.unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(
            reply.starts_with("**Out of time or budget") && reply.contains("TURN_LIMIT"),
            "{reply}"
        );
        assert!(reply.contains("+    a + b") && reply.contains("+more"), "{reply}");
        assert_eq!(world.model.requests().len(), 3, "the passes share one budget");
        assert_eq!(pr.head().await, base);
    })
    .await;
}

#[tokio::test]
async fn on_another_branch_there_is_a_commit_for_each_thread_as_well() {
    scenario(async |world| {
        let threads = Threads::opened(world).await;
        world.script(Value::from(threads.rules()));
        let pr = world.pull_request(1);
        let base = pr.head().await;
        let asked = world
            .alice()
            .comments(1, &format!("{ADDRESS} --branch fix/both"))
            .await
            .unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(
            reply.contains("One commit for each thread:") && reply.contains("Opened pull request [#2]("),
            "{reply}"
        );
        assert_eq!(pr.head().await, base);
        let opened = world.root().get("/pull-requests/2").await.unwrap();
        assert_eq!(opened["title"], "Address 2 threads of pull request 1");
        let there = world.root().get_all("/pull-requests/2/commits").await.unwrap();
        assert_eq!(there.len(), 2, "{there:#?}");
        for (thread, commit) in [(threads.sign, &there[1]), (threads.notes, &there[0])] {
            let said = answer(world, thread).await;
            let short = &commit["id"].as_str().unwrap()[..11];
            assert!(
                said.starts_with(&format!("**Done on another branch:** `{short}` on `fix/both`")),
                "{said}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_push_and_for_other_verbs_there_is_one_pass_and_that_is_told() {
    scenario(async |world| {
        let threads = Threads::opened(world).await;
        let result = json!({"answers": [{"thread": threads.sign, "text": "It adds now.", "settled": true}]});
        world.agent_runs(FIX, &handing_over("Add.", &result));
        let pr = world.pull_request(1);
        let base = pr.head().await;
        let told = "`--commits per-thread` changed nothing: only `address` works thread by thread";
        let asked = world
            .alice()
            .comments(1, &format!("{ADDRESS} --dry-run"))
            .await
            .unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(reply.contains(told) && reply.contains("+    a + b"), "{reply}");
        assert_eq!((pr.head().await, world.model.requests().len()), (base, 1));
        let asked = world
            .alice()
            .comments(1, "@openhands fix --commits per-thread the sign")
            .await
            .unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(reply.starts_with("**Done") && reply.contains(told), "{reply}");
        let made = commits(&pr).await;
        assert_eq!((made.len(), made[0].2), (1, None));
    })
    .await;
}
