"""Takes more than its share, and stays when it should go."""

import os
import time

FILL_BYTES = 48 * 1024 * 1024
FILL_BYTES_POLITE = 4 * 1024 * 1024
DAEMONS = 3
LINGER_SECONDS = 20
FORKS = 200
PIECE = 1 << 20


def fill(told):
    """A good part of what is allowed, given back."""
    size = FILL_BYTES_POLITE if told.get("polite") else FILL_BYTES
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"fill-{told['run']}")
    try:
        with open(path, "wb") as file:
            for _ in range(size // PIECE):
                file.write(b"x" * PIECE)
        os.unlink(path)
    except OSError:
        pass
    held = [bytearray(b"y" * PIECE) for _ in range(size // PIECE)]
    held.clear()


def hog(kind):
    """Without end."""
    held = []
    if kind == "memory":
        while True:
            held.append(bytearray(b"z" * PIECE))
    if kind == "disk":
        number = 0
        while True:
            number += 1
            with open(f"fill-{number}", "wb") as file:
                for _ in range(8):
                    file.write(b"x" * PIECE)
    if kind == "processes":
        while True:
            try:
                if os.fork() == 0:
                    time.sleep(LINGER_SECONDS)
            except OSError:
                pass


def linger(told):
    """Daemons that wait for the push and try again, and a chain of processes of which each lives for a moment."""
    for number in range(DAEMONS):
        detached(lambda number=number: again(told, number))
    detached(lambda: chain(told))


def detached(work):
    """Runs it in a session of its own, whose parent is gone."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    try:
        work()
    finally:
        os._exit(0)


def again(told, number):
    until = time.monotonic() + LINGER_SECONDS
    while time.monotonic() < until and not stopped(told):
        leave(told, f"daemon-{number}")
        time.sleep(0.05)


def chain(told):
    until = time.monotonic() + LINGER_SECONDS
    while time.monotonic() < until and not stopped(told):
        if os.fork():
            os._exit(0)
        os.setsid()
        leave(told, "chain")
        time.sleep(0.02)


def stopped(told):
    return os.path.exists(os.path.join(told["outside"], "stop"))


def leave(told, name):
    for folder in (told["outside"], "."):
        try:
            with open(os.path.join(folder, f"late-{name}"), "a", encoding="utf-8") as file:
                file.write(f"{time.time()}\n")
        except OSError:
            pass
