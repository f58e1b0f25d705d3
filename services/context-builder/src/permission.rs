//! Who may ask for changes: whoever may change the target repository in Bitbucket, minus who is denied here.

use bitbucket::{Client, PullRequest};
use config::Connection;
use pipeline::event::Person;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::mention::Mention;
use pipeline::run::FailureReport;

/// The answer for one mention.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// May, on this open pull request.
    Allowed(Box<PullRequest>),
    /// May not, or not here.
    Refused(FailureReport),
    /// The bot talks to itself.
    Own,
}

/// Asks Bitbucket whether the pull request is open and whether the author may.
pub(crate) async fn check(
    client: &Client,
    connection: &Connection,
    mention: &Mention,
) -> Result<Verdict, Failure> {
    let Some(author) = &mention.author else {
        return Ok(refused(FailureCode::RequesterUnknown, None));
    };
    let origin = &mention.origin;
    let (bot, pull_request) = tokio::join!(
        client.bot(),
        client.pull_request(&origin.repository, origin.pull_request)
    );
    if bot?.is(author) {
        return Ok(Verdict::Own);
    }
    let pull_request = pull_request?;
    if !pull_request.open {
        return Ok(refused(FailureCode::PullRequestClosed, None));
    }
    if is_denied(connection, author) {
        return Ok(refused(FailureCode::PersonExcluded, None));
    }
    // The current names, since the repository may have been renamed after the event.
    let repository = &pull_request.to_ref.repository;
    if !client
        .may(repository, author, &connection.permission.change)
        .await?
    {
        let needed = &connection.permission.change;
        let detail = format!("{needed} on {}/{} is needed", repository.project, repository.slug);
        return Ok(refused(FailureCode::PermissionDenied, Some(detail)));
    }
    Ok(Verdict::Allowed(Box::new(pull_request)))
}

/// Whether an administrator has excluded the person.
pub(crate) fn is_denied(connection: &Connection, person: &Person) -> bool {
    let denied = &connection.permission.deny_users;
    denied.iter().any(|denied| is_named(person, denied))
}

fn is_named(person: &Person, name: &str) -> bool {
    person.name.eq_ignore_ascii_case(name)
        || person
            .slug
            .as_deref()
            .is_some_and(|slug| slug.eq_ignore_ascii_case(name))
}

fn refused(code: FailureCode, detail: Option<String>) -> Verdict {
    Verdict::Refused(FailureReport { code, detail })
}
