use super::*;

#[test]
fn paths_and_branches_stay_inside_their_code_marks() {
    for (text, shown) in [
        ("AGENTS.md", "`AGENTS.md`"),
        ("a`b\nc\u{202e}d", "`a?b?c?d`"),
        ("größe/AGENTS.md", "`größe/AGENTS.md`"),
    ] {
        assert_eq!(quoted(text), shown);
    }
    assert_eq!(quoted(&"x".repeat(200)).chars().count(), 120 + 3);
}

#[test]
fn the_brief_stands_alone_where_nothing_instructs() {
    let overlay = Overlay {
        commit: CommitId::new("0".repeat(40)).unwrap(),
        overlaid: Vec::new(),
    };
    let mut instructions = Instructions {
        overlay,
        text: None,
        notes: Vec::new(),
    };
    assert_eq!(instructions.with_brief("# Request"), "# Request");
    instructions.text = Some("# Instructions of the repository\n".to_owned());
    assert_eq!(
        instructions.with_brief("# Request"),
        "# Instructions of the repository\n\n# Request"
    );
}
