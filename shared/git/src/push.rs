//! Pushing in process: what is new as one small pack, and the server moves the branch only if it is still where we
//! saw it. Never forced, never deleted, one branch, no hook of ours.

use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;

use gix_transport::client::blocking_io::{ReadlineBufRead, Transport as _};
use gix_transport::client::{MessageKind, WriteMode};
use gix_transport::{Protocol, Service};
use pipeline::ids::CommitId;

use crate::error::{Error, PushError};
use crate::fetch::{NEVER, note_pushed, remote_head};
use crate::mirror::{GixMirror, commit_id, object_id};
use crate::remote::{Connection, Remote};

mod pack;
mod report;

use report::Report;

/// Bytes of an answer: hooks may be talkative, a report is one line.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Bytes kept of what hooks say, before it is made presentable.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The mirror's part of [`crate::Mirror::push`].
pub(crate) fn push(
    mirror: &GixMirror,
    remote: &Remote,
    branch: &str,
    old: &CommitId,
    new: &CommitId,
) -> Result<(), PushError> {
    let ids = pack::new_objects(&mirror.repo, old, new)?;
    let pack = pack::write(&mirror.repo, &ids)?;
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
    let advertised = advertised(&mut connection, branch).map_err(forbidden)?;
    if advertised.head.as_ref() == Some(new) {
        // An earlier try, whose answer was lost, has done it.
        note_pushed(&mirror.repo, branch, new);
        return Ok(());
    }
    if advertised.head.as_ref() != Some(old) {
        return Err(PushError::Moved {
            current: advertised.head,
        });
    }
    let command = advertised.command(branch, old, new)?;
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
    Err(refused(mirror, remote, branch, old, report))
}

/// What receive-pack says first.
struct Advertised {
    head: Option<CommitId>,
    side_band: bool,
    object_format: bool,
}

impl Advertised {
    /// The one command: compare with `old`, set to `new`.
    fn command(&self, branch: &str, old: &CommitId, new: &CommitId) -> Result<String, Error> {
        if old == new {
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
        Ok(format!("{old} {new} {branch}\0 {}", capabilities.join(" ")))
    }
}

fn advertised(connection: &mut Connection<'_>, branch: &str) -> Result<Advertised, Error> {
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
    let head = match shaken.refs {
        Some(refs) => find_ref(refs, branch),
        None => Ok(None),
    };
    match head {
        Ok(head) => Ok(Advertised {
            head,
            side_band,
            object_format,
        }),
        Err(error) => Err(connection.failures.take().unwrap_or(error)),
    }
}

/// Reads all lines (`<id> SP <name>`): the connection can be used again only after the last.
fn find_ref(mut refs: Box<dyn ReadlineBufRead + '_>, branch: &str) -> Result<Option<CommitId>, Error> {
    let mut found = None;
    while let Some(line) = refs.readline() {
        let line = line.map_err(|error| Error::protocol(crate::error::chain(&error)))?;
        let line = line.map_err(Error::protocol)?;
        let Some(line) = line.as_slice() else { continue };
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // The first line of an empty advertisement carries capabilities behind NUL; gix has taken those off.
        if let Some((id, name)) = line.split_at_checked(40)
            && name
                .strip_prefix(b" ")
                .is_some_and(|name| name == branch.as_bytes())
        {
            let id = gix::ObjectId::from_hex(id).map_err(Error::protocol)?;
            found = Some(commit_id(&id));
        }
    }
    Ok(found)
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
fn refused(mirror: &GixMirror, remote: &Remote, branch: &str, old: &CommitId, report: Report) -> PushError {
    match remote_head(mirror, remote, branch) {
        Ok(current) if current.as_ref() != Some(old) => PushError::Moved { current },
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

/// For the pack: commits from `new` down to `old`.
pub(crate) fn commits_between(
    repo: &gix::Repository,
    old: &CommitId,
    new: &CommitId,
) -> Result<Vec<gix::ObjectId>, Error> {
    /// A run pushes one commit, on top of at most the merges of a few tries.
    const COMMITS_MAX: usize = 64;
    let old_id = object_id(old);
    let mut commits = Vec::new();
    let mut next = object_id(new);
    while next != old_id {
        if commits.len() == COMMITS_MAX {
            return Err(Error::NotFastForward {
                old: old.clone(),
                new: new.clone(),
            });
        }
        commits.push(next);
        let commit = repo.find_commit(next).map_err(Error::damaged)?;
        let mut parents = commit.parent_ids();
        next = match (parents.next(), parents.next()) {
            (Some(parent), None) if parent == old_id || repo.has_object(parent) => parent.detach(),
            _ => {
                return Err(Error::NotFastForward {
                    old: old.clone(),
                    new: new.clone(),
                });
            }
        };
    }
    Ok(commits)
}
