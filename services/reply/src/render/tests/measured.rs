//! What the resolver measured, what a run cost, how it was confined.

use insta::assert_snapshot;
use pipeline::failure_code::FailureCode;
use pipeline::job::Artifact;
use pipeline::run::{Check, Confinement, Measured, Setup};

use super::*;

fn setup(level: u8, residue: &[&str]) -> Setup {
    Setup {
        agent: "builtin".into(),
        model: "default".into(),
        tokens_max: None,
        usd_max: Some(5.0),
        sandbox: Confinement {
            level,
            name: String::new(),
            residue: residue.iter().map(|&text| text.to_owned()).collect(),
        },
    }
}

#[test]
fn a_run_says_what_the_resolver_measured_what_it_cost_and_how_it_was_confined() {
    let one = Check {
        name: "test".into(),
        command: "cargo test -p parser".into(),
        before: Measured::Exited {
            code: 1,
            milliseconds: 12_000,
        },
        after: Measured::Exited {
            code: 0,
            milliseconds: 38_000,
        },
    };
    let mut run = ended_as(
        RunState::Done,
        Outcome {
            pushed: Some(pushed()),
            checks: vec![one.clone()],
            ..Outcome::default()
        },
    );
    run.usage.usd = Some(0.42);
    run.setup = Some(Box::new(setup(2, &["the shared kernel"])));
    assert_snapshot!(status_reply(&run, &scene()));
    let other = Check {
        name: "serve".into(),
        command: "make `serve` @all".into(),
        before: Measured::NotRun {
            why: "the time for checks was used up".into(),
        },
        after: Measured::NotMeasurable {
            why: "bind was refused".into(),
        },
    };
    let slow = Check {
        name: "slow".into(),
        command: "make all".into(),
        before: Measured::TimedOut {
            milliseconds: 600_000,
        },
        after: Measured::Stopped {
            limit: "memory".into(),
            milliseconds: 1_500,
        },
    };
    let broken = Check {
        name: "lint".into(),
        command: "make lint".into(),
        before: Measured::Exited {
            code: 0,
            milliseconds: 900,
        },
        after: Measured::Exited {
            code: 2,
            milliseconds: 900,
        },
    };
    run.outcome.as_mut().unwrap().checks = vec![one, other, slow, broken];
    let residue = ["the shared kernel", "some <b>"];
    run.setup = Some(Box::new(setup(1, &residue)));
    assert_snapshot!(status_reply(&run, &scene()));
}

#[test]
fn a_run_that_was_cut_off_shows_what_it_spent_and_how_to_go_on() {
    let mut run = failed(RunState::Expired, FailureCode::MoneyLimit, None);
    run.usage.usd = Some(5.004);
    run.setup = Some(Box::new(setup(0, &[])));
    run.outcome.as_mut().unwrap().nothing_pushed = true;
    run.patch = Some(Artifact {
        key: "k".into(),
        bytes: 20,
    });
    let with_patch = Scene {
        patch: Some("--- a/x\n+++ b/x\n".into()),
        ..scene()
    };
    assert_snapshot!(status_reply(&run, &with_patch));
}

#[test]
fn a_running_run_says_what_it_has_spent() {
    let mut run = sample::running();
    run.usage = Usage {
        turns: 2,
        input_tokens: 9_600,
        output_tokens: 400,
        ..Usage::default()
    };
    assert!(status_reply(&run, &scene()).contains("10k tokens so far · run"));
    run.usage.usd = Some(0.1);
    run.setup = Some(Box::new(setup(2, &[])));
    let text = status_reply(&run, &scene());
    assert!(text.contains("$0.10 of $5.00 so far · "), "{text}");
}
