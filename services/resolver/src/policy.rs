//! What a change may contain: no agent's litter, no protected path without an operator's consent, no file that is too
//! large (reliability-security.md row 22). Decided by paths, sizes and tables, never by what the agent says.

mod glob;
mod protected;

use std::collections::BTreeSet;

use crate::instructions::is_instruction;
pub(crate) use glob::Glob;
use glob::fold;

/// Files agents leave beside their work (agents-and-tools.md 1), as globs.
const LEFTOVERS: [&str; 8] = [
    ".aider.chat.history.md",
    ".aider.input.history",
    ".aider.llm.history",
    ".aider.tags.cache.*",
    ".openhands-tmp*",
    ".goose-session*",
    ".mini-swe-agent*",
    ".claude.json.backup*",
];

/// What an operator lets changes contain.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    allowed: Vec<Glob>,
    protected: Vec<Glob>,
    leftovers: Vec<Glob>,
    leaves: Vec<Glob>,
    /// What the repository protects itself, which no operator opens.
    own: Vec<Glob>,
    /// Changed files at most.
    pub(crate) files_max: usize,
    /// Bytes of one changed file at most.
    pub(crate) file_bytes_max: u64,
}

/// Where changes may be: everywhere, or in what matches a glob of each list.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnlyPaths(Vec<Vec<Glob>>);

impl OnlyPaths {
    /// Narrowed by one more list; one without globs narrows nothing.
    pub(crate) fn and(mut self, globs: &[String]) -> Self {
        if !globs.is_empty() {
            self.0.push(globs.iter().map(|glob| Glob::exact(glob)).collect());
        }
        self
    }

    /// Whether a change of this path is outside. Letters count as they are written.
    pub(crate) fn leave_out(&self, path: &str) -> bool {
        self.0
            .iter()
            .any(|globs| !globs.iter().any(|glob| glob.matches(path)))
    }
}

/// What is judged of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The path below the work tree.
    pub(crate) path: String,
    /// Bytes of the new content.
    pub(crate) bytes: u64,
    /// Whether the path is gone.
    pub(crate) removed: bool,
    /// Whether the path is new.
    pub(crate) added: bool,
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is committed.
    Work,
    /// It is the agent's own.
    Litter,
    /// It is protected, and not allowed.
    Protected,
    /// It is too large.
    TooLarge,
    /// It cannot be committed without a change that is left out: a file where a directory has to stay, or the other way
    /// round.
    InTheWay,
}

impl Policy {
    /// The operator's, for an agent that `leaves` these paths in its work tree.
    pub(crate) fn new(config: &config::Policy, leaves: &[String]) -> Self {
        let globs = |patterns: &mut dyn Iterator<Item = &str>| patterns.map(Glob::new).collect();
        Self {
            allowed: globs(&mut config.allow_protected_paths.iter().map(String::as_str)),
            protected: globs(&mut protected::PATHS.into_iter()),
            leftovers: globs(&mut LEFTOVERS.into_iter()),
            leaves: globs(&mut leaves.iter().map(String::as_str)),
            own: Vec::new(),
            files_max: config.files_max,
            file_bytes_max: config.file_bytes_max,
        }
    }

    /// The same with what the repository's file protects as well.
    pub(crate) fn protecting(mut self, globs: &[String]) -> Self {
        self.own.extend(globs.iter().map(|glob| Glob::new(glob)));
        self
    }

    /// What becomes of each change, in their order.
    pub(crate) fn fates(&self, changes: &[Facts]) -> Vec<Fate> {
        let mut fates: Vec<_> = changes.iter().map(|change| self.fate(change)).collect();
        // What is left out stays as it is in the repository; nothing that is committed may take its place.
        let stays: BTreeSet<_> = changes
            .iter()
            .zip(&fates)
            .filter(|(_, fate)| **fate != Fate::Work)
            .map(|(change, _)| change.path.clone())
            .collect();
        for (change, fate) in changes.iter().zip(&mut fates) {
            if *fate == Fate::Work && !change.removed && displaces(&change.path, &stays) {
                *fate = Fate::InTheWay;
            }
        }
        fates
    }

    fn fate(&self, change: &Facts) -> Fate {
        let path = fold(&change.path);
        let is_one_of = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(&path));
        // What the repository had before is not of this run, and where an operator allows a path, it may be wanted.
        let is_left = || change.added && is_one_of(&self.leaves) && !is_one_of(&self.allowed);
        if is_one_of(&self.leftovers) || is_left() {
            Fate::Litter
        } else if is_one_of(&self.own)
            || (is_one_of(&self.protected) || instructs(&path)) && !is_one_of(&self.allowed)
        {
            Fate::Protected
        } else if change.bytes > self.file_bytes_max {
            Fate::TooLarge
        } else {
            Fate::Work
        }
    }
}

/// Whether the path, or a directory it is in, instructs agents. `.gitmodules` is looked into where changes are read.
fn instructs(path: &str) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end])
        .any(|part| !part.ends_with(".gitmodules") && is_instruction(part.as_bytes()))
}

/// Whether a file at `path` would be where a directory of one of these has to be, or below one of them.
fn displaces(path: &str, stays: &BTreeSet<String>) -> bool {
    let below = format!("{path}/");
    let is_above = stays
        .range(below.clone()..)
        .next()
        .is_some_and(|first| first.starts_with(&below));
    is_above
        || path
            .match_indices('/')
            .any(|(end, _)| stays.contains(&path[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str]) -> Policy {
        policy_of(allow, &[])
    }

    fn policy_of(allow: &[&str], leaves: &[&str]) -> Policy {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let config = config::Policy {
            allow_protected_paths: owned(allow),
            files_max: 500,
            file_bytes_max: 1_000,
            allow_no_test: false,
        };
        Policy::new(&config, &owned(leaves))
    }

    fn added(path: &str) -> Facts {
        Facts {
            path: path.to_owned(),
            bytes: 10,
            removed: false,
            added: true,
        }
    }

    fn removed(path: &str) -> Facts {
        Facts {
            removed: true,
            added: false,
            bytes: 0,
            ..added(path)
        }
    }

    #[test]
    fn what_decides_over_builds_reviews_and_agents_is_protected() {
        let policy = policy(&[]);
        for path in [
            "bitbucket-pipelines.yml",
            "Bitbucket-Pipelines.YML",
            ".bitbucket/CODEOWNERS",
            "Jenkinsfile",
            "ci/Jenkinsfile",
            "jenkinsfile",
            "Jenkinsfile.release",
            ".github/workflows/ci.yml",
            ".GitHub/workflows/ci.yml",
            ".git\u{200c}hub/workflows/ci.yml",
            ".github",
            "sub/.github/workflows/ci.yml",
            ".gitlab-ci.yml",
            ".gitlab-ci.yml.",
            "azure-pipelines.yml",
            "azure-pipelines-nightly.yaml",
            ".circleci/config.yml",
            ".drone.yml",
            ".husky/pre-commit",
            "CODEOWNERS",
            "docs/CODEOWNERS",
            ".pre-commit-config.yaml",
            ".lfsconfig",
            "AGENTS.md",
            "src/AGENTS.md",
            "agents.md",
            "CLAUDE.md",
            "GEMINI.md",
            ".claude/settings.json",
            "sub/.claude/hooks/x",
            ".mcp.json",
            ".codex/config.toml",
            ".openhands/resolver.toml",
            "opencode.json",
            ".opencode/x",
            ".goosehints",
            ".aider.conf.yml",
            ".cursor/rules/a.mdc",
            ".gemini/settings.json",
            ".qwen/settings.json",
            ".vscode/tasks.json",
            ".devcontainer/devcontainer.json",
        ] {
            assert_eq!(policy.fates(&[added(path)]), [Fate::Protected], "{path}");
            assert_eq!(policy.fates(&[removed(path)]), [Fate::Protected], "{path}");
        }
    }

    #[test]
    fn what_the_repository_protects_no_operator_opens() {
        let policy = policy(&["deploy/**"]).protecting(&["deploy/**".to_owned(), "*.lock".to_owned()]);
        for path in ["deploy/prod.yaml", "Deploy/x", "Cargo.lock", "sub/a.lock"] {
            assert_eq!(policy.fates(&[added(path)]), [Fate::Protected], "{path}");
            assert_eq!(policy.fates(&[removed(path)]), [Fate::Protected], "{path}");
        }
        assert_eq!(policy.fates(&[added("src/deploy.rs")]), [Fate::Work]);
    }

    #[test]
    fn changes_are_only_where_every_list_lets_them_be() {
        let list = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>();
        let only = OnlyPaths::default().and(&[]).and(&list(&["src/**", "docs"]));
        for (path, outside) in [
            ("src/a/b.rs", false),
            ("docs/x.md", false),
            ("sub/docs/x.md", false),
            ("SRC/a.rs", true),
            ("src", true),
            ("Cargo.toml", true),
        ] {
            assert_eq!(only.leave_out(path), outside, "{path}");
        }
        let both = only.and(&list(&["*.rs"]));
        assert!(!both.leave_out("src/a.rs") && both.leave_out("src/a.md") && both.leave_out("a.rs"));
        assert!(!OnlyPaths::default().leave_out("anything"));
    }

    #[test]
    fn ordinary_files_are_work() {
        let policy = policy(&[]);
        for path in [
            "src/main.rs",
            ".gitignore",
            ".gitattributes",
            ".gitmodules",
            "Cargo.lock",
            "docs/jenkins.md",
            "src/github/client.rs",
            "github/workflows.md",
            "my-bitbucket-pipelines.yml.md",
            "codeowners_test.go",
            "src/codex/mod.rs",
            "README.md",
            "é/ü.txt",
            ".vscode/extensions.json",
            ".env.example",
            "src/aider.rs",
        ] {
            assert_eq!(policy.fates(&[added(path)]), [Fate::Work], "{path}");
        }
    }

    #[test]
    fn an_operator_can_allow_what_is_protected() {
        let policy = policy(&["ci/**", ".github/workflows/*.yml", "agents.md"]);
        for (path, fate) in [
            ("ci/Jenkinsfile", Fate::Work),
            ("Jenkinsfile", Fate::Protected),
            (".github/workflows/ci.yml", Fate::Work),
            (".github/workflows/deep/ci.yml", Fate::Protected),
            (".github/CODEOWNERS", Fate::Protected),
            ("src/AGENTS.md", Fate::Work),
        ] {
            assert_eq!(policy.fates(&[added(path)]), [fate], "{path}");
        }
    }

    #[test]
    fn what_agents_leave_beside_their_work_is_litter() {
        for path in [
            ".aider.chat.history.md",
            "sub/.aider.input.history",
            ".aider.tags.cache.v4/cache.db",
            ".openhands-tmp/x",
        ] {
            assert_eq!(policy(&["**"]).fates(&[added(path)]), [Fate::Litter], "{path}");
        }
    }

    #[test]
    fn what_the_configured_agent_leaves_is_litter_where_it_is_new_and_not_wanted() {
        let leaves = [".opencode", ".openhands/conversations"];
        let ours = policy_of(&[], &leaves);
        let modified = |path: &str| Facts {
            added: false,
            ..added(path)
        };
        for (change, fate) in [
            (added(".opencode/state.json"), Fate::Litter),
            (added("sub/.opencode/state.json"), Fate::Litter),
            (added(".openhands/conversations/1.json"), Fate::Litter),
            (added(".openhands/resolver.toml"), Fate::Protected),
            (modified(".opencode/agents.md"), Fate::Protected),
            (removed(".opencode/agents.md"), Fate::Protected),
            // Another agent's.
            (added(".qwen/settings.json"), Fate::Protected),
            (added("src/opencode.rs"), Fate::Work),
        ] {
            let path = change.path.clone();
            assert_eq!(ours.fates(&[change]), [fate], "{path}");
        }
        let allowed = policy_of(&[".opencode/**"], &leaves);
        assert_eq!(allowed.fates(&[added(".opencode/agents.md")]), [Fate::Work]);
        // The control: where the agent is not known to leave it, somebody may want it.
        assert_eq!(policy(&[]).fates(&[added(".opencode/x")]), [Fate::Protected]);
    }

    #[test]
    fn a_file_over_the_limit_is_left_out() {
        let large = Facts {
            bytes: 1_001,
            ..added("a.bin")
        };
        let policy = policy(&[]);
        assert_eq!(policy.fates(&[large, added("b")]), [Fate::TooLarge, Fate::Work]);
    }

    #[test]
    fn nothing_takes_the_place_of_what_stays() {
        let policy = policy(&[]);
        // A protected file must not go by putting a file where its directory is, nor a directory where it is.
        let changes = [
            added("x"),
            removed("x/CODEOWNERS"),
            removed("x/other"),
            added("x-y"),
        ];
        assert_eq!(
            policy.fates(&changes),
            [Fate::InTheWay, Fate::Protected, Fate::Work, Fate::Work]
        );
        let changes = [removed("Jenkinsfile"), added("Jenkinsfile/x")];
        assert_eq!(policy.fates(&changes), [Fate::Protected, Fate::Protected]);
    }
}
