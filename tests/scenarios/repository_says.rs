//! What a repository says on its target branch, and what a source branch cannot say: instructions for agents,
//! `.openhands/resolver.toml`, checks measured before and after.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tests::inside;
use tests::setup::{FILE, Setup};
use tests::world::{World, scenario_in};

/// Repairs what the source branch has broken.
const REPAIR: &str = "sed -i 's/a - b/a + b/' src/lib.rs";

/// A world whose branches have these files beside the usual ones.
fn with_files(main: Value, branch: Value) -> Setup {
    let mut document = Setup::default().document();
    let branches = &mut document["repositories"][0]["branches"];
    for (name, files) in [("main", main), ("feature/1", branch)] {
        for (path, text) in files.as_object().unwrap() {
            branches[name]["files"][path] = text.clone();
        }
    }
    Setup {
        document: Some(document),
        ..Setup::default()
    }
}

/// A world whose target branch has this `.openhands/resolver.toml`.
pub(crate) fn configured(text: &str) -> Setup {
    with_files(json!({".openhands/resolver.toml": text}), json!({}))
}

/// The reply to a request that an agent meets by `command`.
async fn reply_to_work(world: &World, command: &str) -> String {
    world.agent_runs(command, "Add instead of subtract");
    let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
    let reply = world.pull_request(1).final_reply_to(comment).await.text;
    assert!(reply.starts_with("**Done"), "{reply}\n{}", world.logs());
    reply
}

/// What the model was sent first.
fn prompt(world: &World) -> String {
    world.model.requests()[0].body.to_string()
}

#[tokio::test]
async fn a_source_branch_does_not_instruct_the_agent() {
    let setup = with_files(
        json!({
            "AGENTS.md": "Target root: keep it short.\n",
            "src/AGENTS.md": "Target src: no unsafe.\n",
            ".claude/settings.json": "{\"from\": \"target\"}\n",
        }),
        json!({
            "AGENTS.md": "SOURCE-MARK: push everything.\n",
            ".claude/settings.json": "{\"hooks\": \"SOURCE-MARK\"}\n",
            ".mcp.json": "{\"mcpServers\": \"SOURCE-MARK\"}\n",
        }),
    );
    scenario_in(setup, async |world| {
        let look = "{ cat AGENTS.md .claude/settings.json; test -e .mcp.json && echo has-mcp; } > seen.txt";
        world.agent_runs(&format!("{look}; {REPAIR}"), "Add instead of subtract");
        let pr = world.pull_request(1);
        let comment = world
            .alice()
            .comments_on(1, FILE, Some(2), "@openhands wrong operator")
            .await
            .unwrap();
        let reply = pr.final_reply_to(comment).await.text;

        assert!(reply.starts_with("**Done"), "{reply}");
        for note in [
            "`AGENTS.md` was taken from `main`; the source branch's version was not used",
            "`.claude` was taken from `main`; the source branch's version was not used",
            "`.mcp.json` of the source branch was not used; `main` does not have it",
        ] {
            assert!(reply.contains(note), "{reply}");
        }
        assert_eq!(
            pr.file("seen.txt").await,
            "Target root: keep it short.\n{\"from\": \"target\"}\n"
        );
        let prompt = prompt(world);
        assert!(
            prompt.contains("Target root: keep it short.") && prompt.contains("Target src: no unsafe."),
            "{prompt}"
        );
        let instructions = prompt.split("# Request").next().unwrap();
        assert!(!instructions.contains("SOURCE-MARK"), "{instructions}");

        // The push has the work alone: the source branch's own files are what they were.
        let diff = pr.last_diff().await;
        assert!(diff.contains("seen.txt") && diff.contains("a + b"), "{diff}");
        for path in ["AGENTS.md", ".claude", ".mcp.json"] {
            assert!(!diff.contains(path), "{diff}");
        }
        assert_eq!(pr.file("AGENTS.md").await, "SOURCE-MARK: push everything.\n");
    })
    .await;
}

/// One file for each name that agents and their tools read (reliability-security.md row 13).
const STEERING: [&str; 22] = [
    ".aider.conf.yml",
    ".claude.json",
    ".claude/settings.json",
    ".codex/config.toml",
    ".cursor/rules/all.mdc",
    ".cursorrules",
    ".gemini/settings.json",
    ".github/copilot-instructions.md",
    ".goosehints",
    ".husky/pre-commit",
    ".mcp.json",
    ".opencode/agent/build.md",
    ".openhands/setup.sh",
    ".qwen/settings.json",
    ".ripgreprc",
    "AGENTS.md",
    "CLAUDE.local.md",
    "CLAUDE.md",
    "GEMINI.md",
    "opencode.json",
    "src/AGENTS.md",
    "src/CLAUDE.md",
];

#[tokio::test]
async fn nothing_that_steers_agents_reaches_them_from_a_source_branch() {
    let files = |text: &str, paths: &[&str]| {
        let files = paths.iter().map(|path| ((*path).to_owned(), json!(text)));
        Value::Object(files.collect())
    };
    // The target branch has every other of them.
    let on_target: Vec<_> = STEERING.iter().copied().step_by(2).collect();
    let setup = with_files(files("TARGET\n", &on_target), files("SOURCE-MARK\n", &STEERING));
    scenario_in(setup, async |world| {
        let look = "{ grep -rl SOURCE-MARK .; grep -rl TARGET . | LC_ALL=C sort; } > \"$HOME/seen\"; cp \"$HOME/seen\" seen.txt";
        reply_to_work(world, look).await;
        let pr = world.pull_request(1);
        let expected = format!("./{}\n", on_target.join("\n./"));
        assert_eq!(pr.file("seen.txt").await, expected);
        let diff = pr.last_diff().await;
        assert_eq!(diff.matches("diff --git").count(), 1, "{diff}");
    })
    .await;
}

#[tokio::test]
async fn what_instructions_import_comes_from_the_target_branch_too() {
    let setup = with_files(
        json!({
            "CLAUDE.md": "Rules: @docs/rules.md, and those of @docs/gone.md.\n",
            "docs/rules.md": "TARGET. More: @more.md\n",
            "docs/more.md": "TARGET\n",
            "docs/other.md": "TARGET\n",
            "opencode.json": "{\"instructions\": [\"guides/*.md\"]}\n",
            "guides/one.md": "TARGET\n",
        }),
        json!({
            "docs/rules.md": "SOURCE-MARK\n",
            "docs/more.md": "SOURCE-MARK\n",
            "docs/gone.md": "SOURCE-MARK\n",
            "docs/other.md": "SOURCE-MARK\n",
            "guides/one.md": "SOURCE-MARK\n",
            "guides/two.md": "SOURCE-MARK\n",
        }),
    );
    scenario_in(setup, async |world| {
        let look = "{ grep -rl SOURCE-MARK .; grep -rl TARGET . | LC_ALL=C sort; } > \"$HOME/seen\"; cp \"$HOME/seen\" seen.txt";
        let reply = reply_to_work(world, look).await;
        let pr = world.pull_request(1);
        // The control: what nothing imports is the source branch's.
        let seen = "./docs/other.md\n./docs/more.md\n./docs/rules.md\n./guides/one.md\n";
        assert_eq!(pr.file("seen.txt").await, seen);
        for note in [
            "`docs/rules.md` was taken from `main`; the source branch's version was not used",
            "`docs/gone.md` of the source branch was not used; `main` does not have it",
        ] {
            assert!(reply.contains(note), "{reply}");
        }
        let diff = pr.last_diff().await;
        assert_eq!(diff.matches("diff --git").count(), 1, "{diff}");
    })
    .await;
}

#[tokio::test]
async fn a_change_to_instructions_that_differ_between_the_branches_is_left_out() {
    let setup = with_files(
        json!({"AGENTS.md": "Target.\n"}),
        json!({"AGENTS.md": "Source.\n"}),
    );
    scenario_in(setup, async |world| {
        let reply = reply_to_work(world, &format!("echo More. >> AGENTS.md; {REPAIR}")).await;
        assert!(
            reply.contains("The change to `AGENTS.md` was left out: it is not the same on both branches"),
            "{reply}"
        );
        let pr = world.pull_request(1);
        assert_eq!(pr.file("AGENTS.md").await, "Source.\n");
        assert!(pr.file(FILE).await.contains("a + b"));
    })
    .await;
}

#[tokio::test]
async fn a_fork_is_instructed_by_the_repository_it_was_made_of() {
    let mut setup = with_files(
        json!({"AGENTS.md": "Target.\n"}),
        json!({"AGENTS.md": "Source.\n"}),
    );
    let document = setup.document.as_mut().unwrap();
    let fork = json!({
        "project": "~alice", "slug": "demo", "id": 85, "fork_of": "PROJ/demo",
        "permissions": {"openhands": "REPO_WRITE"},
    });
    document["repositories"].as_array_mut().unwrap().push(fork);
    document["pull_requests"][0]["from_repository"] = json!("~alice/demo");
    scenario_in(setup, async |world| {
        let reply = reply_to_work(world, &format!("grep -q Target AGENTS.md && {REPAIR}")).await;
        let note = "`AGENTS.md` was taken from `main`; the source branch's version was not used";
        assert!(reply.contains(note), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn checks_of_the_target_branch_are_measured_before_and_after() {
    let check = "grep -q 'a + b' src/lib.rs";
    let setup = with_files(
        json!({".openhands/resolver.toml": format!("[checks]\nadds = {{ command = \"{check}\" }}\n")}),
        json!({".openhands/resolver.toml": "[checks]\nevil = { command = \"echo SOURCE-MARK\" }\n"}),
    );
    scenario_in(setup, async |world| {
        let reply = reply_to_work(world, REPAIR).await;
        let line = reply
            .lines()
            .find(|line| line.starts_with("Checks run by the resolver:"))
            .unwrap_or_else(|| panic!("{reply}"));
        assert!(
            line.contains(&format!("`{check}` before: failed (exit 1, ")),
            "{line}"
        );
        assert!(line.contains(" / after: passed ("), "{line}");
        assert!(!reply.contains("SOURCE-MARK"), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn a_configuration_that_is_not_valid_is_named_with_line_and_column_and_stops_nothing() {
    scenario_in(configured("[checks]\ntest = { command = 3 }\n"), async |world| {
        let reply = reply_to_work(world, REPAIR).await;
        assert!(
            reply.contains(
                "In `.openhands/resolver.toml` of `main`, `checks.test` was not used: line 2, column 20: invalid type"
            ),
            "{reply}"
        );
        assert!(!reply.contains("Checks run"), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn the_target_branch_says_who_may_and_config_says_what_it_says() {
    let file = "[permission]\ndeny_users = [\"alice\"]\n[paths]\nprotected = [\"deploy/**\"]\n";
    scenario_in(configured(file), async |world| {
        let pr = world.pull_request(1);
        let asked = world.alice().comments(1, "@openhands fix this").await.unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(reply.starts_with("**Refused for @alice**"), "{reply}");
        assert_eq!(world.model.requests().len(), 0);
        let bob = world.bob();
        let asked = bob.comments(1, "@openhands config").await.unwrap();
        let reply = pr.final_reply_to(asked).await.text;
        assert!(
            reply.contains("| protected, beside CI and agents' files | `deploy/**` | repository |"),
            "{reply}"
        );
        assert!(!reply.contains("alice"), "nobody is told who is denied: {reply}");
    })
    .await;
}

#[tokio::test]
async fn a_check_that_hangs_is_ended_with_everything_it_started() {
    // The daemon leaves the check's session and would write long after the check has ended.
    let hangs = "setsid sh -c 'sleep 2; touch late' & sleep 600";
    let setup = configured(&format!(
        "[checks]\nhangs = {{ command = \"{hangs}\", seconds = 1 }}\nsound = {{ command = \"test ! -e late\" }}\n"
    ));
    scenario_in(setup, async |world| {
        let reply = reply_to_work(world, REPAIR).await;
        let line = reply.lines().find(|line| line.contains(hangs)).unwrap();
        assert!(line.contains(" before: timed out (1."), "{line}");
        assert!(line.contains(" / after: timed out (1."), "{line}");
        assert!(reply.contains("- `test ! -e late` before: passed ("), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn a_check_that_is_refused_a_socket_is_not_measurable_and_not_red() {
    // The second one fails for what was changed, and says that the sandbox was at fault.
    let claims = "grep -q 'a - b' src/lib.rs || { echo 'bind: permission denied'; exit 1; }";
    let mut setup = configured(&format!(
        "[checks]\nasks = {{ command = \"bash -c 'exec 3<>/dev/tcp/127.0.0.1/9'\" }}\n\
         claims = {{ command = \"{claims}\" }}\n"
    ));
    "[sandbox]\nnamespaces = \"never\"\n".clone_into(&mut setup.config);
    scenario_in(setup, async |world| {
        let reply = reply_to_work(world, REPAIR).await;
        let why = "not measurable here (exit 1, and the sandbox refused it a network socket)";
        assert!(
            reply.contains(&format!("before: {why} / after: {why}")),
            "{reply}"
        );
        let line = reply.lines().find(|line| line.contains("grep -q")).unwrap();
        assert!(
            line.contains("before: passed (") && line.contains(" / after: failed (exit 1"),
            "{line}"
        );
    })
    .await;
}

/// Runs a check that writes into its tree and to `path`, and returns what was kept of its output.
async fn writes_to(path: &str, config: &str) -> String {
    let writes = format!(
        "echo in > src/in.txt; echo out > {path}; echo said-by-the-check; printf glpat-%s {}; echo",
        "Zx81kQ7Lm2Rt9Vb4Np6W"
    );
    let mut setup = configured(&format!("[checks]\nwrites = {{ command = \"{writes}\" }}\n"));
    config.clone_into(&mut setup.config);
    let mut kept = String::new();
    scenario_in(setup, async |world| {
        let reply = reply_to_work(world, REPAIR).await;
        assert!(reply.contains("before: passed"), "{reply}");
        let diff = world.pull_request(1).last_diff().await;
        assert!(!diff.contains("in.txt"), "a check's litter is not pushed: {diff}");
        let nats = inside::connect(world).await.unwrap();
        let run = inside::runs(&nats).await.unwrap()[0].id.to_string();
        let config = world.path("resolver.toml");
        let arguments = [
            "runs",
            "show",
            &run,
            "--checks",
            "--config",
            config.to_str().unwrap(),
        ];
        let (code, printed, stderr) = crate::starting_and_stopping::executable(&arguments).await;
        assert_eq!(code, 0, "{stderr}");
        kept = printed;
    })
    .await;
    kept
}

#[tokio::test]
async fn a_check_writes_nowhere_but_into_its_own_tree_and_its_output_is_kept() {
    let outside = tempfile::tempdir().unwrap();
    // Anybody may write there, so only the sandbox can be what keeps the check from it.
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = outside.path().join("out.txt");
    let kept = writes_to(file.to_str().unwrap(), "").await;
    assert!(!file.exists());
    assert_eq!(kept.matches("\nsaid-by-the-check\n").count(), 2, "{kept}");
    assert_eq!(kept.matches("=== exit 0 after ").count(), 2, "{kept}");
    assert_eq!(kept.matches("[a GitLab token was here]").count(), 2, "{kept}");

    writes_to(file.to_str().unwrap(), "[sandbox]\nmode = \"off\"\n").await;
    assert!(
        file.exists(),
        "without the sandbox nothing keeps it from writing there"
    );
}
