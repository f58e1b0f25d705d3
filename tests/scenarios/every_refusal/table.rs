//! Of every code that a run can end with: which test shows it.

use pipeline::failure_code::FailureCode as Code;

/// Where the end with a code is seen.
enum Seen {
    /// In the file beside this one, in full.
    Here,
    /// In a file of the workspace and a test there, which names it.
    In(&'static str, &'static str),
    /// The same, of a test that looks at all codes.
    All(&'static str, &'static str),
    /// Nowhere, since nothing is said.
    Unspoken,
}

/// A code that is new does not compile until it is known where it is seen.
#[expect(clippy::too_many_lines, reason = "a table")]
fn seen(code: Code) -> Seen {
    use Seen::{All, Here, In, Unspoken};
    match code {
        Code::PermissionDenied
        | Code::PermissionUnknown
        | Code::PullRequestClosed
        | Code::StopDenied
        | Code::PauseDenied
        | Code::Paused
        | Code::ReadDenied
        | Code::PersonExcluded
        | Code::ProjectExcluded
        | Code::TooManyRuns
        | Code::NothingToUndo
        | Code::NothingToResume
        | Code::NoPlan
        | Code::RunUnclear
        | Code::SecondPersonNeeded
        | Code::OptionNotAllowed
        | Code::OptionContradicts
        | Code::BranchMoved
        | Code::BranchExists => Here,
        // Replayed deliveries would be answered for ever.
        Code::CommentTooOld => Unspoken,
        Code::RequesterUnknown => In(
            "tests/scenarios/bad_input.rs",
            "who_no_longer_exists_is_refused_before_anything_is_done",
        ),
        Code::RepositoryArchived => In(
            "tests/scenarios/archived.rs",
            "a_repository_archived_meanwhile_gets_no_push_and_the_replies_once_it_is_back",
        ),
        Code::SourceBranchGone => In(
            "tests/scenarios/branch_moves.rs",
            "a_branch_deleted_meanwhile_is_told_and_the_patch_is_kept",
        ),
        Code::CommentDeleted => In(
            "tests/scenarios/branch_moves.rs",
            "a_deleted_comment_stops_the_agent_too_and_the_reply_stands_alone",
        ),
        Code::RequestWithdrawn => In(
            "tests/scenarios/branch_moves.rs",
            "an_edit_that_takes_the_mention_away_stops_the_agent_within_seconds",
        ),
        Code::BranchConflict => In(
            "tests/scenarios/branch_moves.rs",
            "a_conflicting_commit_survives_and_the_patch_is_kept",
        ),
        Code::BranchBusy => In(
            "tests/scenarios/branch_moves.rs",
            "a_branch_that_never_stops_moving_is_left_alone_and_the_patch_is_kept",
        ),
        Code::PushRejected => In(
            "tests/scenarios/refusals.rs",
            "a_push_refused_by_a_hook_shows_the_hooks_words_and_keeps_the_patch",
        ),
        Code::PushForbidden => In(
            "tests/scenarios/meanwhile.rs",
            "where_the_bot_may_push_nowhere_the_patch_is_kept",
        ),
        Code::ModelUnreachable => In(
            "tests/scenarios/model_fails.rs",
            "a_model_endpoint_that_is_away_is_told",
        ),
        Code::ModelUnauthorized => In("tests/scenarios/model_fails.rs", "a_refused_key_is_told"),
        Code::ModelRateLimited => In(
            "tests/scenarios/model_fails.rs",
            "a_model_that_keeps_limiting_is_told",
        ),
        Code::ModelGarbled => In(
            "tests/scenarios/model_fails.rs",
            "an_answer_that_is_no_answer_is_told",
        ),
        Code::AgentConfused => In(
            "tests/scenarios/model_fails.rs",
            "tool_calls_that_make_no_sense_end_the_run",
        ),
        Code::TurnLimit => In(
            "tests/scenarios/limits.rs",
            "a_model_that_never_finishes_is_cut_off_and_its_work_kept_as_a_patch",
        ),
        Code::TokenLimit => In(
            "tests/scenarios/limits.rs",
            "a_run_that_has_used_up_its_tokens_is_cut_off_and_its_work_kept_as_a_patch",
        ),
        Code::MoneyLimit => In(
            "tests/scenarios/options.rs",
            "a_budget_and_a_time_end_the_run_and_the_reply_counts_against_them",
        ),
        Code::TimeLimit => In(
            "tests/scenarios/limits.rs",
            "a_run_that_has_used_up_its_time_is_cut_off_and_its_work_kept_as_a_patch",
        ),
        Code::ChangeTooLarge => In(
            "tests/scenarios/limits.rs",
            "a_change_of_too_many_files_is_not_pushed",
        ),
        Code::WorkerLost => In(
            "tests/scenarios/limits.rs",
            "a_run_whose_worker_dies_at_every_attempt_is_given_up_and_told",
        ),
        Code::GitFailed => In(
            "tests/scenarios/bitbucket_refuses.rs",
            "a_repository_that_cannot_be_fetched_ends_the_run_with_its_code",
        ),
        Code::BitbucketForbidden | Code::BitbucketNotFound => In(
            "tests/scenarios/bitbucket_refuses.rs",
            "a_call_that_bitbucket_refuses_for_good_ends_the_run_with_its_code",
        ),
        Code::Internal => In(
            "tests/scenarios/poison_message.rs",
            "a_job_that_cannot_be_done_ends_with_one_reply_and_others_go_on",
        ),
        Code::SandboxLeak => In(
            "tests/scenarios/sandbox_fails.rs",
            "a_sandbox_that_leaks_starts_nothing_until_it_holds_again",
        ),
        Code::AgentUnwatched => In(
            "tests/scenarios/sandbox_fails.rs",
            "a_run_that_cannot_be_watched_any_more_is_ended_once_and_the_next_one_is_served",
        ),
        Code::MemoryLimit | Code::DiskLimit => In(
            "tests/scenarios/evil_agent/mod.rs",
            "an_agent_that_obeys_every_evil_order_finds_nothing_and_reaches_nothing",
        ),
        Code::OutputLimit | Code::AgentMissing | Code::AgentCrashed => In(
            "tests/scenarios/coding_agents.rs",
            "an_agent_that_cannot_work_is_said_so_and_the_next_request_is_served",
        ),
        Code::AgentIdle => In(
            "tests/scenarios/coding_agents.rs",
            "an_agent_that_asked_its_model_nothing_is_not_said_to_have_found_nothing_to_do",
        ),
        Code::SecretInChange => In(
            "tests/scenarios/handing_back.rs",
            "a_secret_in_a_change_stops_the_push_and_is_kept_nowhere",
        ),
        Code::Stopped => In(
            "tests/scenarios/verb_controls.rs",
            "stop_ends_what_the_author_of_the_pull_request_did_not_ask_for",
        ),
        Code::OutsidePaths => In(
            "tests/scenarios/options.rs",
            "changes_outside_the_paths_of_a_request_are_kept_and_not_pushed",
        ),
        Code::MergeConflict => In(
            "tests/scenarios/verb_update.rs",
            "conflicts_that_the_agent_leaves_are_not_pushed",
        ),
        Code::AccessLost => In(
            "tests/scenarios/rights_lost.rs",
            "who_may_is_asked_again_before_every_try_to_push",
        ),
        Code::AgentUnanswered => In(
            "tests/scenarios/verb_ask.rs",
            "an_agent_without_an_answer_has_failed",
        ),
        Code::UndoConflict => In(
            "tests/scenarios/verb_undo.rs",
            "lines_that_people_changed_since_are_not_undone",
        ),
        Code::TargetBranchGone => In(
            "tests/scenarios/verb_update.rs",
            "a_target_branch_that_is_gone_is_told",
        ),
        // What takes a broken host or a day: where it comes from is tested there, and here that it is told like the others.
        Code::ModelFailed
        | Code::AgentFailed
        | Code::RepositoryTooLarge
        | Code::GitUnreachable
        | Code::BitbucketUnreachable
        | Code::BitbucketRateLimited
        | Code::BitbucketUnauthorized
        | Code::BitbucketFailed
        | Code::ProcessLimit
        | Code::SandboxMissing
        | Code::MessageUnreadable
        | Code::WorkTreeUnreadable => All(
            "services/reply/src/render/tests/endings.rs",
            "every_code_has_an_ending_with_the_run_the_code_and_the_next_step",
        ),
    }
}

/// The text of a test function in a file of the workspace.
fn test_in(file: &str, name: &str) -> String {
    let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (before, behind) = text
        .split_once(&format!("fn {name}("))
        .unwrap_or_else(|| panic!("{file} has no {name}"));
    let attributes = before.trim_end_matches("async ").trim_end();
    assert!(attributes.ends_with("test]"), "{name} is no test");
    let (body, _) = behind.split_once("\n}\n").expect("it ends");
    body.to_owned()
}

#[test]
fn every_code_has_a_test_that_shows_it() {
    let stories = include_str!("mod.rs");
    for code in Code::ALL {
        match seen(*code) {
            Seen::Here => assert!(
                stories.contains(&format!("Code::{code:?}")),
                "{code} is not seen here"
            ),
            Seen::In(file, name) => {
                let body = test_in(file, name);
                let is_named = body.contains(code.as_str()) || body.contains(&format!("{code:?}"));
                assert!(is_named, "{name} does not look at {code}");
            }
            Seen::All(file, name) => assert!(test_in(file, name).contains("FailureCode::ALL")),
            Seen::Unspoken => {}
        }
    }
}
