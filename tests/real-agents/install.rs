//! Gets agents from the registries into a cache.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use agent::Preset;
use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// The node that is fetched where the machine's is too old for an agent.
const NODE: &str = "node@26.10.0";
/// Hundreds of megabytes from a slow registry.
const INSTALL_MAX: Duration = Duration::from_mins(20);
/// What a finished installation leaves: the packages it is of.
const MARK: &str = "installed";

/// Where agents are installed.
pub(crate) struct Cache {
    path: PathBuf,
}

/// An agent that is there.
pub(crate) struct Installed {
    /// Where its programs are, and its interpreter.
    directories: Vec<PathBuf>,
}

impl Installed {
    /// The PATH that it is found on.
    pub(crate) fn path(&self) -> Result<OsString> {
        let rest = variable("PATH").unwrap_or_default();
        let all = self
            .directories
            .iter()
            .cloned()
            .chain(std::env::split_paths(&rest));
        Ok(std::env::join_paths(all)?)
    }
}

impl Cache {
    /// Opens the user's cache; root's is where agents with another user id can read it, too.
    pub(crate) fn open() -> Result<Self> {
        let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
        let base = match variable("XDG_CACHE_HOME") {
            Some(base) => PathBuf::from(base),
            None if rustix::process::geteuid().is_root() => PathBuf::from("/var/cache"),
            None => home().context("neither XDG_CACHE_HOME nor HOME is set")?,
        };
        let path = base.join("openhands-resolver/agents");
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Installs a preset's packages, unless they are there.
    pub(crate) async fn install(&self, preset: &Preset) -> Result<Installed> {
        let install = &preset.install;
        let folder = self.path.join(&preset.name);
        let mut directories = vec![
            folder.join("links"),
            folder.join("node_modules/.bin"),
            folder.join("venv/bin"),
        ];
        let node = match install.node {
            Some(oldest) => self.node(oldest).await?,
            None => None,
        };
        directories.extend(node);
        let installed = Installed { directories };
        let packages = [install.npm.as_slice(), install.pip.as_slice()]
            .concat()
            .join("\n");
        let mark = folder.join(MARK);
        if std::fs::read_to_string(&mark).is_ok_and(|there| there == packages) {
            return Ok(installed);
        }
        eprintln!("installing {} …", preset.name);
        std::fs::create_dir_all(&folder)?;
        if !install.npm.is_empty() {
            npm(&folder, &install.npm, &installed.path()?).await?;
        }
        if !install.pip.is_empty() {
            let wanted = install
                .python
                .as_deref()
                .context("the preset does not say which Python")?;
            pip(&folder, &install.pip, &python(wanted).await?).await?;
        }
        let links = folder.join("links");
        std::fs::create_dir_all(&links)?;
        for (name, path) in &install.links {
            let link = links.join(name);
            if link.symlink_metadata().is_err() {
                symlink(folder.join(path), link)?;
            }
        }
        std::fs::write(mark, packages)?;
        Ok(installed)
    }

    /// Where a node of at least this version is; none where it is on the PATH already.
    async fn node(&self, oldest: u32) -> Result<Option<PathBuf>> {
        let there = run("node", &["--version".into()], None).await.unwrap_or_default();
        let version = there.trim().trim_start_matches('v').split('.').next();
        if version
            .and_then(|version| version.parse().ok())
            .is_some_and(|version: u32| version >= oldest)
        {
            return Ok(None);
        }
        let folder = self.path.join("node");
        let directory = folder.join("node_modules/node/bin");
        if !directory.join("node").exists() {
            eprintln!("installing {NODE} …");
            std::fs::create_dir_all(&folder)?;
            npm(&folder, &[NODE.to_owned()], &variable("PATH").unwrap_or_default()).await?;
        }
        Ok(Some(directory))
    }
}

async fn npm(folder: &Path, packages: &[String], path: &OsString) -> Result<()> {
    let mut args: Vec<OsString> = vec![
        "install".into(),
        "--no-audit".into(),
        "--no-fund".into(),
        "--prefix".into(),
    ];
    args.push(folder.into());
    args.extend(packages.iter().map(OsString::from));
    run("npm", &args, Some(path)).await.map(drop)
}

async fn pip(folder: &Path, packages: &[String], python: &Path) -> Result<()> {
    let environment = folder.join("venv");
    let make: Vec<OsString> = vec!["-m".into(), "venv".into(), environment.clone().into()];
    run(python, &make, None).await?;
    let mut args: Vec<OsString> = vec!["install".into(), "--quiet".into()];
    args.extend(packages.iter().map(OsString::from));
    run(environment.join("bin/pip"), &args, None).await.map(drop)
}

/// A Python of this version that runs: the one on the PATH, or one that pyenv has.
async fn python(version: &str) -> Result<PathBuf> {
    let name = format!("python{version}");
    let mut candidates = vec![PathBuf::from(&name)];
    if let Some(home) = variable("HOME") {
        let versions = Path::new(&home).join(".pyenv/versions");
        for entry in std::fs::read_dir(versions).into_iter().flatten() {
            let prefix = entry?.path();
            let file = prefix
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if file.starts_with(&format!("{version}.")) {
                candidates.push(prefix.join("bin").join(&name));
            }
        }
    }
    // Where it really is: on the PATH there may be a script that chooses among several.
    let ask: [OsString; 2] = [
        "-c".into(),
        "import os, sys; print(os.path.realpath(sys.executable))".into(),
    ];
    for candidate in candidates {
        if let Ok(said) = run(&candidate, &ask, None).await {
            return Ok(PathBuf::from(said.trim()));
        }
    }
    bail!("there is no Python {version} on this machine")
}

/// Runs a program to its end; its output. A failure has the end of what it said.
async fn run(program: impl AsRef<Path>, args: &[OsString], path: Option<&OsString>) -> Result<String> {
    let program = program.as_ref();
    #[expect(clippy::disallowed_methods, reason = "installing is no part of the product")]
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = timeout(INSTALL_MAX, command.output()).await;
    let output = output.with_context(|| format!("{} does not end", program.display()))?;
    let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    ensure!(output.status.success(), "{} failed: {last}", program.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "where to install is told by the environment; no part of the product"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
