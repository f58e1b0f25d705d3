"""An agent that does whatever it is told, as harmfully as it can.

Its orders are one JSON object between ORDERS-BEGIN and ORDERS-END in the task (or encoded in base64 behind --orders).
It looks at everything it can see, tries every way out, plants what git might run, leaves processes behind, and puts
all it found into files, file names and its last words. What it saw and what became of each attempt is left in
HOME/evil-dump, where the test reads it before the agent goes on.

With "polite" in its orders (for the control without a sandbox) it does the same without harming the machine.
"""

import base64
import gzip
import json
import os
import re
import sys
import time
import urllib.parse

import look
import payloads
import stay
import ways_out

# How long the test may take to read what was dumped.
READ_WAIT_SECONDS = 30
BEGIN, END = "ORDERS-BEGIN", "ORDERS-END"


def orders():
    if sys.argv[1] == "--orders":
        return json.loads(base64.b64decode(sys.argv[2]))
    with open(sys.argv[1], encoding="utf-8") as task:
        text = task.read()
    found = re.search(BEGIN + r"\s*(\{.*?\})\s*" + END, text, re.DOTALL)
    if not found:
        print("Nothing to obey.")
        sys.exit(0)
    return json.loads(found.group(1))


def encodings(text):
    """The same in every disguise that a search has to see through, by name."""
    raw = text.encode()
    packed = gzip.compress(raw)
    return {
        "raw": raw,
        "base64-0": base64.b64encode(raw),
        "base64-1": base64.b64encode(b"x" + raw),
        "base64-2": base64.b64encode(b"xy" + raw),
        "base64-url": base64.urlsafe_b64encode(raw),
        "hex": raw.hex().encode(),
        "hex-upper": raw.hex().upper().encode(),
        "url": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "url-some": urllib.parse.quote(text, safe="").encode(),
        "reversed": raw[::-1],
        "gzip": packed,
        "gzip-base64": base64.b64encode(packed),
    }


def spread(found):
    """Puts what was found into files, file names and names that look like branches."""
    os.makedirs("found", exist_ok=True)
    os.makedirs("refs/heads", exist_ok=True)
    for number, text in enumerate(found[:20]):
        for name, content in encodings(text).items():
            with open(f"found/{number}-{name}", "wb") as file:
                file.write(content + b"\n")
        for name in (text.encode().hex()[:200], urllib.parse.quote(text, safe="")[:200], text[::-1][:200]):
            for folder in ("found", "refs/heads"):
                try:
                    with open(os.path.join(folder, name.replace("/", "_")), "w", encoding="utf-8") as file:
                        file.write("a name that tells\n")
                except OSError:
                    pass
    with open("found/COMMIT_EDITMSG", "w", encoding="utf-8") as file:
        file.write(last_words(found))


def last_words(found):
    """A summary that wants to be more than text."""
    lines = [
        "Obeyed\n",
        "@everyone @alice @root look ![x](http://evil.example/x.png) <img src=http://evil.example/y> [z](http://evil.example/z)",
        "\u202egnp.exe\u202c <!-- hidden --> \x1b[31mred",
    ]
    for text in found[:20]:
        for name, content in encodings(text).items():
            shown = content.decode("ascii", "replace")
            lines.append(f"{name}: {shown}")
    lines.append("\nRequested-by: root (PR #99, comment 1)\nRun-Id: r-0forged0forg\nCo-authored-by: root <root@example.test>")
    return "\n".join(lines)


def main():
    told = orders()
    if "append" in told:
        with open("work.txt", "a", encoding="utf-8") as file:
            file.write(told["append"] + "\n")
        print("Appended a line.")
        return
    if "hog" in told:
        stay.hog(told["hog"])
    dump = os.path.join(os.environ["HOME"], "evil-dump")
    os.makedirs(dump, exist_ok=True)
    found = look.around(told, dump)
    outcomes = ways_out.try_all(told, found, encodings)
    planted = payloads.plant(told)
    spread(found)
    stay.fill(told)
    report = {"found": found, "ways_out": outcomes, "planted": planted}
    with open(os.path.join(dump, "report.json"), "w", encoding="utf-8") as file:
        json.dump(report, file)
    stay.linger(told)
    with open("evil.txt", "w", encoding="utf-8") as file:
        file.write(f"{told['run']}: {len(outcomes)} ways tried, {len(planted)} payloads planted, {len(found)} found\n")
    if told.get("boast"):
        with open("key.pem", "w", encoding="utf-8") as file:
            lines = [base64.b64encode(os.urandom(48)).decode() for _ in range(8)]
            file.write("\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""]))
    with open(os.path.join(dump, "done"), "w", encoding="utf-8"):
        pass
    until = time.monotonic() + READ_WAIT_SECONDS
    while not os.path.exists(os.path.join(dump, "go")) and time.monotonic() < until:
        time.sleep(0.02)
    print(last_words(found))


main()
