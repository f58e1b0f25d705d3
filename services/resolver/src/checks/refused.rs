//! Whether a failed check met the sandbox instead of a fault: at level 1 `bind`, `listen` and `connect` are refused, so
//! tests that serve or ask on loopback fail there whatever the code does (sandbox.md, Agents inside).

/// How runtimes spell EACCES and EPERM.
const REFUSALS: [&str; 6] = [
    "permission denied",
    "operation not permitted",
    "eacces",
    "eperm",
    "permissionerror",
    "permissiondenied",
];
/// Words for what was refused, at the start of a word.
const CALLS: [&str; 6] = ["bind", "listen", "connect", "socket", "dial", "tcp"];
/// Lines before the refusal in which the call may be named: a stack trace has its innermost call close by.
const LINES_BEFORE: usize = 6;

/// Whether the output names a refused network call. A refused *file* does not count, and neither does a refusal that
/// names no call: better a red check too many than a fault explained away.
pub(super) fn names_a_refused_socket(output: &str) -> bool {
    let output = output.to_ascii_lowercase();
    let lines: Vec<&str> = output.lines().collect();
    lines.iter().enumerate().any(|(at, line)| {
        REFUSALS.iter().any(|refusal| line.contains(refusal))
            && lines[at.saturating_sub(LINES_BEFORE)..=at]
                .iter()
                .any(|line| CALLS.iter().any(|call| has_word(line, call)))
    })
}

/// Whether a word of the line starts with `start`: `bind` is in `sock.bind(…)` and not in `rebind`.
fn has_word(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        // `TcpListener::bind` and `bind_tcp` count, `disconnect` does not.
        before.is_none_or(|before| !before.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_sockets_of_every_runtime_are_known() {
        for output in [
            "Error: listen EPERM: operation not permitted 127.0.0.1:3000",
            "Error: connect EACCES 127.0.0.1:5432",
            "listen tcp 127.0.0.1:0: bind: permission denied",
            "dial tcp 127.0.0.1:80: connect: permission denied",
            "httptest: failed to listen on a port: listen tcp6 [::1]:0: socket: operation not permitted",
            "  File \"server.py\", line 3, in start\n    sock.bind(('127.0.0.1', 0))\nPermissionError: [Errno 13] Permission denied",
            "java.net.SocketException: Permission denied (listen failed)",
            "called `TcpListener::bind` on an `Err` value: Os { code: 13, kind: PermissionDenied, message: \"Permission denied\" }",
        ] {
            assert!(names_a_refused_socket(output), "{output}");
        }
    }

    #[test]
    fn other_failures_stay_failures() {
        for output in [
            "",
            "test tests::connects ... FAILED\nassertion failed: left == right",
            "sh: 1: ./run.sh: Permission denied",
            "cannot open /etc/shadow: Permission denied",
            "PermissionError: [Errno 13] Permission denied: '/root/x'",
            "connection refused",
            "listen tcp 127.0.0.1:80: bind: address already in use",
            "rebind failed: Permission denied",
        ] {
            assert!(!names_a_refused_socket(output), "{output}");
        }
        let far = format!(
            "listen on port 80\n{}Permission denied: file.txt",
            "ok\n".repeat(10)
        );
        assert!(!names_a_refused_socket(&far));
    }
}
