//! Fetching one branch: list that ref, ask for what is new, write the pack, note the head.
//!
//! Two requests after the handshake, whatever the size of the repository: our tips are sent as `have` together with
//! `done`, because a mirror's few tips are all it could negotiate with.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::protocol::fetch::{Arguments, Context, Negotiate, Options, Response, Shallow, Tags, negotiate};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
use gix::protocol::{Handshake, LsRefsCommand};
use gix::refs::transaction::PreviousValue;
use gix_transport::Protocol;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::{Depth, GixMirror, commit_id, object_id, pack_directory, tip_ref};
use crate::remote::{Connection, Remote};

/// Tips told to the server beside the branch's own. They save sending what other branches have brought; more than a
/// few rarely save more than they cost.
const HAVES_MAX: usize = 32;
/// Commits asked for when what is new cannot be told by date (a branch set back, clocks that disagree).
const DEPTH_WITHOUT_DATE: u32 = 64;
/// Packs are indexed with this many threads at most; the rest of the machine belongs to agents.
const INDEX_THREADS_MAX: usize = 4;
/// For what is too short to be stopped, or must not be: the server's silence is bounded all the same.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);
/// How we introduce ourselves in git's protocol.
const AGENT: &str = concat!("openhands-resolver/", env!("CARGO_PKG_VERSION"));

/// The mirror's part of [`crate::Mirror::fetch`].
pub(crate) fn fetch(
    mirror: &GixMirror,
    remote: &Remote,
    branch: &str,
    depth: Depth,
    stop: &AtomicBool,
) -> Result<CommitId, Error> {
    let mut connection = Connection::new(
        &mirror.clients,
        remote,
        branch,
        Protocol::V2,
        mirror.fetch_bytes_max,
        stop,
    )?;
    let mut handshake = shake_hands(&mut connection)?;
    let head = head_of(&mut connection, &mut handshake, branch)?.ok_or_else(|| Error::BranchGone {
        branch: branch.to_owned(),
    })?;
    let repo = &mirror.repo;
    let known = tip(repo, branch);
    if known != Some(head) && !is_complete(repo, head) {
        let shallow = how_deep(repo, known, depth)?;
        let fetched = receive(mirror, &mut connection, &mut handshake, (head, &shallow), stop);
        match fetched {
            Err(Error::Protocol { cause }) if matches!(shallow, Shallow::Since { .. }) => {
                tracing::debug!(branch, cause, "nothing is that new; asking by depth");
                let mut again = Connection::new(
                    &mirror.clients,
                    remote,
                    branch,
                    Protocol::V2,
                    mirror.fetch_bytes_max,
                    stop,
                )?;
                let mut handshake = shake_hands(&mut again)?;
                let commits = match depth {
                    Depth::Shallow(commits) => commits.max(DEPTH_WITHOUT_DATE),
                    Depth::Full => u32::MAX,
                };
                receive(
                    mirror,
                    &mut again,
                    &mut handshake,
                    (head, &depth_of(commits)),
                    stop,
                )?;
            }
            fetched => fetched?,
        }
    }
    if known != Some(head) {
        set_tip(repo, branch, head)?;
    }
    Ok(commit_id(&head))
}

/// The mirror's part of [`crate::Mirror::remote_head`].
pub(crate) fn remote_head(
    mirror: &GixMirror,
    remote: &Remote,
    branch: &str,
) -> Result<Option<CommitId>, Error> {
    let mut connection = Connection::new(
        &mirror.clients,
        remote,
        branch,
        Protocol::V2,
        mirror.fetch_bytes_max,
        &NEVER,
    )?;
    let mut handshake = shake_hands(&mut connection)?;
    Ok(head_of(&mut connection, &mut handshake, branch)?.map(|head| commit_id(&head)))
}

fn shake_hands(connection: &mut Connection) -> Result<Handshake, Error> {
    gix::protocol::handshake(
        &mut connection.transport,
        gix_transport::Service::UploadPack,
        // There is one credential and it has been sent; nobody is asked for another.
        |_| Ok(None),
        Vec::new(),
        &mut gix::progress::Discard,
    )
    .map_err(|error| connection.explain(&error))
}

/// The one ref, by version 2's filtered listing; older protocols have sent all refs with the handshake.
fn head_of(
    connection: &mut Connection<'_>,
    handshake: &mut Handshake,
    branch: &str,
) -> Result<Option<gix::ObjectId>, Error> {
    let refs = if let Some(refs) = handshake.refs.take() {
        refs
    } else {
        let mut prefixes = RefPrefixes::new();
        prefixes.extend([branch.into()]);
        LsRefsCommand::new(Some(prefixes), &handshake.capabilities, agent())
            .invoke_blocking(&mut connection.transport, &mut gix::progress::Discard, false)
            .map_err(|error| connection.explain(&error))?
    };
    Ok(refs.into_iter().find_map(|reference| match reference {
        Ref::Direct {
            full_ref_name,
            object,
        } if full_ref_name == branch => Some(object),
        Ref::Symbolic {
            full_ref_name,
            object,
            ..
        } if full_ref_name == branch => Some(object),
        _ => None,
    }))
}

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(AGENT.to_owned()))
}

/// What to ask for: by date from the head we know, which stays small also when the branch was rebased; by depth when
/// we know none. A mirror that has everything keeps having everything.
fn how_deep(repo: &gix::Repository, known: Option<gix::ObjectId>, depth: Depth) -> Result<Shallow, Error> {
    let is_shallow = repo.is_shallow().map_err(Error::damaged)?;
    let Some(known) = known else {
        return Ok(match depth {
            Depth::Shallow(commits) => depth_of(commits),
            Depth::Full if is_shallow => Shallow::undo(),
            Depth::Full => Shallow::NoChange,
        });
    };
    Ok(match depth {
        _ if !is_shallow => Shallow::NoChange,
        Depth::Full => Shallow::undo(),
        Depth::Shallow(_) => {
            let cutoff = repo
                .find_commit(known)
                .map_err(Error::damaged)?
                .time()
                .map_err(Error::damaged)?;
            Shallow::Since { cutoff }
        }
    })
}

fn depth_of(commits: u32) -> Shallow {
    Shallow::DepthAtRemote(NonZeroU32::new(commits).unwrap_or(NonZeroU32::MIN))
}

/// Whether the commit is here with its tree and its parents (or is known to be the end of history), so that nothing
/// has to be fetched. A crash between writing a pack and the shallow boundary leaves commits that are not.
fn is_complete(repo: &gix::Repository, id: gix::ObjectId) -> bool {
    let Ok(commit) = repo.find_commit(id) else {
        return false;
    };
    let is_boundary = repo
        .shallow_commits()
        .ok()
        .flatten()
        .is_some_and(|boundary| boundary.iter().any(|commit| *commit == id));
    commit.tree().is_ok() && (is_boundary || commit.parent_ids().all(|parent| repo.has_object(parent)))
}

fn receive(
    mirror: &GixMirror,
    connection: &mut Connection<'_>,
    handshake: &mut Handshake,
    (want, shallow): (gix::ObjectId, &Shallow),
    stop: &AtomicBool,
) -> Result<(), Error> {
    let repo = &mirror.repo;
    let mut keep = None;
    let fetched = gix::protocol::fetch(
        &mut Wanted {
            want,
            haves: tips(repo),
        },
        |pack, progress, stop| {
            let written = gix_pack::Bundle::write_to_directory(
                pack,
                Some(&pack_directory(repo)),
                progress,
                stop,
                Some((*repo.objects).clone()),
                repo.object_hash(),
                gix_pack::bundle::write::Options {
                    thread_limit: Some(crate::parallel::available().min(INDEX_THREADS_MAX)),
                    iteration_mode: gix_pack::data::input::Mode::Verify,
                    ..Default::default()
                },
            )?;
            keep = written.keep_path;
            Ok(true)
        },
        gix::progress::Discard,
        stop,
        Context {
            handshake,
            transport: &mut connection.transport,
            user_agent: agent(),
            trace_packetlines: false,
        },
        Options {
            shallow_file: repo.shallow_file().map_err(Error::damaged)?,
            shallow,
            tags: Tags::None,
            reject_shallow_remote: false,
        },
    );
    // The keep file guards against a garbage collection that this repository never has.
    if let Some(keep) = keep {
        std::fs::remove_file(&keep).map_err(Error::io("removing a pack's keep file"))?;
    }
    match fetched {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Error::protocol("the server sent no pack")),
        Err(_) if stop.load(Ordering::Relaxed) => Err(Error::Stopped),
        Err(error) => Err(connection.explain(&error)),
    }
}

/// Asks for one commit, tells what there is, and is done: one round.
struct Wanted {
    want: gix::ObjectId,
    haves: Vec<gix::ObjectId>,
}

impl Negotiate for Wanted {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate {
            remote_ref_target_known: vec![false],
        })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _remote_ref_target_known: &[bool]) -> bool {
        arguments.want(self.want);
        true
    }

    fn one_round(
        &mut self,
        _state: &mut negotiate::one_round::State,
        arguments: &mut Arguments,
        _previous_response: Option<&Response>,
    ) -> gix::Result<(negotiate::Round, bool)> {
        for have in &self.haves {
            arguments.have(have);
        }
        let round = negotiate::Round {
            haves_sent: self.haves.len(),
            in_vain: 0,
            haves_to_send: self.haves.len(),
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}

/// What was last fetched of the branch, if it is still here.
fn tip(repo: &gix::Repository, branch: &str) -> Option<gix::ObjectId> {
    let reference = repo.try_find_reference(tip_ref(branch).as_str()).ok()??;
    let id = reference.try_id()?.detach();
    repo.has_object(id).then_some(id)
}

fn tips(repo: &gix::Repository) -> Vec<gix::ObjectId> {
    let Ok(references) = repo.references() else {
        return Vec::new();
    };
    let Ok(all) = references.prefixed("refs/tips/") else {
        return Vec::new();
    };
    let ids = all.filter_map(|reference| Some(reference.ok()?.try_id()?.detach()));
    let mut ids: Vec<_> = ids.filter(|id| repo.has_object(id)).take(HAVES_MAX).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Notes what the mirror has of the branch. Its own ref, moved anywhere; nothing of the server's.
pub(crate) fn set_tip(repo: &gix::Repository, branch: &str, head: gix::ObjectId) -> Result<(), Error> {
    repo.reference(tip_ref(branch).as_str(), head, PreviousValue::Any, "fetch")
        .map_err(Error::damaged)?;
    Ok(())
}

/// As [`set_tip`], after a push. The push stands whatever happens here; the next fetch only costs more.
pub(crate) fn note_pushed(repo: &gix::Repository, branch: &str, head: &CommitId) {
    if let Err(error) = set_tip(repo, branch, object_id(head)) {
        tracing::warn!(branch, %error, "the mirror's own ref could not be moved after a push");
    }
}
