//! Every way a run can go wrong: one table for the code, the sentence, the next step, the metric label and the docs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! failure_codes {
    ($( $variant:ident = $code:literal, $sentence:literal, $next:literal; )*) => {
        /// A stable code. Its text never changes; new ones are added at the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum FailureCode {
            $(
                #[doc = $sentence]
                #[serde(rename = $code)]
                $variant,
            )*
        }

        impl FailureCode {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as people, metrics and `runs why` show it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What happened, as one sentence.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// What the reader can do about it.
            pub fn next_step(self) -> &'static str {
                match self { $(Self::$variant => $next,)* }
            }
        }
    };
}

failure_codes! {
    PermissionDenied = "PERMISSION_DENIED", "You need write access to this repository to ask for changes.", "Ask a repository admin for write access, or ask someone who has it to repeat the request.";
    PermissionUnknown = "PERMISSION_UNKNOWN", "Bitbucket did not give a usable answer to whether you may write to this repository.", "Ask an administrator to check the bot's access, then repeat the request.";
    RequesterUnknown = "REQUESTER_UNKNOWN", "The author of the comment no longer exists in Bitbucket.", "Someone with write access can repeat the request.";
    PullRequestClosed = "PULL_REQUEST_CLOSED", "The pull request is not open.", "What changes nothing can be asked here all the same; what changes something takes an open pull request, or `--new-pr`.";
    SourceBranchGone = "SOURCE_BRANCH_GONE", "The source branch no longer exists.", "Restore the branch, then repeat the request.";
    CommentDeleted = "COMMENT_DELETED", "The comment that asked was deleted.", "Write a new comment to ask again.";
    RequestWithdrawn = "REQUEST_WITHDRAWN", "The comment was edited and no longer asks for this.", "Write a new comment to ask again.";
    CommentTooOld = "COMMENT_TOO_OLD", "The comment is older than seven days.", "Write a new comment to ask again.";
    BranchConflict = "BRANCH_CONFLICT", "The source branch moved meanwhile and the change conflicts with it.", "Have the kept work carried on from with `continue`, or apply the patch by hand.";
    BranchBusy = "BRANCH_BUSY", "The source branch kept moving while the change was being pushed.", "Repeat the request when the branch is quiet.";
    PushRejected = "PUSH_REJECTED", "The server refused the push.", "Read the server's message, change what it names, then repeat the request.";
    PushForbidden = "PUSH_FORBIDDEN", "The bot may not push to the source repository.", "Give the bot's account write access to the source repository, then repeat the request.";
    ModelUnreachable = "MODEL_UNREACHABLE", "The model endpoint could not be reached.", "An administrator should check the model endpoint; then repeat the request.";
    ModelUnauthorized = "MODEL_UNAUTHORIZED", "The model endpoint refused the configured key.", "An administrator should check the model's API key; then repeat the request.";
    ModelRateLimited = "MODEL_RATE_LIMITED", "The model endpoint is limiting requests.", "Repeat the request later, or ask an administrator about the model's quota.";
    ModelFailed = "MODEL_FAILED", "The model endpoint answered with an error.", "Repeat the request; if it happens again, an administrator should check the model endpoint.";
    ModelGarbled = "MODEL_GARBLED", "The model endpoint's answer could not be understood.", "An administrator should check that the endpoint speaks the configured protocol.";
    AgentConfused = "AGENT_CONFUSED", "The model kept sending tool calls that could not be understood.", "Repeat the request in other words, or ask an administrator about the model.";
    AgentFailed = "AGENT_FAILED", "The coding agent could not be run.", "An administrator should look at the resolver's log for this run.";
    TimeLimit = "TIME_LIMIT", "The run used up its time.", "Ask for a smaller step, or ask an administrator about the limit.";
    TurnLimit = "TURN_LIMIT", "The run used up its number of model calls.", "Ask for a smaller step, or ask an administrator about the limit.";
    TokenLimit = "TOKEN_LIMIT", "The run used up its tokens.", "Ask for a smaller step, or ask an administrator about the limit.";
    ChangeTooLarge = "CHANGE_TOO_LARGE", "The change is larger than the limits allow.", "Ask for a smaller step.";
    RepositoryTooLarge = "REPOSITORY_TOO_LARGE", "The repository is larger than the limits allow.", "An administrator can raise the limits.";
    GitUnreachable = "GIT_UNREACHABLE", "The repository could not be fetched from Bitbucket.", "Repeat the request; if it happens again, an administrator should look at the log.";
    GitFailed = "GIT_FAILED", "A git operation failed.", "An administrator should look at the resolver's log for this run.";
    BitbucketUnreachable = "BITBUCKET_UNREACHABLE", "Bitbucket could not be reached.", "The resolver keeps trying for a day.";
    BitbucketRateLimited = "BITBUCKET_RATE_LIMITED", "Bitbucket is limiting the bot's requests.", "An administrator can exempt the bot from rate limiting.";
    BitbucketUnauthorized = "BITBUCKET_UNAUTHORIZED", "Bitbucket refused the bot's access token.", "An administrator should renew the bot's token.";
    BitbucketForbidden = "BITBUCKET_FORBIDDEN", "The bot lacks a permission it needs in Bitbucket.", "A repository admin should give the bot's account write access.";
    BitbucketNotFound = "BITBUCKET_NOT_FOUND", "Bitbucket no longer has what the request is about.", "Check that the repository and the pull request still exist.";
    BitbucketFailed = "BITBUCKET_FAILED", "Bitbucket gave an answer that could not be used.", "An administrator should look at the resolver's log for this run.";
    WorkerLost = "WORKER_LOST", "The workers that took this run did not finish it.", "Repeat the request; if it happens again, an administrator should look at the log.";
    MessageUnreadable = "MESSAGE_UNREADABLE", "The request could not be processed.", "An administrator should look at the dead letters; then repeat the request.";
    SandboxMissing = "SANDBOX_MISSING", "The agent's sandbox is not available on this host.", "An administrator should look at the resolver's log.";
    PersonExcluded = "PERSON_EXCLUDED", "An administrator has excluded you from asking the bot.", "Ask the resolver's administrator.";
    Internal = "INTERNAL", "Something went wrong inside the resolver.", "Repeat the request; if it happens again, an administrator should look at the log for this run.";
    SandboxLeak = "SANDBOX_LEAK", "The agent's sandbox did not hold when it was tested, so nothing was started.", "An administrator should look at the resolver's log, which names what leaked; then repeat the request.";
    MoneyLimit = "MONEY_LIMIT", "The run used up its money.", "Ask for a smaller step, or ask an administrator about the limit.";
    MemoryLimit = "MEMORY_LIMIT", "The agent used more memory than a run may.", "Ask for a smaller step, or ask an administrator about the limit.";
    ProcessLimit = "PROCESS_LIMIT", "The agent started more processes than a run may.", "Ask for a smaller step, or ask an administrator about the limit.";
    DiskLimit = "DISK_LIMIT", "The agent wrote more to disk than a run may, or the disk of the resolver's machine was almost full.", "Ask for a smaller step, or ask an administrator about the limit and the disk.";
    OutputLimit = "OUTPUT_LIMIT", "The agent printed more than a run may.", "Ask for a smaller step, or ask an administrator about the limit.";
    AgentMissing = "AGENT_MISSING", "The configured coding agent could not be found or started.", "An administrator should check that the agent is installed where the configuration says.";
    AgentCrashed = "AGENT_CRASHED", "The coding agent ended with an error of its own.", "Repeat the request; if it happens again, an administrator should look at the log for this run.";
    AgentIdle = "AGENT_IDLE", "The coding agent ended without having asked its model anything, and changed nothing.", "An administrator should check how the agent is configured: it may not find its model.";
    SecretInChange = "SECRET_IN_CHANGE", "The change seems to contain a secret.", "Ask for the change without the secret; if it is none, make this change by hand.";
    WorkTreeUnreadable = "WORK_TREE_UNREADABLE", "What the agent left in the work tree could not be read.", "Repeat the request; if it happens again, an administrator should look at the log for this run.";
    Stopped = "STOPPED", "The run was stopped on request.", "Mention the bot again to ask for something else.";
    BranchMoved = "BRANCH_MOVED", "The source branch is not at the commit that this was meant for.", "Look at what is on the branch, then ask again for the commit it is at now.";
    TooManyRuns = "TOO_MANY_RUNS", "This pull request has had as many runs within the hour as it may.", "Ask again later, or ask an administrator about the limit.";
    OutsidePaths = "OUTSIDE_PATHS", "The change touches files outside the paths it was limited to.", "Ask again with wider paths, or for less.";
    NothingToUndo = "NOTHING_TO_UNDO", "There is no commit of a run of this pull request on its source branch to undo.", "If one of its runs pushed there, name it: `undo` and the id that stands in its reply; other commits are reverted by hand.";
    NothingToResume = "NOTHING_TO_RESUME", "There is no run here to go back to: `retry` repeats a request that has ended, `continue` takes up what a run left or asked, once.", "Write the request instead.";
    NoPlan = "NO_PLAN", "There is no plan to carry out: none is known for the present commit, or none by the name that was given.", "Ask for one with `plan`, then approve it.";
    SecondPersonNeeded = "SECOND_PERSON_NEEDED", "A plan must be approved by someone else than who asked for it.", "Ask a colleague who may write to approve it.";
    MergeConflict = "MERGE_CONFLICT", "The target branch conflicts with the source branch, and the conflicts were not all resolved.", "Merge the target branch by hand.";
    OptionNotAllowed = "OPTION_NOT_ALLOWED", "An option asks for more than an administrator allows.", "Leave the option out, or ask the resolver's administrator.";
    AccessLost = "ACCESS_LOST", "The person who asked may no longer change the repository.", "Ask someone with write access to repeat the request.";
    AgentUnanswered = "AGENT_UNANSWERED", "The agent ended without an answer.", "Repeat the request; if it happens again, ask in other words.";
    Paused = "PAUSED", "The bot is paused on this pull request, so nothing was started.", "Someone with write access can let it listen again with `resume`; then repeat the request.";
    ReadDenied = "READ_DENIED", "You lack the permission on this repository that asking the bot needs.", "Ask a repository admin for access.";
    StopDenied = "STOP_DENIED", "You may stop only what you asked for yourself.", "Ask whoever asked for the run, the pull request's author, or someone with write access to stop it.";
    PauseDenied = "PAUSE_DENIED", "You need write access to this repository to pause the bot or to let it listen again.", "Ask someone with write access to do it.";
    ProjectExcluded = "PROJECT_EXCLUDED", "An administrator has excluded this project from the bot.", "Ask the resolver's administrator.";
    AgentUnwatched = "AGENT_UNWATCHED", "What the agent used could not be measured any more, so it was ended.", "Repeat the request; if it happens again, an administrator should look at the log for this run.";
    UndoConflict = "UNDO_CONFLICT", "The run's commit could not be taken back by git alone.", "Revert it by hand, with `git revert` and the commit's id.";
    TargetBranchGone = "TARGET_BRANCH_GONE", "The target branch no longer exists.", "Restore the branch or choose another target, then repeat the request.";
    RepositoryArchived = "REPOSITORY_ARCHIVED", "The repository is archived, so nothing can be pushed to it or written in it.", "Ask a repository admin to take it out of the archive, then repeat the request.";
    BranchExists = "BRANCH_EXISTS", "There is a branch of the name asked for already.", "Ask again with another name, or with `--new-pr`, for which a name is chosen.";
    RunUnclear = "RUN_UNCLEAR", "It is not clear which earlier run is meant.", "Name it: the verb and the run's id, which stands in its reply.";
    OptionContradicts = "OPTION_CONTRADICTS", "An option contradicts the run that this goes back to.", "Leave the option out, or write the request anew.";
}

impl std::fmt::Display for FailureCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `docs/failures.md`, generated from the table.
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# Failure codes\n\nGenerated from `shared/pipeline/src/failure_code.rs`. The code is stable: replies, `runs why` and the metric label `code` all use it.\n\n| code | what happened | what to do |\n|---|---|---|\n",
    );
    text.extend(
        FailureCode::ALL
            .iter()
            .map(|code| format!("| `{code}` | {} | {} |\n", code.sentence(), code.next_step())),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_sentence_and_a_next_step() {
        for code in FailureCode::ALL {
            for text in [code.sentence(), code.next_step()] {
                assert!(text.ends_with('.') && text.len() > 10, "{code}: {text}");
            }
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn the_documentation_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/failures.md");
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        if checked_in != reference_markdown() {
            std::fs::write(path, reference_markdown()).unwrap();
            panic!(
                "docs/failures.md was out of date and has been rewritten: look at the difference and commit it"
            );
        }
    }
}
