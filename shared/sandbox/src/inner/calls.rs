//! seccomp: the system calls that a run may not make (`sandbox.md Network`, `Same-uid worker`, `How denials fail`).
//!
//! Denied is EPERM, as programs expect of a sandbox, and `clone3` does not exist (ENOSYS), because its flags cannot be
//! seen; the C library then uses `clone`, whose flags can. Only another architecture's system calls are deadly: nothing
//! that is installed makes them, and here nobody looks at their arguments.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::step;
use crate::cell::wire::{Failure, Plan};
use crate::level::Level;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Denied whatever their arguments, at both levels.
const DENIED: [libc::c_long; 66] = [
    // Other processes' memory, descriptors and state.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    // Files by other ways than their paths.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // Memory that the limits do not see.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    // A piece of a page in a pipe keeps the whole page, a huge one too.
    libc::SYS_vmsplice,
    libc::SYS_semget,
    libc::SYS_msgget,
    // With the number of an object that somebody else made, which can be guessed, nothing has to be got first.
    libc::SYS_semctl,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_msgctl,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Keys of the session that the worker was started in.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Ways around all of this, and large parts of the kernel that no build needs.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

/// Denied too where they exist.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: [libc::c_long; 5] = [
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_lookup_dcookie,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: [libc::c_long; 0] = [];

/// Calls that are younger than the names in use: `listmount`, `statmount`, `open_tree_attr`; and new ways to change what
/// belongs to a file, which landlock does not know: `setxattrat`, `removexattrat`, `file_setattr`. The same numbers on
/// every architecture.
const DENIED_BY_NUMBER: [libc::c_long; 6] = [458, 457, 467, 463, 466, 469];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// `clone` flags that make namespaces.
const NAMESPACES: [libc::c_int; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    // CLONE_NEWTIME; in clone its bit is part of the exit signal, where no signal has it.
    0x80,
];

/// Terminal requests that type into somebody's terminal (`TIOCSTI`), paste into the console (`TIOCLINUX`), or load line
/// disciplines (`TIOCSETD`).
const TERMINAL_REQUESTS: [u64; 3] = [0x5412, 0x541C, 0x5423];

/// Sends with the first packet of a connection, past landlock's view of connecting.
const MSG_FASTOPEN: u64 = 0x2000_0000;
/// The part of a socket's type that is the type.
const SOCKET_TYPE_MASK: u64 = 0xf;

/// Socket options that make a buffer larger than the limits take it for: `SO_SNDBUF`, `SO_RCVBUF`. They are without effect
/// and say that all is well, as the kernel does where it cuts a size down.
const BUFFER_SIZES: [u64; 2] = [7, 8];

/// One segment of System V shared memory, in a namespace of the run's own. What is detached counts as nobody's memory;
/// a namespace holds 4096 segments.
const SHARED_SEGMENT_BYTES_MAX: u64 = 64 * 1024;

/// Filters that are ready to be enforced.
pub(super) struct Filters(Vec<BpfProgram>);

impl Filters {
    /// Translates what the plan's level and needs allow.
    pub(super) fn new(plan: &Plan) -> Result<Self, Failure> {
        let denied = denied(plan).map_err(step("seccomp rules"))?;
        let programs = [
            Some(program(denied, libc::EPERM)),
            Some(program(
                BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
                libc::ENOSYS,
            )),
            Some(ignored().and_then(|ignored| program(ignored, 0))),
            foreign_numbers().map(Ok),
        ];
        let programs: Result<_, BackendError> = programs.into_iter().flatten().collect();
        Ok(Self(programs.map_err(step("seccomp rules"))?))
    }

    /// Enforces them on this process and all it starts; there is no way back.
    pub(super) fn enforce(&self) -> Result<(), Failure> {
        self.0
            .iter()
            .try_for_each(|program| seccompiler::apply_filter(program).map_err(step("seccomp")))
    }
}

fn program(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, BackendError> {
    let denial = SeccompAction::Errno(errno.unsigned_abs());
    // Another architecture is killed by the program itself.
    SeccompFilter::new(rules, SeccompAction::Allow, denial, ARCHITECTURE)?.try_into()
}

/// What does nothing and is said to have worked.
fn ignored() -> Result<Rules, BackendError> {
    let socket = libc::SOL_SOCKET.unsigned_abs().into();
    let sizes: Result<_, _> = BUFFER_SIZES
        .iter()
        .map(|option| SeccompRule::new(vec![equal(1, socket)?, equal(2, *option)?]))
        .collect();
    Ok(BTreeMap::from([(libc::SYS_setsockopt, sizes?)]))
}

fn denied(plan: &Plan) -> Result<Rules, BackendError> {
    let always = DENIED.iter().chain(&DENIED_HERE).chain(&DENIED_BY_NUMBER);
    let mut rules: Rules = always.map(|call| (*call, Vec::new())).collect();
    let namespaces = NAMESPACES
        .iter()
        .map(|flag| has_bits(0, flag.unsigned_abs().into()));
    let mut clone = any(namespaces)?;
    // A thread with open files of its own: they are not those that the process shows.
    let own_files = (libc::CLONE_THREAD | libc::CLONE_FILES).unsigned_abs();
    clone.extend(any([equal_masked(
        0,
        own_files.into(),
        libc::CLONE_THREAD.unsigned_abs().into(),
    )]
    .into_iter())?);
    rules.insert(libc::SYS_clone, clone);
    rules.insert(
        libc::SYS_close_range,
        any([has_bits(2, libc::CLOSE_RANGE_UNSHARE.into())].into_iter())?,
    );
    // Pipes keep the size that the limits take them for; programs know this answer of a user who has too many.
    rules.insert(
        libc::SYS_fcntl,
        any([equal(1, libc::F_SETPIPE_SZ.unsigned_abs().into())].into_iter())?,
    );
    // It puts another protocol in a socket's place, which landlock need not know.
    let upper_layer = vec![
        equal(1, libc::IPPROTO_TCP.unsigned_abs().into())?,
        equal(2, libc::TCP_ULP.unsigned_abs().into())?,
    ];
    rules.insert(libc::SYS_setsockopt, vec![SeccompRule::new(upper_layer)?]);
    rules.insert(
        libc::SYS_ioctl,
        any(TERMINAL_REQUESTS.iter().map(|request| equal(1, *request)))?,
    );
    // It closes the process to its own user: who looks from outside does not see what it has open.
    let hide = SeccompRule::new(vec![
        equal(0, libc::PR_SET_DUMPABLE.unsigned_abs().into())?,
        equal(1, 0)?,
    ])?;
    rules.insert(libc::SYS_prctl, vec![hide]);
    rules.insert(libc::SYS_socket, sockets(plan)?);
    rules.insert(libc::SYS_socketpair, socket_pairs(plan)?);
    for (call, flags) in [
        (libc::SYS_sendto, 3),
        (libc::SYS_sendmsg, 2),
        (libc::SYS_sendmmsg, 3),
    ] {
        rules.insert(call, any([has_bits(flags, MSG_FASTOPEN)].into_iter())?);
    }
    if plan.level == Level::Two {
        // Databases take a few bytes of it to see that they are alone.
        let large = SeccompCondition::new(
            1,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::Gt,
            SHARED_SEGMENT_BYTES_MAX,
        );
        rules.insert(libc::SYS_shmget, any([large].into_iter())?);
    } else {
        shared_machine(plan, &mut rules)?;
    }
    Ok(rules)
}

/// What is denied where the run shares users, processes and network with the worker.
fn shared_machine(plan: &Plan, rules: &mut Rules) -> Result<(), BackendError> {
    if plan.needs.private_port.is_none() {
        // Without a bind before it, it takes a port on every interface.
        rules.insert(libc::SYS_listen, Vec::new());
    }
    // Limits of another process of the same user, the worker's CPU time for instance.
    let others_limit = SeccompRule::new(vec![not(0, 0)?, not_null(2)?])?;
    rules.insert(libc::SYS_prlimit64, vec![others_limit]);
    others_schedule(rules)?;
    for call in [
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_shmdt,
    ] {
        rules.insert(call, Vec::new());
    }
    Ok(())
}

/// Priority, processors and policy of other processes of the same user. What a thread says of itself without its number
/// stays allowed.
fn others_schedule(rules: &mut Rules) -> Result<(), BackendError> {
    // IOPRIO_WHO_USER; without a number it is the user's own too.
    const DISK_USER: u64 = 3;
    for (call, user) in [
        (libc::SYS_setpriority, libc::PRIO_USER.into()),
        (libc::SYS_ioprio_set, DISK_USER),
    ] {
        rules.insert(call, any([not(1, 0), equal(0, user)].into_iter())?);
    }
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
    ] {
        rules.insert(call, any([not(0, 0)].into_iter())?);
    }
    Ok(())
}

/// Which pairs of sockets may not be made. One end of a datagram pair can send to any pathname socket.
fn socket_pairs(plan: &Plan) -> Result<Vec<SeccompRule>, BackendError> {
    let mut denied = vec![not(0, libc::AF_UNIX.unsigned_abs().into())];
    if plan.level != Level::Two && !plan.needs.unix_sockets {
        // To unix sockets a raw one is a datagram one.
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
            denied.push(equal_masked(1, SOCKET_TYPE_MASK, kind.unsigned_abs().into()));
        }
    }
    any(denied.into_iter())
}

/// Which sockets may not be made: all but those that are named here.
fn sockets(plan: &Plan) -> Result<Vec<SeccompRule>, BackendError> {
    let own_network = plan.level == Level::Two;
    let unix = own_network || plan.needs.unix_sockets;
    let (udp, netlink) = (own_network && plan.needs.udp, own_network && plan.needs.netlink);
    let families = [
        (libc::AF_INET, true),
        (libc::AF_INET6, true),
        (libc::AF_UNIX, unix),
        (libc::AF_NETLINK, netlink),
    ];
    let allowed = families.iter().filter(|(_, allowed)| *allowed);
    let other_family: Result<_, _> = allowed
        .map(|(family, _)| not(0, family.unsigned_abs().into()))
        .collect();
    let mut rules = vec![SeccompRule::new(other_family?)?];
    for family in [libc::AF_INET, libc::AF_INET6].map(|family| u64::from(family.unsigned_abs())) {
        for kind in 0..=SOCKET_TYPE_MASK {
            // The protocols that a type may have: its own one and "the usual one". MPTCP is neither.
            let own = match libc::c_int::try_from(kind) {
                Ok(libc::SOCK_STREAM) => Some(libc::IPPROTO_TCP),
                Ok(libc::SOCK_DGRAM) if udp => Some(libc::IPPROTO_UDP),
                _ => None,
            };
            let mut conditions = vec![equal(0, family)?, equal_masked(1, SOCKET_TYPE_MASK, kind)?];
            if let Some(own) = own {
                conditions.extend([not(2, 0)?, not(2, own.unsigned_abs().into())?]);
            }
            rules.push(SeccompRule::new(conditions)?);
        }
    }
    if netlink {
        let family = equal(0, libc::AF_NETLINK.unsigned_abs().into())?;
        rules.push(SeccompRule::new(vec![
            family,
            not(2, libc::NETLINK_ROUTE.unsigned_abs().into())?,
        ])?);
    }
    Ok(rules)
}

/// On `x86_64` a second set of numbers reaches the same calls; those with this bit are killed.
fn foreign_numbers() -> Option<BpfProgram> {
    const X32_BIT: u32 = 0x4000_0000;
    let instruction = |code: u32, jt, jf, k| seccompiler::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    cfg!(target_arch = "x86_64").then(|| {
        vec![
            // The number is at the start of what the filter sees.
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32_BIT),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]
    })
}

/// One rule for each condition: any of them denies.
fn any(
    conditions: impl Iterator<Item = Result<SeccompCondition, BackendError>>,
) -> Result<Vec<SeccompRule>, BackendError> {
    conditions
        .map(|condition| SeccompRule::new(vec![condition?]))
        .collect()
}

/// The argument as the kernel takes it: the low half of the register.
fn condition(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn not(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Ne, value)
}

fn equal_masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(mask), value)
}

fn has_bits(argument: u8, bits: u64) -> Result<SeccompCondition, BackendError> {
    equal_masked(argument, bits, bits)
}

/// A pointer that is not null, in its whole width.
fn not_null(argument: u8) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)
}
