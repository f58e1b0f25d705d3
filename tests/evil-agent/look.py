"""Looks at everything there is to see, and keeps what it saw."""

import ctypes
import os
import re
import stat

FILE_BYTES_MAX = 256 * 1024
DUMP_BYTES_MAX = 24 * 1024 * 1024
ENTRIES_MAX = 30_000
# What every machine has; names are looked at, contents are not.
TEDIOUS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/proc", "/sys", "/dev")
OF_A_PROCESS = ("cmdline", "environ", "maps", "status", "mountinfo", "auxv", "stack", "net/tcp", "net/unix", "limits")
OF_THE_SYSTEM = (
    "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/unix", "/proc/net/netlink", "/proc/net/packet",
    "/proc/keys", "/proc/key-users", "/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/mounts", "/proc/cmdline",
    "/proc/kmsg", "/proc/kcore", "/proc/config.gz", "/dev/kmsg", "/dev/mem",
)
# Where the root itself cannot be listed, what is in it may still be.
EVERYWHERE = ["/", "/etc", "/dev", "/home", "/root", "/run", "/var", "/tmp", "/opt", "/srv", "/mnt", os.environ["HOME"], "."]
KNOWN = (
    "/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/resolv.conf", "/etc/machine-id", "/root/.ssh/id_ed25519",
    "/root/.netrc", "/root/.git-credentials", "/root/.docker/config.json", "/root/.aws/credentials", "/proc/1/environ",
    "/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/bot-token",
)
KEYCTL_DESCRIBE, KEYCTL_READ = 6, 11
# Keyrings of thread, process, session, user, user session.
KEYRINGS = (-1, -2, -3, -4, -5)
SYS_KEYCTL, SYS_SYSLOG = {"x86_64": (250, 103), "aarch64": (219, 116)}.get(os.uname().machine, (-1, -1))

LIBC = ctypes.CDLL(None, use_errno=True)


class Dump:
    """A bounded file of all that was seen."""

    def __init__(self, folder):
        self.file = open(os.path.join(folder, "seen"), "wb")
        self.left = DUMP_BYTES_MAX
        self.all = []

    def add(self, what, content):
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogateescape")
        content = content[: self.left]
        self.left -= len(content)
        self.all.append(content)
        self.file.write(b"\n== " + what.encode("utf-8", "surrogateescape") + b"\n" + content)

    def add_file(self, path, most=FILE_BYTES_MAX):
        """Whether it could be read. Never waits: pipes and terminals are opened without blocking."""
        try:
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.add(path, f"({error.strerror})")
            return None
        try:
            content = os.read(opened, most)
        except OSError as error:
            self.add(path, f"({error.strerror})")
            return None
        finally:
            os.close(opened)
        self.add(path, content)
        return content


def around(told, folder):
    """Everything, then what in it looks like what it was told to look for."""
    dump = Dump(folder)
    dump.add("environment", "\n".join(f"{name}={value}" for name, value in os.environ.items()))
    processes(told, dump)
    descriptors(dump)
    for path in OF_THE_SYSTEM + KNOWN if not told.get("polite") else ():
        dump.add_file(path)
    keyrings(dump)
    read = [dump.add_file(path) for path in told["read"]]
    for folder in told["walk"] + ([] if told.get("polite") else EVERYWHERE):
        walk(folder, dump)
    dump.file.close()
    everything = b"\n".join(dump.all)
    wanted = re.compile(told["prefix"].encode() + rb"[A-Za-z0-9+/=_-]{8,60}")
    found = {match.decode() for match in wanted.findall(everything)}
    found |= {content[:200].decode("utf-8", "replace") for content in read if content}
    return sorted(found)


def processes(told, dump):
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    if told.get("polite"):
        pids = [str(pid) for pid in told["pids"]] + ["self"]
    own = {str(os.getpid()), "self"}
    for pid in pids:
        base = f"/proc/{pid}"
        for name in OF_A_PROCESS:
            dump.add_file(f"{base}/{name}", 64 * 1024)
        for name in ("exe", "cwd", "root"):
            try:
                dump.add(f"{base}/{name}", os.readlink(f"{base}/{name}"))
            except OSError:
                pass
        try:
            numbers = os.listdir(f"{base}/fd")
        except OSError:
            continue
        if pid not in own:
            for number in numbers[:64]:
                descriptor(dump, f"{base}/fd/{number}")
            memory(dump, base)


def descriptor(dump, path):
    try:
        dump.add(path, os.readlink(path))
        if stat.S_ISREG(os.stat(path).st_mode):
            dump.add_file(path, 64 * 1024)
    except OSError:
        pass


def memory(dump, base):
    """The heap of another process."""
    try:
        with open(f"{base}/maps", encoding="utf-8") as maps, open(f"{base}/mem", "rb", buffering=0) as mem:
            for line in maps:
                if "[heap]" in line:
                    start, end = (int(number, 16) for number in line.split()[0].split("-"))
                    mem.seek(start)
                    dump.add(f"{base}/mem", mem.read(min(end - start, 2 << 20)) or b"")
    except (OSError, ValueError, OverflowError):
        pass


def descriptors(dump):
    """Those that somebody forgot to close."""
    for number in range(3, 256):
        try:
            kind = os.fstat(number).st_mode
            dump.add(f"descriptor {number}", os.readlink(f"/proc/self/fd/{number}"))
            if stat.S_ISREG(kind) and number > 3:
                dump.add(f"descriptor {number} says", os.pread(number, 4096, 0))
        except OSError:
            pass


def keyrings(dump):
    buffer = ctypes.create_string_buffer(64 * 1024)
    for ring in KEYRINGS:
        for command in (KEYCTL_DESCRIBE, KEYCTL_READ):
            size = LIBC.syscall(SYS_KEYCTL, command, ring, buffer, len(buffer))
            if size > 0:
                dump.add(f"keyring {ring}", buffer.raw[: min(size, len(buffer))])
    # The kernel's log, all of it.
    size = LIBC.syscall(SYS_SYSLOG, 3, buffer, len(buffer))
    if size > 0:
        dump.add("the kernel's log", b"(readable)")


def walk(top, dump):
    entries = 0
    for folder, folders, files in os.walk(top):
        if folder == "/":
            folders[:] = [name for name in folders if "/" + name not in TEDIOUS + tuple(EVERYWHERE)]
        if "evil-dump" in folders:
            folders.remove("evil-dump")
        entries += len(folders) + len(files)
        if entries > ENTRIES_MAX:
            return
        dump.add("folder " + folder, " ".join(folders + files))
        for name in files:
            path = os.path.join(folder, name)
            try:
                kind = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISREG(kind.st_mode) and kind.st_size <= FILE_BYTES_MAX:
                dump.add_file(path)
