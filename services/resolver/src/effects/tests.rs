use pipeline::options::Options;

use super::*;
use crate::result::Answer;

fn remark(first: u32, last: u32, suggestion: Option<&str>) -> Remark {
    Remark {
        path: "a".into(),
        first,
        last,
        text: format!("on {first}"),
        suggestion: suggestion.map(ToOwned::to_owned),
    }
}

fn answer(thread: u64, settled: bool) -> Answer {
    Answer {
        thread: CommentId(thread),
        text: "because".into(),
        settled,
    }
}

fn thread(comment: u64, is_task: bool) -> OpenThread {
    OpenThread {
        comment: CommentId(comment),
        is_task,
    }
}

fn planned(verb: Verb, handed: Handed, threads: &[OpenThread]) -> Plan {
    let lines = Commentable::of("--- a/a\n+++ b/a\n@@ -1,2 +1,3 @@\n 1\n+2\n 3\n");
    plan(&Command::of_verb(verb, ""), handed, threads, &lines)
}

#[test]
fn a_remark_stands_on_lines_of_the_diff_or_in_the_summary() {
    let findings = vec![
        remark(2, 3, Some("x")),
        remark(3, 90, None),
        remark(3, 90, Some("x")),
        remark(7, 7, None),
    ];
    let plan = planned(
        Verb::Review,
        Handed {
            findings,
            ..Handed::default()
        },
        &[],
    );
    let ranges: Vec<_> = plan
        .effects
        .iter()
        .map(|effect| match &effect.what {
            What::Finding {
                first_line,
                last_line,
                first_is_added,
                last_is_added,
                ..
            } => (*first_line, *last_line, *first_is_added, *last_is_added),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ranges, [(2, 3, true, false), (3, 3, false, false)]);
    assert_eq!(
        plan.more,
        "On lines that the diff does not show:\n\n- `a` line 3: on 3\n- `a` line 7: on 7"
    );
}

#[test]
fn a_review_of_some_paths_says_nothing_of_others() {
    let findings = vec![
        remark(2, 2, None),
        Remark {
            path: "src/b".into(),
            ..remark(3, 3, None)
        },
    ];
    let handed = Handed {
        findings,
        ..Handed::default()
    };
    let left = |paths: &[String]| -> Vec<String> {
        let left = within(handed.clone(), paths).findings;
        left.into_iter().map(|finding| finding.path).collect()
    };
    assert_eq!(left(&["src/**".to_owned()]), ["src/b"]);
    assert_eq!(left(&[]), ["a", "src/b"]);
}

#[test]
fn every_thread_gets_one_answer_and_only_settled_tasks_are_ticked() {
    let handed = Handed {
        answers: vec![
            answer(1, true),
            answer(2, true),
            answer(2, false),
            answer(3, false),
            answer(99, true),
        ],
        ..Handed::default()
    };
    let threads = [
        thread(1, false),
        thread(2, true),
        thread(3, true),
        thread(4, true),
    ];
    let plan = planned(Verb::Address, handed, &threads);
    let answers: Vec<_> = plan
        .effects
        .iter()
        .map(|effect| match &effect.what {
            What::Answer {
                thread,
                settled,
                tick,
                ..
            } => (thread.0, *settled, *tick),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(answers, [(1, true, false), (2, true, true), (3, false, false)]);
    assert!(plan.notes[0].contains("not asked about"), "{:?}", plan.notes);
    assert_eq!(plan.notes[1], "Not addressed: comment 4");
}

#[test]
fn a_proposal_is_applied_only_where_that_was_asked_for() {
    let handed = || Handed {
        title: Some("A\ntitle".into()),
        description: Some("Why.".into()),
        ..Handed::default()
    };
    let proposed = planned(Verb::Describe, handed(), &[]);
    assert!(proposed.effects.is_empty());
    assert_eq!(proposed.more, "**Title:** A title\n\n**Description:**\n\nWhy.");
    let command = Command {
        options: Box::new(Options {
            apply: true,
            ..Options::default()
        }),
        ..Command::of_verb(Verb::Describe, "")
    };
    let applied = plan(&command, handed(), &[], &Commentable::default());
    assert_eq!(applied.effects.len(), 1);
    let long = Handed {
        description: Some("x".repeat(EFFECT_TEXT_MAX + 1)),
        ..handed()
    };
    let long = plan(&command, long, &[], &Commentable::default());
    assert!(long.effects.is_empty() && long.notes.len() == 1);
}

#[test]
fn verbs_without_effects_have_none_whatever_is_handed_over() {
    let handed = Handed {
        findings: vec![remark(2, 2, None)],
        answers: vec![answer(1, true)],
        title: Some("t".into()),
        description: None,
    };
    for verb in Verb::all().filter(|verb| !has_result(*verb)) {
        assert_eq!(
            planned(verb, handed.clone(), &[thread(1, true)]),
            Plan::default(),
            "{verb:?}"
        );
    }
}

#[test]
fn effects_together_are_bounded_and_a_cut_suggestion_is_none() {
    let long = "é".repeat(EFFECT_TEXT_MAX);
    let findings = (0..EFFECTS_MAX)
        .map(|_| Remark {
            text: long.clone(),
            ..remark(2, 2, Some(&long))
        })
        .collect();
    let plan = planned(
        Verb::Review,
        Handed {
            findings,
            ..Handed::default()
        },
        &[],
    );
    let bytes = serde_json::to_vec(&plan.effects).unwrap().len();
    assert!(bytes < EFFECTS_TEXT_MAX * 2, "{bytes}");
    assert_eq!(plan.notes.len(), 1);
    assert!(plan.effects.iter().all(|effect| matches!(
        &effect.what,
        What::Finding { suggestion: None, text, .. } if text.len() <= EFFECT_TEXT_MAX
    )));
}

#[test]
fn what_is_handed_over_is_searched_for_secrets() {
    let token = format!("glpat-{}", "aB3dE5gH7jK9mN1pQ3sT");
    let handed = Handed {
        findings: vec![
            Remark {
                text: token.clone(),
                ..remark(1, 1, Some(&token))
            },
            Remark {
                path: token.clone(),
                ..remark(7, 7, None)
            },
        ],
        answers: vec![Answer {
            text: token.clone(),
            ..answer(1, true)
        }],
        title: Some(token.clone()),
        description: Some(token.clone()),
    };
    let clean = without_secrets(handed, &Known::default());
    assert!(!format!("{clean:?}").contains(&token), "{clean:?}");
    assert_eq!(clean.findings.len(), 1, "one has the token in its path");
    assert_eq!(clean.findings[0].suggestion, None);
}
