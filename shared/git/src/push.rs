//! Pushing in process: what is new as one small pack, and the server moves the branch only if it is still where we
//! saw it, or makes it if there is still none. Never forced, never deleted, one branch, no hook of ours.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;

use gix_transport::client::blocking_io::{ReadlineBufRead, Transport as _};
use gix_transport::client::{MessageKind, WriteMode};
use gix_transport::{Protocol, Service};
use pipeline::ids::CommitId;

use crate::error::{Error, PushError};
use crate::fetch::{NEVER, note_pushed, remote_head};
use crate::mirror::{GixMirror, commit_id};
use crate::ref_name::is_pull_request_ref;
use crate::remote::{Connection, Remote};

mod lacking;
mod pack;
mod report;

use lacking::lacking;
use report::Report;

/// How the protocol says that there is no such branch.
const ABSENT: &str = "0000000000000000000000000000000000000000";

/// Bytes of an answer: hooks may be talkative, a report is one line.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Bytes kept of what hooks say, before it is made presentable.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Where a branch has to be for a push to move it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// At this commit.
    Head(&'a CommitId),
    /// Nowhere: the push makes it. What is new is told from this commit, which the server has.
    Absent(&'a CommitId),
}

impl Expected<'_> {
    fn head(&self) -> Option<&CommitId> {
        match self {
            Self::Head(head) => Some(head),
            Self::Absent(_) => None,
        }
    }

    /// The commit below what is new.
    fn base(&self) -> &CommitId {
        match self {
            Self::Head(base) | Self::Absent(base) => base,
        }
    }
}

/// The mirror's part of [`crate::Mirror::push`] and [`crate::Mirror::create_branch`].
pub(crate) fn push(
    mirror: &GixMirror,
    remote: &Remote,
    branch: &str,
    expected: Expected<'_>,
    new: &CommitId,
) -> Result<(), PushError> {
    if is_pull_request_ref(branch) {
        return Err(Error::Invalid(format!("ref {branch:?}: is Bitbucket's own")).into());
    }
    let mut connection = Connection::new(
        &mirror.clients,
        remote,
        branch,
        Protocol::V1,
        ANSWER_BYTES_MAX,
        // Half a push is nothing anybody could wish for.
        &NEVER,
    )
    .map_err(PushError::Git)?;
    let advertised = advertised(&mut connection, &mirror.repo, branch).map_err(forbidden)?;
    if advertised.head.as_ref() == Some(new) {
        // An earlier try, whose answer was lost, has done it.
        note_pushed(&mirror.repo, branch, new);
        return Ok(());
    }
    if advertised.head.as_ref() != expected.head() {
        return Err(PushError::Moved {
            current: advertised.head,
        });
    }
    let ids = match lacking(&mirror.repo, expected.base(), new, &advertised.had) {
        Ok(lacking) => pack::new_objects(&mirror.repo, &lacking)?,
        Err(error) => return Err(error.into()),
    };
    let pack = pack::write(&mirror.repo, &ids)?;
    let command = advertised.command(branch, expected.head(), new)?;
    let report = match send(&mut connection, &command, &pack) {
        Ok(report) => report,
        Err(error) => return Err(lost(connection.failures.take(), &error)),
    };
    tracing::debug!(
        branch,
        objects = ids.len(),
        bytes = pack.len(),
        ok = report.accepted(branch),
        "pushed"
    );
    if report.accepted(branch) {
        note_pushed(&mirror.repo, branch, new);
        return Ok(());
    }
    Err(refused(mirror, remote, branch, expected.head(), report))
}

/// What receive-pack says first.
struct Advertised {
    head: Option<CommitId>,
    /// Commits of its branches that the mirror has as well.
    had: Vec<gix::ObjectId>,
    side_band: bool,
    object_format: bool,
}

impl Advertised {
    /// The one command: compare with `old`, set to `new`.
    fn command(&self, branch: &str, old: Option<&CommitId>, new: &CommitId) -> Result<String, Error> {
        if old == Some(new) {
            return Err(Error::Invalid("nothing to push".to_owned()));
        }
        let mut capabilities = vec![
            "report-status",
            concat!("agent=openhands-resolver/", env!("CARGO_PKG_VERSION")),
        ];
        if self.side_band {
            capabilities.push("side-band-64k");
        }
        if self.object_format {
            capabilities.push("object-format=sha1");
        }
        let old = old.map_or(ABSENT, CommitId::as_str);
        Ok(format!("{old} {new} {branch}\0 {}", capabilities.join(" ")))
    }
}

fn advertised(
    connection: &mut Connection<'_>,
    repo: &gix::Repository,
    branch: &str,
) -> Result<Advertised, Error> {
    let shaken = match connection.transport.handshake(Service::ReceivePack, &[]) {
        Ok(shaken) => shaken,
        Err(error) => {
            return Err(connection
                .failures
                .take()
                .unwrap_or_else(|| Error::protocol(crate::error::chain(&error))));
        }
    };
    let side_band = shaken.capabilities.contains("side-band-64k");
    let object_format = shaken.capabilities.contains("object-format");
    if !shaken.capabilities.contains("report-status") {
        return Err(Error::protocol("the server does not report what came of a push"));
    }
    let listed = match shaken.refs {
        Some(refs) => read_refs(refs, repo, branch),
        None => Ok((None, Vec::new())),
    };
    match listed {
        Ok((head, had)) => Ok(Advertised {
            head,
            had,
            side_band,
            object_format,
        }),
        Err(error) => Err(connection.failures.take().unwrap_or(error)),
    }
}

/// The branch's head, and the commits of all refs that are in the mirror, too. Reads all lines (`<id> SP <name>`): the
/// connection can be used again only after the last.
fn read_refs(
    mut refs: Box<dyn ReadlineBufRead + '_>,
    repo: &gix::Repository,
    branch: &str,
) -> Result<(Option<CommitId>, Vec<gix::ObjectId>), Error> {
    let (mut head, mut had) = (None, HashSet::new());
    while let Some(line) = refs.readline() {
        let line = line.map_err(|error| Error::protocol(crate::error::chain(&error)))?;
        let line = line.map_err(Error::protocol)?;
        let Some(line) = line.as_slice() else { continue };
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // The first line of an empty advertisement carries capabilities behind NUL; gix has taken those off.
        let Some((id, name)) = line.split_at_checked(40) else {
            continue;
        };
        let Ok(id) = gix::ObjectId::from_hex(id) else {
            continue;
        };
        if name
            .strip_prefix(b" ")
            .is_some_and(|name| name == branch.as_bytes())
        {
            head = Some(commit_id(&id));
        }
        if !had.contains(&id) && is_commit(repo, id) {
            had.insert(id);
        }
    }
    Ok((head, had.into_iter().collect()))
}

/// A tag may point to anything.
fn is_commit(repo: &gix::Repository, id: gix::ObjectId) -> bool {
    let header = repo.try_find_header(id).ok().flatten();
    header.is_some_and(|header| header.kind().is_commit())
}

/// Sends command and pack, reads the report. Errors are the transport's; whether the server acted is then unknown.
fn send(connection: &mut Connection<'_>, command: &str, pack: &[u8]) -> anyhow::Result<Report> {
    let mut messages = Vec::new();
    let mut request = connection
        .transport
        .request(WriteMode::Binary, MessageKind::Flush, false)?;
    request.write_all(command.as_bytes())?;
    request.write_message(MessageKind::Flush)?;
    let (mut writer, mut reader) = request.into_parts();
    writer.write_all(pack)?;
    drop(writer);
    let mut inner = Vec::new();
    reader.set_progress_handler(Some(Box::new(|_is_error, line: &[u8]| {
        let room = MESSAGE_BYTES_MAX.saturating_sub(messages.len());
        messages.extend_from_slice(&line[..line.len().min(room)]);
        ControlFlow::Continue(())
    })));
    reader.read_to_end(&mut inner)?;
    drop(reader);
    Report::parse(&inner, messages)
}

/// Nothing came back. Statuses that receive-pack's front answers by itself are certain, everything else is not.
fn lost(failure: Option<Error>, error: &anyhow::Error) -> PushError {
    match failure {
        Some(
            error @ (Error::Unreachable { .. }
            | Error::Unauthorized
            | Error::Forbidden
            | Error::NotFound
            | Error::RateLimited { .. }
            | Error::Redirected { .. }),
        ) => forbidden(error),
        Some(error) => PushError::Ambiguous {
            cause: error.to_string(),
        },
        None => PushError::Ambiguous {
            cause: crate::error::one_line(format_args!("{error:#}")),
        },
    }
}

/// Reading was allowed and writing is not.
fn forbidden(error: Error) -> PushError {
    match error {
        Error::Forbidden => PushError::Forbidden,
        error => PushError::Git(error),
    }
}

/// The server said no: because the branch has moved (looked up, not guessed from words), or by a rule.
fn refused(
    mirror: &GixMirror,
    remote: &Remote,
    branch: &str,
    old: Option<&CommitId>,
    report: Report,
) -> PushError {
    match remote_head(mirror, remote, branch) {
        Ok(current) if current.as_ref() != old => PushError::Moved { current },
        Ok(_) => PushError::Rejected {
            messages: report.presentable(branch),
        },
        Err(error) => {
            tracing::debug!(branch, %error, "the head could not be looked up after a refused push");
            PushError::Rejected {
                messages: report.presentable(branch),
            }
        }
    }
}
