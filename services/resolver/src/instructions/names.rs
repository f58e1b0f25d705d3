//! By which names agents and the tools they start find what steers them (agents-and-tools.md 1, reliability-security.md
//! row 13). One table, compared without regard to case: agents differ in that, and so do file systems.

/// Files and folders of this name, in any folder.
const NAMES: [&str; 52] = [
    ".agent",
    ".agents",
    ".amazonq",
    ".augment",
    ".claude",
    ".claude-plugin",
    ".claude.json",
    ".clinerules",
    ".codex",
    ".continue",
    ".crush",
    ".crush.json",
    ".cursor",
    ".cursorignore",
    ".cursorrules",
    ".gemini",
    ".geminiignore",
    ".gitmodules",
    ".goose",
    ".goosehints",
    ".gooseignore",
    ".husky",
    ".junie",
    ".kilocode",
    ".kimi",
    ".kiro",
    ".mcp.json",
    ".opencode",
    ".opencode.json",
    ".openhands",
    ".openhands_instructions",
    ".pi",
    ".qwen",
    ".qwenignore",
    ".ripgreprc",
    ".roo",
    ".roomodes",
    ".vibe",
    ".windsurf",
    ".windsurfrules",
    "agent.md",
    "agents.local.md",
    "agents.md",
    "agents.override.md",
    "claude.local.md",
    "claude.md",
    "crush.json",
    "crush.md",
    "gemini.md",
    "opencode.json",
    "opencode.jsonc",
    "qwen.md",
];

/// Beginnings of such names: `.aider.conf.yml`, `.aiderignore`.
const BEGINNINGS: [&str; 1] = [".aider"];

/// Whole paths, where the name alone would be somebody else's.
const PATHS: [&str; 4] = [
    ".github/agents",
    ".github/copilot-instructions.md",
    ".github/instructions",
    ".github/prompts",
];

/// Whether a path of a tree, with `/`, is a file or folder that instructs agents. What is below such a folder is not
/// looked at: the folder stands for it.
pub(crate) fn is_instruction(path: &[u8]) -> bool {
    let path = path.to_ascii_lowercase();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    NAMES.iter().any(|known| known.as_bytes() == name)
        || BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning.as_bytes()))
        || PATHS.iter().any(|known| known.as_bytes() == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_an_agent_is_known_in_every_folder_and_spelling() {
        for path in [
            "AGENTS.md",
            "crates/parser/AGENTS.md",
            "agents.MD",
            "CLAUDE.md",
            "sub/CLAUDE.local.md",
            "GEMINI.md",
            ".openhands",
            ".claude",
            "sub/.claude",
            ".claude.json",
            ".mcp.json",
            ".codex",
            "opencode.json",
            "opencode.jsonc",
            ".opencode",
            ".goosehints",
            ".aider.conf.yml",
            ".cursor",
            ".cursorrules",
            ".gemini",
            ".qwen",
            ".ripgreprc",
            ".husky",
            ".gitmodules",
            ".github/copilot-instructions.md",
        ] {
            assert!(is_instruction(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn ordinary_files_are_the_source_branchs() {
        for path in [
            "README.md",
            "docs/agents.md.txt",
            "src/agents.rs",
            "src/claude",
            ".github",
            ".github/workflows",
            ".gitignore",
            "claude.json",
            "mcp.json",
            "src/cursor",
            ".env",
            "",
        ] {
            assert!(!is_instruction(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn the_table_is_in_lower_case() {
        for known in NAMES.iter().chain(&BEGINNINGS).chain(&PATHS) {
            assert_eq!(**known, known.to_ascii_lowercase());
        }
    }
}
