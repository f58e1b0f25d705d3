//! Processes: forking, reaping, and who descends from whom.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

/// One process as `/proc` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) threads: u64,
    /// Its first thread has ended and others go on.
    pub(super) headless: bool,
}

impl Process {
    /// Where `/proc` shows what it holds. Of a process whose first thread has ended, that is under another one: under
    /// its own number it looks like a zombie, which holds nothing.
    pub(super) fn shown_in(&self) -> PathBuf {
        let own = PathBuf::from(format!("/proc/{}", self.pid));
        if !self.headless {
            return own;
        }
        let first = self.pid.to_string();
        let threads = fs::read_dir(own.join("task")).into_iter().flatten().flatten();
        threads
            .map(|thread| thread.path())
            .find(|path| !path.ends_with(&first))
            .unwrap_or(own)
    }
}

/// Forks with the given `CLONE_NEW*` flags. `None` is the child.
pub(super) fn fork(namespaces: libc::c_int) -> io::Result<Option<Pid>> {
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no new stack this is fork(2) as the kernel defines it: the child gets a copy of
    // everything. The caller has one thread, so no lock can be held by a thread that the child lacks.
    #[expect(unsafe_code, reason = "no crate in use wraps clone with namespace flags")]
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(pid).ok().and_then(Pid::from_raw))
}

/// Has the signals that ask a process to end ignored (`SIG_IGN`), or minded again (`SIG_DFL`). A service manager sends
/// them to every process of a service; it is the worker that then ends its runs in order.
pub(super) fn polite_signals(action: libc::sighandler_t) -> io::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: neither action is a handler, so nothing of this program is called.
        #[expect(unsafe_code, reason = "rustix does not set signal actions")]
        let before = unsafe { libc::signal(signal, action) };
        if before == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Reaps one ended child, if there is one. `Err(CHILD)` says that there are no children at all.
pub(super) fn reap() -> Result<Option<(Pid, WaitStatus)>, Errno> {
    rustix::process::wait(WaitOptions::NOHANG)
}

/// Every living process that descends from `root`, without `root` itself. Fails where `root`, which may be dead but not
/// reaped, is not to be seen: then others are not either.
///
/// A snapshot: who forks while it is taken may be missing. Good for counting, not for killing.
pub(super) fn below(root: Pid) -> io::Result<Vec<Process>> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    let mut seen = false;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw)
        else {
            continue;
        };
        seen |= pid == root;
        let stat = match fs::read(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            // Gone since the directory was read.
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        if let Some(stat) = Stat::of(&String::from_utf8_lossy(&stat)) {
            children.entry(stat.parent).or_default().push(Process {
                pid,
                threads: stat.threads,
                headless: stat.ended && stat.threads > 0,
            });
        }
    }
    if !seen {
        return Err(io::Error::other("/proc does not show them"));
    }
    let mut found = Vec::new();
    let mut parents = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        for process in children.remove(&parent).unwrap_or_default() {
            parents.push(process.pid.as_raw_nonzero().get());
            // Zombies have no threads here; they still have to be walked through.
            if process.threads > 0 {
                found.push(process);
            }
        }
    }
    Ok(found)
}

/// Whether a process has let go of its memory: it is about to end, and until then `/proc` closes it to its own user.
pub(super) fn is_ending(process: &Process) -> bool {
    let status = text_of(process.shown_in().join("status"));
    status.is_none_or(|status| !status.lines().any(|line| line.starts_with("VmSize:")))
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::SRCH)
}

/// Whether a process of one thread has children, living or not. `None` where this kernel does not tell.
pub(super) fn has_children(parent: Pid) -> Option<bool> {
    let children = fs::read(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Some(!children.is_empty())
}

/// A file of `/proc`, whatever bytes the process has called itself.
pub(super) fn text_of(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What of a `/proc/PID/stat` matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// The first thread has ended.
    ended: bool,
    parent: i32,
    /// Those that live; 0 of a zombie.
    threads: u64,
}

impl Stat {
    fn of(stat: &str) -> Option<Self> {
        // The name in parentheses may contain anything, also parentheses and line ends.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        // After the parent (field 4) the number of threads is field 20. The first one counts until it is reaped.
        let threads: u64 = fields.nth(15)?.parse().ok()?;
        Some(Self {
            ended,
            parent,
            threads: threads.saturating_sub(ended.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_process_calls_itself() {
        let of = |name: &str, state: &str, threads: u64| {
            let stat =
                format!("17 ({name}) {state} 1 17 17 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 2213 9 9");
            Stat::of(&stat).map(|stat| (stat.ended, stat.parent, stat.threads))
        };
        assert_eq!(of("a", "S", 3), Some((false, 1, 3)));
        assert_eq!(of("x) S 99 ", "R", 3), Some((false, 1, 3)));
        assert_eq!(of("gone", "Z", 1), Some((true, 1, 0)));
        assert_eq!(of("headless", "Z", 3), Some((true, 1, 2)));
        assert_eq!(Stat::of("17 (cut"), None);
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let parent = rustix::process::getppid().unwrap();
        let me = rustix::process::getpid();
        assert!(below(parent).unwrap().iter().any(|process| process.pid == me));
        assert!(below(me).unwrap().iter().all(|process| process.pid != me));
    }

    #[test]
    fn a_process_has_children_when_it_has() {
        use std::io::{BufRead as _, BufReader};
        for (script, has) in [("sleep 100 & echo; wait", true), ("echo; read word", false)] {
            #[expect(clippy::disallowed_methods, reason = "somebody to look at")]
            let mut shell = std::process::Command::new("/bin/sh")
                .args(["-c", script])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            BufReader::new(shell.stdout.as_mut().unwrap())
                .read_line(&mut String::new())
                .unwrap();
            let pid = Pid::from_raw(shell.id().cast_signed()).unwrap();
            assert_eq!(has_children(pid), Some(has), "{script}");
            assert_eq!(!below(pid).unwrap().is_empty(), has, "{script}");
            for process in below(pid).unwrap() {
                rustix::process::kill_process(process.pid, rustix::process::Signal::KILL).unwrap();
            }
            shell.kill().unwrap();
            shell.wait().unwrap();
        }
    }
}
