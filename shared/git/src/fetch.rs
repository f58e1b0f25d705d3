//! Fetching branches: list those refs, ask for what is new, write the pack, note the heads.
//!
//! Two requests after the handshake, whatever the size of the repository: our tips are sent as `have` together with
//! `done`, because a mirror's few tips are all it could negotiate with.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::protocol::fetch::{Arguments, Context, Negotiate, Options, Response, Shallow, Tags, negotiate};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
use gix::protocol::{Handshake, LsRefsCommand};
use gix_transport::Protocol;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::{Depth, GixMirror, commit_id, pack_directory};
use crate::ref_name::check_branch;
use crate::remote::{Connection, Remote};

mod tips;

pub(crate) use tips::{Whose, note_pushed};
use tips::{set_tip_at, tip_at, tip_of, tips};

/// Commits asked for when what is new cannot be told by date (a branch set back, clocks that disagree).
const DEPTH_WITHOUT_DATE: u32 = 64;
/// Packs are indexed with this many threads at most; the rest of the machine belongs to agents.
const INDEX_THREADS_MAX: usize = 4;
/// For what is too short to be stopped, or must not be: the server's silence is bounded all the same.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);
/// How we introduce ourselves in git's protocol.
const AGENT: &str = concat!("openhands-resolver/", env!("CARGO_PKG_VERSION"));

/// The mirror's part of [`crate::Mirror::fetch`] and its kin: the heads of `branches`, in their order, `None` where
/// the server has no such branch. One exchange, however many branches are new.
pub(crate) fn fetch(
    mirror: &GixMirror,
    (remote, whose): (&Remote, Whose),
    branches: &[&str],
    depth: Depth,
    stop: &AtomicBool,
) -> Result<Vec<Option<CommitId>>, Error> {
    let tips: Vec<String> = branches
        .iter()
        .map(|branch| tip_of(remote, whose, branch))
        .collect();
    let mut connection = connect(mirror, remote, branches, stop)?;
    let mut handshake = shake_hands(&mut connection)?;
    let heads = heads_of(&mut connection, &mut handshake, branches)?;
    let repo = &mirror.repo;
    let known: Vec<_> = tips.iter().map(|tip| tip_at(repo, tip)).collect();
    let (mut wants, mut known_of_wants) = (Vec::new(), Vec::new());
    for (head, known) in heads.iter().zip(&known) {
        if let Some(head) = head
            && *known != Some(*head)
            && !wants.contains(head)
            && !is_complete(repo, *head)
        {
            wants.push(*head);
            known_of_wants.push(*known);
        }
    }
    if !wants.is_empty() {
        let shallow = how_deep(repo, &known_of_wants, depth)?;
        let fetched = receive(mirror, &mut connection, &mut handshake, (&wants, &shallow), stop);
        match fetched {
            Err(Error::Protocol { cause }) if matches!(shallow, Shallow::Since { .. }) => {
                tracing::debug!(?branches, cause, "nothing is that new; asking by depth");
                let mut again = connect(mirror, remote, branches, stop)?;
                let mut handshake = shake_hands(&mut again)?;
                let commits = match depth {
                    Depth::Shallow(commits) => commits.max(DEPTH_WITHOUT_DATE),
                    Depth::Full => u32::MAX,
                };
                receive(
                    mirror,
                    &mut again,
                    &mut handshake,
                    (&wants, &depth_of(commits)),
                    stop,
                )?;
            }
            fetched => fetched?,
        }
    }
    for ((head, known), tip) in heads.iter().zip(known).zip(&tips) {
        if let Some(head) = head
            && known != Some(*head)
        {
            set_tip_at(repo, tip, *head)?;
        }
    }
    Ok(heads
        .iter()
        .map(|head| head.as_ref().map(|head| commit_id(head)))
        .collect())
}

/// The mirror's part of [`crate::Mirror::deepen`].
pub(crate) fn deepen(
    mirror: &GixMirror,
    remote: &Remote,
    branches: &[&str],
    depth: Depth,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut connection = connect(mirror, remote, branches, stop)?;
    let mut handshake = shake_hands(&mut connection)?;
    let heads = heads_of(&mut connection, &mut handshake, branches)?;
    let mut wants: Vec<_> = heads.into_iter().flatten().collect();
    wants.dedup();
    if wants.is_empty() {
        return Ok(());
    }
    let shallow = match depth {
        Depth::Shallow(commits) => depth_of(commits),
        Depth::Full => Shallow::undo(),
    };
    receive(mirror, &mut connection, &mut handshake, (&wants, &shallow), stop)
}

fn connect<'stop>(
    mirror: &GixMirror,
    remote: &Remote,
    branches: &[&str],
    stop: &'stop AtomicBool,
) -> Result<Connection<'stop>, Error> {
    for branch in branches {
        check_branch(branch)?;
    }
    Connection::new(
        &mirror.clients,
        remote,
        branches.first().copied().unwrap_or_default(),
        Protocol::V2,
        mirror.fetch_bytes_max,
        stop,
    )
}

/// The mirror's part of [`crate::Mirror::remote_head`].
pub(crate) fn remote_head(
    mirror: &GixMirror,
    remote: &Remote,
    branch: &str,
) -> Result<Option<CommitId>, Error> {
    let mut connection = connect(mirror, remote, &[branch], &NEVER)?;
    let mut handshake = shake_hands(&mut connection)?;
    let heads = heads_of(&mut connection, &mut handshake, &[branch])?;
    Ok(heads.into_iter().flatten().next().map(|head| commit_id(&head)))
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

/// These refs, by version 2's filtered listing; older protocols have sent all refs with the handshake.
fn heads_of(
    connection: &mut Connection<'_>,
    handshake: &mut Handshake,
    branches: &[&str],
) -> Result<Vec<Option<gix::ObjectId>>, Error> {
    let refs = if let Some(refs) = handshake.refs.take() {
        refs
    } else {
        let mut prefixes = RefPrefixes::new();
        prefixes.extend(branches.iter().map(|branch| (*branch).into()));
        LsRefsCommand::new(Some(prefixes), &handshake.capabilities, agent())
            .invoke_blocking(&mut connection.transport, &mut gix::progress::Discard, false)
            .map_err(|error| connection.explain(&error))?
    };
    let head_of = |branch: &&str| {
        refs.iter().find_map(|reference| match reference {
            Ref::Direct {
                full_ref_name,
                object,
            } if full_ref_name == branch => Some(*object),
            Ref::Symbolic {
                full_ref_name,
                object,
                ..
            } if full_ref_name == branch => Some(*object),
            _ => None,
        })
    };
    Ok(branches.iter().map(head_of).collect())
}

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(AGENT.to_owned()))
}

/// What to ask for: by date from the heads we know, which stays small also when a branch was rebased; by depth when
/// we do not know one of them. A mirror that has everything keeps having everything.
fn how_deep(repo: &gix::Repository, known: &[Option<gix::ObjectId>], depth: Depth) -> Result<Shallow, Error> {
    let is_shallow = repo.is_shallow().map_err(Error::damaged)?;
    let Some(known) = known.iter().copied().collect::<Option<Vec<_>>>() else {
        return Ok(match depth {
            Depth::Shallow(commits) => depth_of(commits),
            Depth::Full if is_shallow => Shallow::undo(),
            Depth::Full => Shallow::NoChange,
        });
    };
    Ok(match depth {
        _ if !is_shallow => Shallow::NoChange,
        Depth::Full => Shallow::undo(),
        Depth::Shallow(commits) => {
            let mut cutoff: Option<gix::date::Time> = None;
            for known in known {
                let commit = repo.find_commit(known).map_err(Error::damaged)?;
                let time = commit.time().map_err(Error::damaged)?;
                if cutoff.is_none_or(|cutoff| time.seconds < cutoff.seconds) {
                    cutoff = Some(time);
                }
            }
            cutoff.map_or_else(|| depth_of(commits), |cutoff| Shallow::Since { cutoff })
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
    (wants, shallow): (&[gix::ObjectId], &Shallow),
    stop: &AtomicBool,
) -> Result<(), Error> {
    let repo = &mirror.repo;
    let mut keep = None;
    let fetched = gix::protocol::fetch(
        &mut Wanted {
            wants: wants.to_vec(),
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

/// Asks for these commits, tells what there is, and is done: one round.
struct Wanted {
    wants: Vec<gix::ObjectId>,
    haves: Vec<gix::ObjectId>,
}

impl Negotiate for Wanted {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate {
            remote_ref_target_known: vec![false; self.wants.len()],
        })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _remote_ref_target_known: &[bool]) -> bool {
        for want in &self.wants {
            arguments.want(want);
        }
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
