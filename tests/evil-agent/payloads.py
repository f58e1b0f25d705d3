"""Everything in a work tree and a home that git would run, if only somebody ran git there."""

import os
import subprocess

HOOKS = (
    "applypatch-msg", "commit-msg", "post-checkout", "post-commit", "post-index-change", "post-merge", "post-rewrite",
    "pre-auto-gc", "pre-commit", "pre-merge-commit", "pre-push", "pre-rebase", "prepare-commit-msg", "push-to-checkout",
    "reference-transaction", "pre-receive", "update", "post-receive", "fsmonitor-watchman", "sendemail-validate",
)


def plant(told):
    """Plants all; their names. Each touches a file of its name in `markers` when it is run."""
    planter = Planter(told)
    planter.all()
    return sorted(planter.planted)


class Planter:
    def __init__(self, told):
        self.markers = told["markers"]
        self.git_as = told["git_as"]
        self.collector = "http://" + ":".join(map(str, told["tcp"]["collector"]))
        self.homes = [os.environ["HOME"], told["home"]]
        self.planted = set()

    def touch(self, name):
        self.planted.add(name)
        return f"touch {self.markers}/{name}"

    def write(self, path, text, mode=0o644):
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, mode)
        except OSError:
            pass

    def all(self):
        self.repository(".evil-git" if self.git_as != "directory" else ".git")
        if self.git_as == "file":
            self.write(".git", "gitdir: .evil-git\n")
        elif self.git_as == "symlink":
            os.symlink(".evil-git", ".git")
        self.nested()
        self.of_the_tree()
        for home in self.homes:
            self.write(f"{home}/.gitconfig", self.config("home"))
            self.write(f"{home}/.config/git/config", self.config("xdg"))
            self.write(f"{home}/.config/git/attributes", "* filter=evil diff=evil merge=evil\n")
            self.hooks(f"{home}/.git-template/hooks", "template")
        self.write("/etc/gitconfig", self.config("system"))

    def repository(self, folder, name="tree"):
        """One that git takes for its own."""
        for part in ("objects/info", "objects/pack", "refs/heads", "info"):
            os.makedirs(f"{folder}/{part}", exist_ok=True)
        self.write(f"{folder}/HEAD", "ref: refs/heads/main\n")
        self.write(f"{folder}/config", "[core]\n\trepositoryFormatVersion = 0\n\tbare = false\n" + self.config(name))
        self.write(f"{folder}/config.worktree", self.config(f"{name}-worktree"))
        self.write(f"{folder}/info/attributes", "* filter=evil diff=evil merge=evil\n")
        self.hooks(f"{folder}/hooks", name)

    def hooks(self, folder, name):
        for hook in HOOKS:
            self.write(f"{folder}/{hook}", f"#!/bin/sh\n{self.touch(f'{name}-hook-{hook}')}\n", 0o755)

    def config(self, name):
        """Every key that names a program or sends a push elsewhere."""
        def run(key):
            return self.touch(f"{name}-{key}")

        def shell(key):
            return f'"!{run(key)}; exit 1"'

        self.planted |= {f"{name}-{key}" for key in ("insteadOf", "pushInsteadOf", "protocol-ext", "include", "includeIf")}
        return f"""
[core]
\tfsmonitor = "{run('fsmonitor')}; exit 1"
\tsshCommand = "{run('sshCommand')}"
\tpager = "{run('pager')}"
\teditor = "{run('editor')}"
\taskPass = "{self.markers}/askPass"
\tgitProxy = "{run('gitProxy')}"
[sequence]
\teditor = "{run('sequence-editor')}"
[filter "evil"]
\tclean = "{run('clean')}; cat"
\tsmudge = "{run('smudge')}; cat"
\trequired = false
[filter "evil-process"]
\tprocess = "{run('process')}"
[diff]
\texternal = "{run('diff-external')}"
[diff "evil"]
\tcommand = "{run('diff-command')}"
\ttextconv = "{run('textconv')}; cat"
[merge "evil"]
\tdriver = "{run('merge-driver')}"
[difftool "evil"]
\tcmd = "{run('difftool')}"
[credential]
\thelper = {shell('credential-helper')}
[gpg]
\tprogram = "{self.markers}/gpg"
[commit]
\tgpgSign = false
[alias]
\tst = {shell('alias')}
[trailer "evil"]
\tcmd = "{run('trailer')}"
[interactive]
\tdiffFilter = "{run('diff-filter')}"
[uploadpack]
\tpackObjectsHook = "{run('packObjectsHook')}"
[receive]
\tprocReceiveRefs = refs/heads
[remote "origin"]
\turl = "ext::sh -c '{run('ext-url')}'"
\tuploadpack = "{run('upload-pack')}"
\treceivepack = "{run('receive-pack')}"
\tvcs = evil
[submodule "evil"]
\tupdate = {shell('submodule-update')}
[protocol "ext"]
\tallow = always
[url "{self.collector}/"]
\tinsteadOf = http://127.0.0.1
\tpushInsteadOf = http://
[init]
\ttemplateDir = ~/.git-template
[include]
\tpath = /proc/self/cwd/.evil-include
[includeIf "gitdir:/**"]
\tpath = .evil-include
[browser "evil"]
\tcmd = "{run('browser')}"
[man "evil"]
\tcmd = "{run('man')}"
[gc]
\trecentObjectsHook = "{run('recentObjectsHook')}"
[http]
\tproxy = {self.collector}
\tsslVerify = false
"""

    def nested(self):
        """A repository in the tree, one behind a file and one behind a link."""
        self.repository("nested/.git", "nested")
        self.write("nested/work.txt", "nested work\n")
        self.write("by-file/.git", "gitdir: ../nested/.git\n")
        self.write("by-file/work.txt", "work behind a file\n")
        os.makedirs("by-link", exist_ok=True)
        os.symlink("../nested/.git", "by-link/.git")
        self.write("by-link/work.txt", "work behind a link\n")
        self.repository("bare.git", "bare")
        made = ["git", "-c", "init.templateDir=", "init", "--quiet", "real"]
        subprocess.run(made, check=False, capture_output=True, env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"})

    def of_the_tree(self):
        """Files that a repository brings along."""
        self.write(".gitattributes", "* filter=evil diff=evil merge=evil\n*.bin filter=evil-process\n")
        self.write(".gitmodules", "[submodule \"evil\"]\n\tpath = sub\n\turl = ext::sh -c 'touch%20" + self.markers
                   + "/gitmodules'\n\tupdate = !" + self.touch("gitmodules") + "\n[submodule \"dash\"]\n\tpath = dash\n"
                   + "\turl = --upload-pack=" + self.touch("gitmodules-dash") + "\n")
        self.write(".lfsconfig", f"[lfs]\n\turl = {self.collector}/lfs\n[lfs \"customtransfer.evil\"]\n\tpath = {self.touch('lfs')}\n")
        self.write(".evil-include", f"[core]\n\tfsmonitor = \"{self.touch('included')}; exit 1\"\n")
        for name in (".env", ".envrc"):
            self.write(name, f"GIT_DIR=nested/.git\nGIT_SSH_COMMAND=\"{self.touch('environment-file')}\"\n")
        self.write(".mailmap", "Root <root@example.test> <alice@example.test>\n")
        self.write("-x", "a name that is an option\n")
        self.write("--upload-pack=touch marker", "another one\n")
        self.write("$(touch marker)", "and a command\n")
