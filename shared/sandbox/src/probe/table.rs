//! All probes, and from which level on each has to hold.

use super::calls::{Arg, call, in_child, reached_the_kernel};
use super::plan::Plan;
use super::{
    Attempt, files, identity, ipc, kernel, metadata, network, positive, processes, tampering, terminal,
    unix_sockets,
};
use crate::{Level, Residue};

/// One attack, and what is promised about it.
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) attack: Attack,
    /// The lowest level that promises to hold.
    pub(crate) holds_from: Level,
    /// What is told when it works at a lower level; nothing where every level holds.
    pub(crate) residue: Option<Residue>,
    /// Tries a tool of the machine's, which may have none that works.
    pub(crate) tool: bool,
}

/// How an attack is made.
#[derive(Clone, Copy)]
pub(crate) enum Attack {
    Function(fn(&Plan) -> Attempt),
    /// A call that is filtered whatever its arguments are. These are wrong on purpose, so that a call that comes through
    /// is refused by the kernel proper and changes nothing, even for root.
    Call(libc::c_long, [i64; 5]),
}

impl Attack {
    pub(crate) fn run(self, plan: &Plan) -> Attempt {
        match self {
            Self::Function(attack) => attack(plan),
            Self::Call(number, args) => {
                let attack = || reached_the_kernel(call(number, &mut args.map(Arg::Int)));
                attack().or_else(|refused| {
                    if plan.is_control() {
                        with_capabilities(attack).or(Err(refused))
                    } else {
                        Err(refused)
                    }
                })
            }
        }
    }
}

/// Some calls ask first whether the caller may make them at all. Root of a namespace of its own may, so that an ordinary
/// user can prove them too.
fn with_capabilities(attack: impl FnOnce() -> Attempt) -> Attempt {
    in_child(|| {
        let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
        call(libc::SYS_unshare, &mut [Arg::Int(namespaces.into())])?;
        attack()
    })
}

const fn held(name: &'static str, attack: fn(&Plan) -> Attempt) -> Probe {
    Probe {
        name,
        attack: Attack::Function(attack),
        holds_from: Level::One,
        residue: None,
        tool: false,
    }
}

/// Level 1 does not hold it; what then is left is the `residue`.
const fn residue(name: &'static str, attack: fn(&Plan) -> Attempt, residue: Residue) -> Probe {
    Probe {
        name,
        attack: Attack::Function(attack),
        holds_from: Level::Two,
        residue: Some(residue),
        tool: false,
    }
}

const fn denied(name: &'static str, number: libc::c_long, args: [i64; 5]) -> Probe {
    Probe {
        name,
        attack: Attack::Call(number, args),
        holds_from: Level::One,
        residue: None,
        tool: false,
    }
}

const fn tool(name: &'static str, attack: fn(&Plan) -> Attempt) -> Probe {
    let mut probe = held(name, attack);
    probe.tool = true;
    probe
}

/// By design at level 1, so it is told whatever the probe sees.
pub(crate) const MODEL_PORT: Residue = Residue {
    short: "one port of other hosts",
    sentence: "Agents can connect to any host that this machine can connect to, on the one port number that their model \
        proxy has for the run; a firewall or network policy has to close that.",
};
const METADATA: Residue = Residue {
    short: "metadata of outside files",
    sentence: "Agents can see that files outside exist, and change mode, owner, times and attributes of those that belong \
        to their own user; they cannot read or write them.",
};
const WATCHING: Residue = Residue {
    short: "watching files outside",
    sentence: "Agents can watch when files outside are opened that their own user may read.",
};

/// An address that nothing is mapped at.
const NOWHERE: i64 = 1;
/// A descriptor that cannot be.
const NONE: i64 = -1;

/// Every attack, by topic.
pub(crate) const PROBES: &[Probe] = &[
    // Network.
    held("tcp_nats", network::tcp_to_nats),
    held("tcp_metrics", network::tcp_to_metrics),
    held("tcp_other_run", network::tcp_to_another_run),
    residue("tcp_other_host", network::tcp_to_another_host, MODEL_PORT),
    held("tcp_ipv6", network::tcp_over_ipv6),
    held("tcp_mapped_address", network::tcp_by_mapped_address),
    held("mptcp", network::multipath_tcp),
    held("fastopen_sendto", network::fast_open_by_sendto),
    held("fastopen_sendmsg", network::fast_open_by_sendmsg),
    held("fastopen_sendmmsg", network::fast_open_by_sendmmsg),
    held("listen_without_bind", network::listening_without_bind),
    held("listen_on_any_port", network::listening_on_any_port),
    held("udp", network::udp),
    held("udp_ipv6", network::udp_over_ipv6),
    held("dns", network::dns),
    held("icmp", network::icmp),
    held("raw_ip", network::raw_ip),
    held("raw_ipv6", network::raw_ipv6),
    held("packet_socket", network::packet_socket),
    held("netlink", network::netlink),
    held("vsock", network::vsock),
    held("other_socket_families", network::other_families),
    // Unix sockets and terminals.
    held("unix_stream", unix_sockets::stream_in_the_file_system),
    held("unix_datagram", unix_sockets::datagram_in_the_file_system),
    held("unix_abstract_stream", unix_sockets::abstract_stream),
    held("unix_abstract_datagram", unix_sockets::abstract_datagram),
    held("unix_socketpair_datagram", unix_sockets::datagram_by_socketpair),
    held("unix_socketpair_raw", unix_sockets::datagram_by_raw_socketpair),
    held("unix_socketpair_abstract", unix_sockets::abstract_by_socketpair),
    held("terminal_typing", terminal::typing),
    held("tiocsti", terminal::typing_call),
    held("tioclinux", terminal::pasting_call),
    // Files.
    held("read_secret", files::read_a_secret),
    held("read_other_run", files::read_another_run),
    held("read_by_proc_root", files::read_by_proc_self_root),
    held("read_by_symlink", files::read_by_symlink),
    held("list_outside", files::list_outside),
    held("write_by_symlink", files::write_by_symlink),
    held("append_outside", files::append_outside),
    held("truncate_outside", files::truncate_outside),
    held("create_outside", files::create_outside),
    held("mkdir_outside", files::make_a_folder_outside),
    held("symlink_outside", files::symlink_outside),
    held("unlink_outside", files::unlink_outside),
    held("link_in", files::link_in),
    held("link_out", files::link_out),
    held("move_in", files::move_in),
    held("move_out", files::move_out),
    held("open_by_handle", files::open_by_handle),
    held("open_device", files::open_a_device),
    held("make_device", files::make_a_device),
    held("write_kernel_settings", files::kernel_settings),
    held("write_sysrq", files::sysrq),
    held("write_cgroup", files::control_groups),
    held("lock_outside", metadata::lock),
    held("times_by_descriptor", metadata::times_by_descriptor),
    residue("chmod_outside", metadata::mode, METADATA),
    residue("chown_outside", metadata::owner, METADATA),
    residue("utimes_outside", metadata::times, METADATA),
    residue("setxattr_outside", metadata::attribute, METADATA),
    residue("stat_outside", metadata::existence, METADATA),
    residue("inotify_outside", metadata::watch, WATCHING),
    // Processes.
    held("proc_environ", processes::environment),
    held("proc_root", processes::root),
    held("proc_cwd", processes::working_directory),
    held("proc_fd", processes::open_files),
    held("proc_mem", processes::memory_file),
    held("proc_maps", processes::memory_map),
    held("launcher_environ", processes::launcher_environment),
    held("kill_other_run", processes::signal_another_run),
    held("kill_worker", processes::signal_the_worker),
    held("pidfd_send_signal", processes::signal_by_descriptor),
    held("signal_by_owned_file", processes::signal_by_an_owned_file),
    held("stop_killer", processes::stop_the_killer),
    held("prlimit_worker", tampering::limit_the_worker),
    held("prlimit_other_run", tampering::limit_another_run),
    held("setpriority_worker", tampering::slow_the_worker),
    held("setpriority_other_run", tampering::slow_another_run),
    held("sched_setaffinity_worker", tampering::pin_the_worker),
    held("sched_setaffinity_other_run", tampering::pin_another_run),
    held("sched_setscheduler_worker", tampering::reschedule_the_worker),
    held("sched_setscheduler_other_run", tampering::reschedule_another_run),
    held("ioprio_set_worker", tampering::delay_the_worker),
    held("ioprio_set_other_run", tampering::delay_another_run),
    held("ptrace", tampering::trace),
    held("process_vm_readv", tampering::read_memory),
    held("process_vm_writev", tampering::write_memory),
    held("pidfd_getfd", tampering::take_a_descriptor),
    held("kcmp", tampering::compare),
    // What is shared by number or name.
    held("sysv_shm", ipc::shared_memory),
    held("sysv_msg", ipc::message_queue),
    held("sysv_sem", ipc::semaphores),
    held("posix_mq", ipc::posix_queue),
    held("dev_shm", ipc::shared_memory_file),
    held("sysv_shm_left", ipc::leave_shared_memory),
    held("sysv_msg_left", ipc::leave_a_message_queue),
    held("sysv_sem_left", ipc::leave_semaphores),
    held("posix_mq_left", ipc::leave_a_posix_queue),
    held("dev_shm_left", ipc::leave_a_shared_memory_file),
    // Who the program is.
    held("leaked_descriptor", identity::leaked_descriptors),
    held("capabilities", identity::capabilities),
    held("capabilities_by_exec", identity::capabilities_by_exec),
    held("new_privileges", identity::privileges_by_exec),
    held("no_filter", identity::no_filter),
    held("being_root", identity::being_root),
    held("becoming_root", identity::becoming_root),
    held("root_group", identity::being_in_the_root_group),
    held("missing_limits", identity::missing_limits),
    held("inherited_environment", identity::inherited_environment),
    // The kernel.
    held("unshare", kernel::unshare),
    held("clone_namespaces", kernel::clone),
    held("clone3", kernel::clone3),
    held("calls_of_32_bits", kernel::calls_of_32_bits),
    held("calls_of_x32", kernel::calls_of_x32),
    held("memfd_create", kernel::memory_without_a_file),
    held("socket_buffer_size", kernel::large_socket_buffer),
    held("not_dumpable", kernel::closed_to_its_user),
    held("add_key", kernel::add_a_key),
    denied("unshare_user", libc::SYS_unshare, [0x1000_0001, 0, 0, 0, 0]),
    denied("setns", libc::SYS_setns, [NONE, 0, 0, 0, 0]),
    // KEYCTL_GET_KEYRING_ID of the session's keyring.
    denied("keyctl", libc::SYS_keyctl, [0, -3, 0, 0, 0]),
    denied("request_key", libc::SYS_request_key, [NOWHERE, NOWHERE, 0, 0, 0]),
    denied("io_uring_setup", libc::SYS_io_uring_setup, [1, NOWHERE, 0, 0, 0]),
    denied("io_uring_enter", libc::SYS_io_uring_enter, [NONE, 0, 0, 0, 0]),
    denied(
        "io_uring_register",
        libc::SYS_io_uring_register,
        [NONE, 0, 0, 0, 0],
    ),
    // UFFD_USER_MODE_ONLY with a flag that does not exist.
    denied("userfaultfd", libc::SYS_userfaultfd, [0x1 | 0x2, 0, 0, 0, 0]),
    denied(
        "perf_event_open",
        libc::SYS_perf_event_open,
        [NOWHERE, 0, NONE, NONE, 0],
    ),
    denied("bpf", libc::SYS_bpf, [9999, 0, 0, 0, 0]),
    // Open files of a thread's own, with a flag that is missing, and one that does not exist.
    denied(
        "thread_with_own_files",
        libc::SYS_clone,
        [libc::CLONE_THREAD as i64, 0, 0, 0, 0],
    ),
    denied(
        "close_range_unshare",
        libc::SYS_close_range,
        [NONE, NONE, 0x2 | 0x4000_0000, 0, 0],
    ),
    // TCP_ULP.
    denied("tcp_upper_layer", libc::SYS_setsockopt, [NONE, 6, 31, NOWHERE, 0]),
    denied("process_madvise", libc::SYS_process_madvise, [NONE, 0, 0, 0, 0]),
    denied(
        "name_to_handle_at",
        libc::SYS_name_to_handle_at,
        [NONE, NOWHERE, NOWHERE, NOWHERE, 0],
    ),
    denied("setxattrat", 463, [NONE, NOWHERE, 0, NOWHERE, NOWHERE]),
    denied("removexattrat", 466, [NONE, NOWHERE, 0, NOWHERE, 0]),
    denied("file_setattr", 469, [NONE, NOWHERE, NOWHERE, 0, 0]),
    denied("vmsplice", libc::SYS_vmsplice, [NONE, NOWHERE, 1, 0, 0]),
    denied(
        "pipe_size",
        libc::SYS_fcntl,
        [NONE, libc::F_SETPIPE_SZ as i64, 1 << 20, 0, 0],
    ),
    denied(
        "open_by_handle_at",
        libc::SYS_open_by_handle_at,
        [NONE, NOWHERE, 0, 0, 0],
    ),
    denied("fanotify_init", libc::SYS_fanotify_init, [NONE, NONE, 0, 0, 0]),
    denied("mount", libc::SYS_mount, [0, NOWHERE, 0, 0, 0]),
    denied("umount", libc::SYS_umount2, [NOWHERE, 0, 0, 0, 0]),
    denied("pivot_root", libc::SYS_pivot_root, [NOWHERE, NOWHERE, 0, 0, 0]),
    denied("chroot", libc::SYS_chroot, [NOWHERE, 0, 0, 0, 0]),
    denied("fsopen", libc::SYS_fsopen, [NOWHERE, 0, 0, 0, 0]),
    denied("fsconfig", libc::SYS_fsconfig, [NONE, 0, 0, 0, 0]),
    denied("fsmount", libc::SYS_fsmount, [NONE, 0, 0, 0, 0]),
    denied("fspick", libc::SYS_fspick, [NONE, NOWHERE, 0, 0, 0]),
    denied("open_tree", libc::SYS_open_tree, [NONE, NOWHERE, 0, 0, 0]),
    denied(
        "move_mount",
        libc::SYS_move_mount,
        [NONE, NOWHERE, NONE, NOWHERE, 0],
    ),
    denied(
        "mount_setattr",
        libc::SYS_mount_setattr,
        [NONE, NOWHERE, 0, NOWHERE, 0],
    ),
    denied("init_module", libc::SYS_init_module, [NOWHERE, 0, NOWHERE, 0, 0]),
    denied("finit_module", libc::SYS_finit_module, [NONE, NOWHERE, 0, 0, 0]),
    denied("delete_module", libc::SYS_delete_module, [NOWHERE, 0, 0, 0, 0]),
    // More segments than there may be.
    denied("kexec_load", libc::SYS_kexec_load, [0, 1 << 20, NOWHERE, 0, 0]),
    denied("swapon", libc::SYS_swapon, [NOWHERE, 0, 0, 0, 0]),
    denied("swapoff", libc::SYS_swapoff, [NOWHERE, 0, 0, 0, 0]),
    denied("acct", libc::SYS_acct, [NOWHERE, 0, 0, 0, 0]),
    // Without the magic numbers nothing is restarted.
    denied("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
    // The size of the kernel's log.
    denied("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
];

/// What has to work inside a cell, at every level.
pub(crate) const POSITIVES: &[Probe] = &[
    held("model_port", positive::model_port),
    held("work_tree", positive::work_tree),
    held("home", positive::home),
    held("tmp", positive::temporary_folder),
    held("own_memory_map", positive::own_memory_map),
    held("child_reads_proc_self", positive::child_reads_proc_self),
    held("devices", positive::null_device),
    held("threads", positive::threads),
    held("socket_pair", positive::socket_pair),
    held("signals_among_its_own", positive::signals_among_its_own),
    held("clone3_is_unknown", positive::clone3_is_unknown),
    held("shell", positive::shell),
    tool("git", positive::git),
    tool("compiler", positive::compiler),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_probe_has_a_name_of_its_own() {
        let names: Vec<&str> = PROBES.iter().chain(POSITIVES).map(|probe| probe.name).collect();
        let distinct: HashSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn what_level_1_does_not_hold_is_told_to_operators() {
        for probe in PROBES.iter().chain(POSITIVES) {
            assert_eq!(
                probe.holds_from == Level::One,
                probe.residue.is_none(),
                "{}",
                probe.name
            );
        }
    }
}
