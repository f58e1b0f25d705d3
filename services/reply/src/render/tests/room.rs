//! Replies that are nearly too long, and patches.

use pipeline::failure_code::FailureCode;
use pipeline::job::Artifact;
use proptest::prelude::*;

use super::*;

proptest! {
    /// Of any words, those of surrogate pairs among them. A lone surrogate is no character of Rust's and comes in no text.
    #[test]
    fn whatever_the_agent_says_fits_and_leaves_the_marker_at_the_end(
        summary in "([a-z @<>`~*_#|!\\[\\]()\n>-]|````|~~~|```rust\n|> |- |🎉|\u{10ffff}|\u{202e}|<!--|<script>|&#x1F389;|    ){0,200}",
        times in 1_usize..200,
        points in proptest::collection::vec("([a-z`@🎉\n#>-]|```|<b>){0,60}", 0..30),
        detail in "([a-z`\n@🎉]|```){0,200}",
        state in 0_usize..4,
    ) {
        let outcome = Outcome {
            failure: (state == 0).then_some(FailureReport {
                code: FailureCode::PushRejected,
                detail: Some(detail),
            }),
            summary: Some(summary.repeat(times)),
            not_done: points.clone(),
            questions: points.clone(),
            notes: points.clone(),
            left_out: points,
            ..Outcome::default()
        };
        let states = [RunState::Failed, RunState::Answered, RunState::NeedsInput, RunState::NoChange];
        let run = ended_as(states[state], outcome);
        for beyond_bmp in [true, false] {
            let mut scene = scene();
            scene.policy.beyond_bmp = beyond_bmp;
            let text = status_reply(&run, &scene);
            prop_assert!(sanitise::units(&text) <= limit::UNITS_MAX);
            let fits = beyond_bmp || text.chars().all(|c| c.len_utf16() == 1);
            prop_assert!(fits);
            let marker = Marker { run: run.id.clone(), n: run.n };
            prop_assert_eq!(Marker::of(&text), Some(marker));
            // Where a fence were open, the footer would be code.
            let footer = details::footer(&run, &scene);
            let (_, end) = text.rsplit_once(&footer).unwrap();
            let at = text.len() - end.len() - footer.len();
            let mut parser = pulldown_cmark::Parser::new(&text).into_offset_iter();
            let is_paragraph = parser.any(|(event, range)| {
                matches!(event, pulldown_cmark::Event::Start(pulldown_cmark::Tag::Paragraph)) && range.start == at
            });
            prop_assert!(is_paragraph, "{}", text);
        }
    }
}

#[test]
fn the_longest_possible_reply_fits() {
    let long = "@ <b> ".repeat(5_000);
    let many = vec![long.clone(); 50];
    let mut run = ended_as(
        RunState::Failed,
        Outcome {
            failure: Some(FailureReport {
                code: FailureCode::PushRejected,
                detail: Some(long.clone()),
            }),
            answer: None,
            pushed: None,
            pushed_aside: false,
            nothing_pushed: true,
            summary: Some(long.clone()),
            not_done: many.clone(),
            questions: many.clone(),
            notes: many.clone(),
            left_out: many,
            checks: Vec::new(),
        },
    );
    run.patch = Some(Artifact {
        key: "k".into(),
        bytes: 8192,
    });
    let text = status_reply(
        &run,
        &Scene {
            patch: Some("`".repeat(8192)),
            ..scene()
        },
    );
    assert!(sanitise::units(&text) <= limit::UNITS_MAX);
    assert_eq!(
        Marker::of(&text),
        Some(Marker {
            run: run.id.clone(),
            n: run.n
        })
    );
}

#[test]
fn a_patch_that_would_not_apply_as_shown_is_not_shown() {
    let run = failed(RunState::Failed, FailureCode::BranchConflict, None);
    let shown = |patch: &[u8]| showable(patch.to_vec(), &run, scene().policy);
    assert!(shown(b"+ok\n").is_some());
    assert!(shown("+a\u{202e}b\n".as_bytes()).is_none());
    assert!(shown(b"+\r\n").is_none());
    assert!(shown(&[0xff]).is_none());
    assert!(shown(&[b'x'; 9000]).is_none());
}

#[test]
fn a_dry_run_shows_a_long_patch_as_far_as_there_is_room_for_hunks() {
    let mut run = ended_as(RunState::Answered, Outcome::default());
    run.command.options.dry_run = true;
    let hunk = |n: usize| format!("@@ -{n},1 +{n},1 @@\n-a\n+{}\n", "b".repeat(1000));
    let head = "diff --git a/x b/x\n--- a/x\n+++ b/x\n";
    let whole = format!("{head}{}", (1..15).map(hunk).collect::<String>());
    let shown = |run: &Run, patch: &str| showable(patch.as_bytes().to_vec(), run, scene().policy);
    assert_eq!(shown(&run, &whole).as_deref(), Some(whole.as_str()));
    let long = format!("{head}{}", (1..60).map(hunk).collect::<String>());
    let beginning = shown(&run, &long).unwrap();
    let hunks = beginning.matches("@@ -").count();
    assert_eq!(
        beginning,
        format!("{head}{}", (1..=hunks).map(hunk).collect::<String>())
    );
    assert!((20..=22).contains(&hunks), "{hunks}");
    run.patch = Some(Artifact {
        key: "k".into(),
        bytes: long.len() as u64,
    });
    let scene = Scene {
        patch: Some(beginning),
        ..scene()
    };
    let reply = status_reply(&run, &scene);
    assert!(
        reply.contains("The beginning of the work, as a patch") && reply.contains("@@ -20,1"),
        "{}",
        reply.len()
    );
    // One hunk that is longer than that, and what is no dry run.
    assert_eq!(
        shown(&run, &format!("{head}@@ -1 +1 @@\n+{}", "b".repeat(30_000))),
        None
    );
    run.command.options.dry_run = false;
    assert_eq!(shown(&run, &whole), None);
}
