//! Calls that open a way around every rule: namespaces, foreign call tables, handles to kernel subsystems
//! (`sandbox.md` How denials fail). Those that need nothing but wrong arguments are in `table.rs`.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt;

use super::calls::{Arg, call, descriptor, exit_now, in_child, reached_the_kernel};
use super::plan::Plan;
use super::{Attempt, Failure};

/// Every kind of namespace, and its name.
const NAMESPACES: [(&str, libc::c_int); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("mount", libc::CLONE_NEWNS),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", 0x80),
];

/// In a user namespace of its own a program has every capability over what it makes there.
pub(super) fn unshare(_: &Plan) -> Attempt {
    each_namespace(|flag| in_child(|| Ok(call(libc::SYS_unshare, &mut [Arg::Int(flag)])?.to_string())))
}

pub(super) fn clone(_: &Plan) -> Attempt {
    // `clone` takes the end signal in the low byte, where the flag of the time namespace would be.
    each_namespace(|flag| {
        if flag <= 0xff {
            return Err(Failure::Refused("clone does not take it".to_owned()));
        }
        in_child(|| clone_into(flag))
    })
}

fn clone_into(flag: i64) -> Attempt {
    let flags = Arg::Int(flag | i64::from(libc::SIGCHLD));
    let nothing = || Arg::Int(0);
    let child = call(
        libc::SYS_clone,
        &mut [flags, nothing(), nothing(), nothing(), nothing()],
    )?;
    if child == 0 {
        exit_now();
    }
    Ok(child.to_string())
}

/// The kernel keeps as much as a socket's buffer holds, and no limit sees it.
pub(super) fn large_socket_buffer(_: &Plan) -> Attempt {
    const BYTES: usize = 4 * 1024 * 1024;
    let (socket, _other_end) = UnixStream::pair()?;
    let size = || sockopt::socket_send_buffer_size(&socket).map_err(io::Error::from);
    let before = size()?;
    sockopt::set_socket_send_buffer_size(&socket, BYTES).map_err(io::Error::from)?;
    let after = size()?;
    if after > before {
        return Ok(format!("a buffer of {after} bytes instead of {before}"));
    }
    Err(Failure::Refused(format!("it stays at {after} bytes")))
}

/// Of a process that is not dumpable `/proc` does not tell its own user what it has open.
pub(super) fn closed_to_its_user(_: &Plan) -> Attempt {
    let option = Arg::Int(libc::PR_SET_DUMPABLE.into());
    in_child(|| Ok(call(libc::SYS_prctl, &mut [option, Arg::Int(0)])?.to_string()))
}

fn each_namespace(attack: impl Fn(i64) -> Attempt) -> Attempt {
    let mut refused = Failure::Refused(String::new());
    for (name, flag) in NAMESPACES {
        match attack(flag.into()) {
            Ok(_) => return Ok(format!("made a namespace ({name})")),
            Err(failure) => refused = failure,
        }
    }
    Err(refused)
}

/// Its flags are in memory, where no filter sees them.
pub(super) fn clone3(_: &Plan) -> Attempt {
    reached_the_kernel(call(libc::SYS_clone3, &mut [Arg::Int(0), Arg::Int(0)]))
}

/// The 32-bit call table has other numbers: a filter for 64 bits reads them wrongly.
pub(super) fn calls_of_32_bits(_: &Plan) -> Attempt {
    in_child(|| match getpid_by_int80() {
        pid if pid > 0 => Ok(format!("getpid is {pid}")),
        error => Err(io::Error::from_raw_os_error(-error).into()),
    })
}

#[cfg(target_arch = "x86_64")]
fn getpid_by_int80() -> i32 {
    /// The number of `getpid` in the 32-bit table.
    const GETPID: i32 = 20;
    let result: i32;
    #[expect(unsafe_code, reason = "the gate to the 32-bit calls is an instruction")]
    // SAFETY: `getpid` takes nothing and touches no memory; the gate clobbers the registers named here.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") GETPID => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn getpid_by_int80() -> i32 {
    // This processor has no such calls.
    -libc::ENOSYS
}

/// The x32 table: 64-bit calls with 32-bit addresses, told apart by one bit of the number.
pub(super) fn calls_of_x32(_: &Plan) -> Attempt {
    /// `__X32_SYSCALL_BIT`.
    const X32: libc::c_long = 0x4000_0000;
    if !cfg!(target_arch = "x86_64") {
        return Err(Failure::NotTried("this processor has no such calls".to_owned()));
    }
    in_child(|| Ok(format!("getpid is {}", call(X32 | libc::SYS_getpid, &mut [])?)))
}

/// Memory that no measure of a process shows and no limit of files covers.
pub(super) fn memory_without_a_file(_: &Plan) -> Attempt {
    descriptor(
        libc::SYS_memfd_create,
        &mut [Arg::Text(c"probe"), Arg::Int(libc::MFD_CLOEXEC.into())],
    )?;
    Ok("made a file in memory".to_owned())
}

/// A key in the keyring that all processes of a user share.
pub(super) fn add_a_key(_: &Plan) -> Attempt {
    /// `KEY_SPEC_PROCESS_KEYRING`: ends with this process.
    const PROCESS_KEYRING: i64 = -2;
    let serial = call(
        libc::SYS_add_key,
        &mut [
            Arg::Text(c"user"),
            Arg::Text(c"probe"),
            Arg::In(b"x"),
            Arg::Int(1),
            Arg::Int(PROCESS_KEYRING),
        ],
    )?;
    Ok(format!("added the key {serial}"))
}
