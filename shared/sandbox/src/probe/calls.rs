//! Raw system calls, because an attacker is not bound to what a safe wrapper offers.

use std::ffi::CStr;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};

use rustix::process::{Pid, WaitOptions, waitpid};

use super::{Attempt, Failure};

/// How long a forked attack may take; all of them are a few system calls, on a machine that may be under load.
const CHILD_SECONDS_MAX: libc::c_uint = 20;

/// The attributes of a message queue: flags, messages, bytes of each, messages now, and what is reserved. Of the usual size (80 KiB) a user may have nine, in
/// all self-tests at one time.
pub(crate) const SMALL_QUEUE: [u64; 8] = [0, 1, 1, 0, 0, 0, 0, 0];

/// One argument of a system call.
pub(crate) enum Arg<'a> {
    /// A number, or an address that is meant to be wrong.
    Int(i64),
    /// The length of a buffer.
    Length(usize),
    /// What the kernel reads.
    In(&'a [u8]),
    /// What the kernel writes into.
    Out(&'a mut [u8]),
    /// A path or name.
    Text(&'a CStr),
}

/// The outermost system call: no wrapper between the attack and the kernel.
///
/// Only for calls that neither map nor unmap memory of this process and that write no more than the buffers given
/// here; the attacks use no others.
pub(crate) fn call(number: libc::c_long, args: &mut [Arg<'_>]) -> io::Result<i64> {
    let mut words = [0i64; 6];
    for (word, arg) in words.iter_mut().zip(args.iter_mut()) {
        *word = match arg {
            Arg::Int(value) => *value,
            Arg::Length(length) => length.cast_signed() as i64,
            Arg::In(bytes) => address(bytes).cast_signed(),
            Arg::Out(bytes) => address(bytes).cast_signed(),
            Arg::Text(text) => address(text.to_bytes_with_nul()).cast_signed(),
        };
    }
    #[expect(unsafe_code, reason = "an attack has to be able to make any system call")]
    // SAFETY: every address is of a buffer that `args` keeps borrowed during the call, or one that is wrong on purpose,
    // which the kernel answers with EFAULT. The calls made here do not change this process's mappings.
    let result = unsafe { libc::syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// As [`call`], for calls that answer with a new descriptor.
pub(crate) fn descriptor(number: libc::c_long, args: &mut [Arg<'_>]) -> io::Result<OwnedFd> {
    let result = call(number, args)?;
    let raw = i32::try_from(result).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "a descriptor from a raw system call has no owner yet")]
    // SAFETY: the kernel has just made this descriptor for us, so nobody else owns it.
    let owned = unsafe { OwnedFd::from_raw_fd(raw) };
    Ok(owned)
}

/// The address of a buffer, for structures that hold one.
pub(crate) fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

/// A structure of 64-bit words, as the kernel's headers lay it out.
pub(crate) fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// Runs an attack in a forked child: it may die of it, or be changed by it for good. The process must have one thread.
pub(crate) fn in_child(attack: impl FnOnce() -> Attempt) -> Attempt {
    let not_tried = |error: io::Error| Failure::NotTried(format!("no child for it: {error}"));
    let (mut reader, writer) = io::pipe().map_err(not_tried)?;
    #[expect(unsafe_code, reason = "fork has no safe wrapper")]
    // SAFETY: the battery has one thread, so the child may do everything that the parent may.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        drop(reader);
        attack_and_exit(attack, writer);
    }
    drop(writer);
    let child = Pid::from_raw(forked)
        .filter(|_| forked > 0)
        .ok_or_else(|| not_tried(io::Error::last_os_error()))?;
    let mut said = Vec::new();
    let read = reader.read_to_end(&mut said);
    let status = waitpid(Some(child), WaitOptions::empty()).map_err(|error| not_tried(error.into()))?;
    read.map_err(not_tried)?;
    let signal = status.and_then(|(_, status)| status.terminating_signal());
    match (signal, said.split_first()) {
        (Some(libc::SIGALRM), _) => Err(Failure::NotTried("it did not end".to_owned())),
        (Some(signal), _) => Err(Failure::Refused(format!("killed by signal {signal}"))),
        (None, Some((b'+', text))) => Ok(String::from_utf8_lossy(text).into_owned()),
        (None, Some((b'-', text))) => Err(Failure::Refused(String::from_utf8_lossy(text).into_owned())),
        (None, Some((_, text))) => Err(Failure::NotTried(String::from_utf8_lossy(text).into_owned())),
        (None, None) => Err(Failure::NotTried("its child said nothing".to_owned())),
    }
}

fn attack_and_exit(attack: impl FnOnce() -> Attempt, mut writer: io::PipeWriter) -> ! {
    #[expect(unsafe_code, reason = "alarm has no safe wrapper")]
    // SAFETY: it takes no address; its signal ends this child, which is what it is for.
    unsafe {
        libc::alarm(CHILD_SECONDS_MAX);
    }
    let (mark, text) = match attack() {
        Ok(text) => ('+', text),
        Err(Failure::Refused(text)) => ('-', text),
        Err(Failure::NotTried(text)) => ('!', text),
    };
    // What cannot be written is seen by the parent as a child that said nothing.
    let _ = writer.write_all(format!("{mark}{text}").as_bytes());
    exit_now()
}

/// Ends a forked child without running what the parent has registered for its own exit.
pub(crate) fn exit_now() -> ! {
    #[expect(unsafe_code, reason = "_exit has no safe wrapper")]
    // SAFETY: it ends the process and returns to nobody.
    unsafe {
        libc::_exit(0)
    }
}

/// Whether a call got past every filter: a success did, and so did an error that only the kernel proper gives.
pub(crate) fn reached_the_kernel(result: io::Result<i64>) -> Attempt {
    match result {
        Ok(value) => Ok(format!("the call worked: {value}")),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM | libc::ENOSYS | libc::EACCES) | None => Err(error.into()),
            Some(_) => Ok(format!("the call reached the kernel: {error}")),
        },
    }
}
