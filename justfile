# Called through ./dev, which puts just and nats-server on PATH. Without a recipe: the list of recipes.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

me := "'" + just_executable() + "' --justfile '" + justfile() + "'"

[private]
default:
    @{{ me }} --list --unsorted

# Simulated Bitbucket, model and pipeline on this machine; prints a URL. --once: exit after the first run
[no-exit-message]
demo *args:
    @{{ me }} _binaries dev
    @exec "$({{ me }} _target)/debug/demo" "$@"

# Everything CI checks; with a filter: only the tests whose names contain it
[no-exit-message]
test *filter:
    @[ $# -gt 0 ] || {{ me }} lint
    @{{ me }} _tests "$@"

# Formatting, clippy, documentation, deploy/: without running a test
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
    deploy/lint

# One scenario test with its output: ./dev scenario a_mention_ends
scenario *name:
    @{{ me }} _binaries dev
    cargo build --workspace --bins --locked
    cargo test --package tests --test scenarios --locked -- --nocapture "$@"

# Ratios against plain git and plain NATS, measured in the same run; writes bench/results/
[no-exit-message]
bench *args:
    @{{ me }} _binaries bench-run
    @exec "$({{ me }} _target)/bench-run/bench" "$@"

# Real coding agents through the whole pipeline: installs them into a cache, prints a table; with names: only those
[no-exit-message]
agents *names:
    @{{ me }} _binaries dev
    @exec "$({{ me }} _target)/debug/real-agents" "$@"

# Long sequences: ignored tests and many more generated cases
soak cases="20000":
    @{{ me }} _binaries dev
    cargo build --workspace --bins --locked
    PROPTEST_CASES={{ cases }} cargo test --workspace --no-fail-fast --locked -- --include-ignored

# Licences, bans, advisories and sources of dependencies; needs the network
audit:
    @cargo deny --version >/dev/null 2>&1 || { echo "installing cargo-deny (a few minutes, once)" >&2; cargo install --locked cargo-deny; }
    cargo deny --workspace check

# Formats the sources
fmt:
    cargo fmt --all

# One build of all programs, so that no dependency is built twice with other features. The first takes minutes: a
# terminal sees cargo's progress, a log one line.
[private]
[no-exit-message]
_binaries profile:
    @quiet=; [ -t 2 ] || { quiet=--quiet; echo "building the programs: minutes the first time" >&2; }; \
        cargo build $quiet --workspace --bins --locked --profile {{ profile }}

# Where cargo puts what it builds.
[private]
_target:
    @cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'

# Tests, and snapshot files that no test refers to any more. Last, so that cargo's closing lines end the output.
[private]
[no-exit-message]
_tests *filter:
    #!/usr/bin/env bash
    set -euo pipefail
    # The scenarios run the executable, which cargo test alone does not build.
    cargo build --workspace --bins --locked
    export INSTA_SNAPSHOT_REFERENCES_FILE="$(mktemp)"
    trap 'rm -f "$INSTA_SNAPSHOT_REFERENCES_FILE"' EXIT
    failed=0
    cargo test --workspace --exclude tests --no-fail-fast --locked -- "$@" || failed=$?
    # Scenarios wait for other processes half of the time.
    threads=$(($(getconf _NPROCESSORS_ONLN) + 1))
    cargo test --package tests --no-fail-fast --locked -- --test-threads "$threads" "$@" || failed=$?
    [ "$failed" = 0 ] || exit "$failed"
    [ $# -gt 0 ] || python3 - "$INSTA_SNAPSHOT_REFERENCES_FILE" <<'PYTHON'
    import os, sys
    used = {os.path.realpath(line.strip()) for line in open(sys.argv[1])}
    stale = []
    for folder, folders, files in os.walk("."):
        folders[:] = [name for name in folders if name not in ("target", ".git", ".tools")]
        paths = [os.path.join(folder, name) for name in files]
        stale += [path for path in paths if path.endswith((".snap.new", ".pending-snap"))]
        stale += [path for path in paths if path.endswith(".snap") and os.path.realpath(path) not in used]
    if stale:
        sys.exit("snapshots that are pending or that no test refers to:\n  " + "\n  ".join(sorted(stale)))
    PYTHON
