//! Edits: an edit counts only if it changes what is asked for.

use pipeline::mention::CommandDigest;

use crate::found;

/// What the comment asks for, as an edit compares it.
fn digest(comment: &str) -> Option<CommandDigest> {
    found(comment).map(|found| found.command.digest())
}

#[test]
fn an_edit_outside_the_command_asks_for_the_same() {
    for (before, after) in [
        ("thnaks. @openhands fix it", "thanks. @openhands fix it"),
        ("@openhands fix it", "@OpenHands fix it"),
        ("@openhands fix it", "@openhands, fix it"),
        ("@openhands fix it", "@openhands Fix it"),
        ("@openhands fix it", "> quoted\n\n@openhands fix it"),
        ("@openhands fix it", "@openhands fix it  \n\n"),
        ("@openhands fix it\nplease", "@openhands fix it\r\nplease"),
        ("@openhands fix it --time 1h", "@openhands --time 60m fix it"),
        (
            "@openhands --quiet --sign-off fix it",
            "@openhands fix it --sign-off --quiet",
        ),
        ("@openhands stop", "@openhands stop.\n\nIt was the wrong branch."),
        ("@openhands stop", "@openhands cancel"),
        ("@openhands fix ci", "@openhands fix build"),
        ("`@openhands stop`\n@openhands fix it", "@openhands fix it"),
    ] {
        assert!(digest(before).is_some());
        assert_eq!(digest(before), digest(after), "{before:?} -> {after:?}");
    }
}

#[test]
fn an_edit_of_the_command_asks_for_something_else() {
    for (before, after) in [
        ("@openhands fix it", "@openhands fix that"),
        ("@openhands fix it", "@openhands stop"),
        ("@openhands fix it", "@openhands test it"),
        ("@openhands fix it", "@openhands fix it --quiet"),
        ("@openhands fix --time 5m it", "@openhands fix --time 6m it"),
        ("@openhands fix it", "@openhands fix it\nand that"),
        ("@openhands stop", "@openhands stop all"),
        ("@openhands sotp", "@openhands stop"),
        ("@openhands fix --bogus", "@openhands fix --other"),
        ("@openhands -- stop", "@openhands stop"),
        ("@openhands fix it", "`@openhands fix it`"),
        ("looks good", "@openhands looks good"),
    ] {
        assert_ne!(digest(before), digest(after), "{before:?} -> {after:?}");
    }
}

#[test]
fn an_edit_without_a_mention_before_and_after_asks_for_nothing() {
    for (before, after) in [("a", "b"), ("> @openhands stop", "`@openhands stop`")] {
        assert_eq!((digest(before), digest(after)), (None, None));
    }
}
