//! System V objects, message queues and shared memory: what is shared by number or name, and what is left behind.

use std::fs::{self, File};

use super::calls::{Arg, SMALL_QUEUE, call, descriptor, words};
use super::network::expect_canary;
use super::plan::Plan;
use super::terminal::c_path;
use super::{Attempt, Failure};

fn planted<T>(target: Option<T>) -> Result<T, Failure> {
    target.ok_or_else(|| Failure::NotTried("no target could be planted".to_owned()))
}

pub(super) fn shared_memory(plan: &Plan) -> Attempt {
    let id = Arg::Int(planted(plan.ipc.shared_memory)?.into());
    // What it tells is that it exists; to attach would map memory into this process.
    let mut status = [0; 256];
    call(
        libc::SYS_shmctl,
        &mut [id, Arg::Int(libc::IPC_STAT.into()), Arg::Out(&mut status)],
    )?;
    Ok("found a segment".to_owned())
}

pub(super) fn message_queue(plan: &Plan) -> Attempt {
    let id = Arg::Int(planted(plan.ipc.messages)?.into());
    // A message is its type, one word, and the text.
    let mut message = [0; 8 + 256];
    let length = Arg::Int(256);
    let flags = Arg::Int((libc::IPC_NOWAIT | libc::MSG_NOERROR).into());
    call(
        libc::SYS_msgrcv,
        &mut [id, Arg::Out(&mut message), length, Arg::Int(0), flags],
    )?;
    expect_canary(plan, &message)
}

pub(super) fn semaphores(plan: &Plan) -> Attempt {
    /// Reads one value, from `linux/sem.h`.
    const GETVAL: i64 = 12;
    let id = Arg::Int(planted(plan.ipc.semaphores)?.into());
    let value = call(
        libc::SYS_semctl,
        &mut [id, Arg::Int(0), Arg::Int(GETVAL), Arg::Int(0)],
    )?;
    Ok(format!("read the value {value}"))
}

pub(super) fn posix_queue(plan: &Plan) -> Attempt {
    let name = c_path(planted(plan.ipc.queue.as_ref())?.as_ref())?;
    descriptor(
        libc::SYS_mq_open,
        &mut [
            Arg::Text(&name),
            Arg::Int(libc::O_RDONLY.into()),
            Arg::Int(0),
            Arg::Int(0),
        ],
    )?;
    Ok("opened a queue".to_owned())
}

pub(super) fn shared_memory_file(plan: &Plan) -> Attempt {
    expect_canary(plan, &fs::read(planted(plan.ipc.file.as_ref())?)?)
}

/// In a namespace of its own, nothing of it outlives the run.
fn would_outlive_the_run(plan: &Plan) -> Result<(), Failure> {
    match fs::read_link("/proc/self/ns/ipc") {
        Ok(own) if own.as_os_str() != plan.namespaces.ipc.as_str() => {
            Err(Failure::Refused("what is made here ends with the run".to_owned()))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

pub(super) fn leave_shared_memory(plan: &Plan) -> Attempt {
    would_outlive_the_run(plan)?;
    let mode = Arg::Int((libc::IPC_CREAT | 0o600).into());
    let id = call(libc::SYS_shmget, &mut [Arg::Int(0), Arg::Int(4096), mode])?;
    call(
        libc::SYS_shmctl,
        &mut [Arg::Int(id), Arg::Int(libc::IPC_RMID.into()), Arg::Int(0)],
    )?;
    Ok("made a segment that would stay".to_owned())
}

pub(super) fn leave_a_message_queue(plan: &Plan) -> Attempt {
    would_outlive_the_run(plan)?;
    let mode = Arg::Int((libc::IPC_CREAT | 0o600).into());
    let id = call(libc::SYS_msgget, &mut [Arg::Int(0), mode])?;
    call(
        libc::SYS_msgctl,
        &mut [Arg::Int(id), Arg::Int(libc::IPC_RMID.into()), Arg::Int(0)],
    )?;
    Ok("made a queue that would stay".to_owned())
}

pub(super) fn leave_semaphores(plan: &Plan) -> Attempt {
    would_outlive_the_run(plan)?;
    let mode = Arg::Int((libc::IPC_CREAT | 0o600).into());
    let id = call(libc::SYS_semget, &mut [Arg::Int(0), Arg::Int(1), mode])?;
    call(
        libc::SYS_semctl,
        &mut [
            Arg::Int(id),
            Arg::Int(0),
            Arg::Int(libc::IPC_RMID.into()),
            Arg::Int(0),
        ],
    )?;
    Ok("made semaphores that would stay".to_owned())
}

pub(super) fn leave_a_posix_queue(plan: &Plan) -> Attempt {
    would_outlive_the_run(plan)?;
    let name = format!("probe-{}", std::process::id());
    let name = c_path(name.as_ref())?;
    let flags = Arg::Int((libc::O_CREAT | libc::O_EXCL | libc::O_RDONLY).into());
    descriptor(
        libc::SYS_mq_open,
        &mut [
            Arg::Text(&name),
            flags,
            Arg::Int(0o600),
            Arg::In(&words(&SMALL_QUEUE)),
        ],
    )?;
    call(libc::SYS_mq_unlink, &mut [Arg::Text(&name)])?;
    Ok("made a queue that would stay".to_owned())
}

/// A file next to the planted one: at level 2 the folder is the run's own.
pub(super) fn leave_a_shared_memory_file(plan: &Plan) -> Attempt {
    let planted = planted(plan.ipc.file.as_ref())?;
    let own = planted.with_extension("left-behind");
    File::create_new(&own)?;
    let is_shared = planted.exists();
    fs::remove_file(&own)?;
    if is_shared {
        Ok("made a file that would stay".to_owned())
    } else {
        Err(Failure::Refused("what is made here ends with the run".to_owned()))
    }
}
