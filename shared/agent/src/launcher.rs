//! From a preset or an own command line to a program in a cell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Component, Path, PathBuf};

use crate::driver::Launch;
use crate::endpoint::Provider;
use crate::installation::Installation;
use crate::placeholder::{self, Values};
use crate::preset::{HomeFile, Kind, LineRule, Needs, Preset};
use crate::prompt;
use crate::{Api, Error};

/// Where the task lies in the agent's home, for agents that read it from a file.
const PROMPT_FILE: &str = "task.md";

/// The longest argument that a task is handed over in. The kernel takes 128 KiB for one, its end included.
const PROMPT_ARGUMENT_BYTES_MAX: usize = 120 * 1024;

/// The PATH behind the agent's own directories.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Which agent, how, and for which endpoint.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which protocol it is driven by.
    pub kind: Kind,
    /// The name of its preset.
    pub preset: Option<String>,
    /// Its command line, with placeholders; over that of the preset where there is one.
    pub command: Vec<String>,
    /// Where it is installed, as far as [`Installation::find`] does not find it out.
    pub read_paths: Vec<PathBuf>,
    /// Where programs are looked for: a PATH.
    pub search_path: OsString,
    /// Whose language the endpoint speaks.
    pub provider: Provider,
    /// The language to prefer where the agent speaks several of that provider.
    pub api: Option<Api>,
}

/// How to start one agent. Whether it is installed is seen when it is started.
#[derive(Debug, Clone)]
pub struct Launcher {
    name: String,
    kind: Kind,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    files: Vec<HomeFile>,
    needs: Needs,
    lines: Vec<LineRule>,
    is_preset: bool,
    read_paths: Vec<PathBuf>,
    search_path: OsString,
}

impl Launcher {
    /// Fails with [`Error::Launcher`] where there is no such preset, where it cannot be driven as wanted or cannot speak
    /// with the endpoint, and where the command line has a placeholder that does not exist or leaves out the task.
    pub fn new(wanted: Wanted) -> Result<Self, Error> {
        let preset = wanted.preset.as_deref().map(Preset::named).transpose()?;
        let mut launcher = Self {
            name: String::new(),
            kind: wanted.kind,
            argv: Vec::new(),
            env: BTreeMap::new(),
            files: Vec::new(),
            needs: Needs::default(),
            lines: Vec::new(),
            is_preset: preset.is_some(),
            read_paths: wanted.read_paths,
            search_path: wanted.search_path,
        };
        match &preset {
            Some(preset) => launcher.follow(preset, wanted.provider, wanted.api)?,
            None => launcher.follow_none(&wanted.command, wanted.provider),
        }
        if !wanted.command.is_empty() {
            launcher.argv = wanted.command;
        }
        launcher.check()?;
        Ok(launcher)
    }

    fn follow(&mut self, preset: &Preset, provider: Provider, api: Option<Api>) -> Result<(), Error> {
        let Some(start) = preset.start(self.kind) else {
            let reason = format!("the preset {:?} has no kind \"{}\"", preset.name, self.kind);
            return Err(Error::Launcher { reason });
        };
        let Some(setup) = preset.setup(provider, api) else {
            let speaks: Vec<_> = preset.speaks().map(|api| api.to_string()).collect();
            let reason = format!(
                "the preset {:?} speaks {} only, which is not the language of the configured provider",
                preset.name,
                speaks.join(" and ")
            );
            return Err(Error::Launcher { reason });
        };
        self.name.clone_from(&preset.name);
        self.argv.clone_from(&start.argv);
        for env in [&preset.env, &setup.env, &start.env] {
            self.env.extend(env.clone());
        }
        for files in [&preset.file, &setup.file, &start.file] {
            self.files.extend(files.iter().cloned());
        }
        self.needs = preset.needs.and(start.needs);
        self.lines.clone_from(&start.line);
        Ok(())
    }

    /// An agent that nothing is known of gets the environment that the providers' own libraries read.
    fn follow_none(&mut self, command: &[String], provider: Provider) {
        let program = command.first().map(Path::new).and_then(Path::file_name);
        self.name = program.unwrap_or_default().to_string_lossy().into_owned();
        let variables: &[(&str, &str)] = match provider {
            Provider::OpenAi => &[
                ("OPENAI_BASE_URL", "{base_url}/v1"),
                ("OPENAI_API_BASE", "{base_url}/v1"),
                ("OPENAI_API_KEY", "{key}"),
                ("OPENAI_MODEL", "{model}"),
            ],
            Provider::Anthropic => &[
                ("ANTHROPIC_BASE_URL", "{base_url}"),
                ("ANTHROPIC_API_KEY", "{key}"),
                ("ANTHROPIC_MODEL", "{model}"),
            ],
        };
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.env.extend(variables);
    }

    fn check(&self) -> Result<(), Error> {
        let failed = |reason: String| Err(Error::Launcher { reason });
        if self.argv.first().is_none_or(String::is_empty) {
            return failed("its command line names no program".to_owned());
        }
        let files = self.files.iter().flat_map(|file| [&file.path, &file.text]);
        let mut templates = self.argv.iter().chain(self.env.values()).chain(files);
        if let Some(word) = templates.find_map(|template| placeholder::unknown(template)) {
            let known: Vec<_> = placeholder::NAMES
                .iter()
                .map(|name| format!("{{{name}}}"))
                .collect();
            return failed(format!(
                "there is no placeholder {{{word}}}; there are {}",
                known.join(", ")
            ));
        }
        let gets_task =
            |arg: &String| placeholder::has(arg, "prompt") || placeholder::has(arg, "prompt_file");
        if self.kind == Kind::Command && !self.argv.iter().any(gets_task) {
            return failed(
                "its command line has neither {prompt} nor {prompt_file}: it would not learn its task"
                    .to_owned(),
            );
        }
        for file in &self.files {
            let plain = |component| matches!(component, Component::Normal(_));
            if !Path::new(&file.path).components().all(plain) {
                return failed(format!("{:?} is not a path below the home", file.path));
            }
        }
        Ok(())
    }

    /// The agent's name, for logs and replies.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which protocol it is driven by.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Finds the program. Fails with [`Error::Missing`] where it is not installed.
    pub fn installation(&self) -> Result<Installation, Error> {
        Installation::find(self.argv.first().map_or("", String::as_str), &self.search_path)
    }

    /// What its output lines mean.
    pub(crate) fn lines(&self) -> &[LineRule] {
        &self.lines
    }

    /// Whether its settings are written by us, so that it need not be told over its protocol.
    pub(crate) fn is_preset(&self) -> bool {
        self.is_preset
    }

    pub(crate) fn needs(&self) -> sandbox::Needs {
        let Needs {
            unix_sockets,
            pty,
            private_port,
            udp,
            netlink,
        } = self.needs;
        sandbox::Needs {
            unix_sockets,
            pty,
            // Which one is decided when the cell is built.
            private_port: private_port.then_some(0),
            udp,
            netlink,
        }
    }

    /// The configured paths, and those of the installation where there is one.
    pub(crate) fn read_paths(&self) -> Vec<PathBuf> {
        let mut paths = self.read_paths.clone();
        if let Ok(installation) = self.installation() {
            paths.extend(installation.read_paths);
        }
        paths
    }

    /// Writes the agent's files and the task into its home, and says what to start.
    pub(crate) async fn prepare(
        &self,
        launch: &Launch<'_>,
        stdin: sandbox::Stdin,
    ) -> Result<sandbox::Program, Error> {
        let installation = self.installation()?;
        let prompt = prompt::whole(launch.task);
        let prompt_file = launch.task.home.join(PROMPT_FILE);
        let values = values(launch, &prompt, &prompt_file);
        let home = &launch.task.home;
        write(home, PROMPT_FILE, prompt).await?;
        for file in &self.files {
            let text = placeholder::fill(&file.text, &values, placeholder::quoted);
            write(home, &file.path, text).await?;
        }
        let fill =
            |template: &String| OsString::from(placeholder::fill(template, &values, placeholder::plain));
        let mut env: Vec<_> = self
            .env
            .iter()
            .map(|(name, value)| (OsString::from(name), fill(value)))
            .collect();
        if !self.env.contains_key("PATH") {
            env.push(("PATH".into(), path(&installation)));
        }
        Ok(sandbox::Program {
            program: installation.program.into(),
            args: self.argv.iter().skip(1).map(fill).collect(),
            env,
            stdin,
        })
    }
}

fn values(launch: &Launch<'_>, prompt: &str, prompt_file: &Path) -> Values {
    let task = launch.task;
    let prompt_file = prompt_file.to_string_lossy();
    let prompt = if prompt.len() <= PROMPT_ARGUMENT_BYTES_MAX {
        prompt.to_owned()
    } else {
        format!("Read the file {prompt_file} to its end and do the task in it.")
    };
    Values::default()
        .with("prompt", prompt)
        .with("prompt_file", prompt_file)
        .with("work_tree", task.work_tree.to_string_lossy())
        .with("home", task.home.to_string_lossy())
        .with("tmp", task.tmp.to_string_lossy())
        .with("model", launch.model)
        .with("base_url", launch.base_url.as_str())
        .with("key", launch.key.as_str())
        .with(
            "port",
            launch
                .private_port
                .map(|port| port.to_string())
                .unwrap_or_default(),
        )
}

/// The agent's own directories, so that it finds its interpreter and its parts, before the system's.
fn path(installation: &Installation) -> OsString {
    let system = std::env::split_paths(SYSTEM_PATH).collect::<Vec<_>>();
    let own = installation
        .directories
        .iter()
        .filter(|own| !system.contains(own));
    let all = own.chain(&system);
    // A directory with a colon in its name cannot be on a PATH; nothing of npm or PyPI works in one.
    std::env::join_paths(all).unwrap_or_else(|_| SYSTEM_PATH.into())
}

/// Writes a file below the home, with the folders it needs, and gives all of them to whom the home belongs to: the
/// agent may have another user than we do. Nothing runs in the cell yet that could put a link in the way.
async fn write(home: &Path, path: &str, text: String) -> Result<(), Error> {
    let mut here = home.to_owned();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Home { path, source }
    };
    let owner = tokio::fs::metadata(home).await.map_err(failed(home))?;
    let folders: Vec<_> = Path::new(path)
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .collect();
    for folder in folders {
        here.push(folder);
        match tokio::fs::create_dir(&here).await {
            Ok(()) => chown(&here, Some(owner.uid()), Some(owner.gid())).map_err(failed(&here))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&here)(error)),
        }
    }
    let file = home.join(path);
    tokio::fs::write(&file, text).await.map_err(failed(&file))?;
    chown(&file, Some(owner.uid()), Some(owner.gid())).map_err(failed(&file))
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Limits, Task};

    fn wanted(preset: Option<&str>, command: &[&str]) -> Wanted {
        Wanted {
            kind: Kind::Command,
            preset: preset.map(str::to_owned),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            read_paths: Vec::new(),
            search_path: "/usr/bin:/bin".into(),
            provider: Provider::OpenAi,
            api: None,
        }
    }

    /// Prepares it in a fresh home, for a task of this text; the home and the program.
    async fn prepared(launcher: &Launcher, brief: &str) -> (tempfile::TempDir, sandbox::Program) {
        let home = tempfile::tempdir().unwrap();
        let task = Task {
            run: pipeline::ids::RunId::new("r-0123456789ab").unwrap(),
            brief: brief.to_owned(),
            work_tree: "/the/tree".into(),
            home: home.path().to_owned(),
            tmp: "/the/tmp".into(),
            model: None,
            limits: Limits::new(1, 1, std::time::Duration::from_secs(1)),
            cancel: CancellationToken::new(),
        };
        let launch = Launch {
            task: &task,
            base_url: "http://127.0.0.1:7".to_owned(),
            key: "throw-away".to_owned(),
            model: "vendor/\"m\"",
            provider: Provider::OpenAi,
            executable: Path::new("/us"),
            stop: CancellationToken::new(),
            private_port: Some(4711),
        };
        let program = launcher.prepare(&launch, sandbox::Stdin::Null).await.unwrap();
        (home, program)
    }

    #[tokio::test]
    async fn a_preset_finds_its_configuration_and_its_task_at_home() {
        let launcher = Launcher::new(wanted(Some("opencode"), &["sh", "{prompt_file}"])).unwrap();
        let (home, program) = prepared(&launcher, "Fix it.").await;
        let written = std::fs::read_to_string(home.path().join(".config/opencode/opencode.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(json["model"], "run/vendor/\"m\"");
        assert_eq!(
            json["provider"]["run"]["options"]["baseURL"],
            "http://127.0.0.1:7/v1"
        );
        assert_eq!(program.args, [home.path().join(PROMPT_FILE)]);
        let task = std::fs::read_to_string(home.path().join(PROMPT_FILE)).unwrap();
        assert!(
            task.starts_with(prompt::RULES) && task.ends_with("Fix it."),
            "{task}"
        );
        assert!(
            program
                .env
                .contains(&("OPENCODE_DISABLE_MODELS_FETCH".into(), "1".into()))
        );
    }

    #[tokio::test]
    async fn a_program_that_nothing_is_known_of_gets_what_libraries_read() {
        let launcher = Launcher::new(wanted(None, &["sh", "-c", "{prompt} {port} {tmp}"])).unwrap();
        let (_home, program) = prepared(&launcher, "Fix it.").await;
        assert!(
            program
                .env
                .contains(&("OPENAI_BASE_URL".into(), "http://127.0.0.1:7/v1".into()))
        );
        assert!(
            program
                .env
                .contains(&("OPENAI_API_KEY".into(), "throw-away".into()))
        );
        let path = program.env.iter().find(|(name, _)| name == "PATH").unwrap();
        assert!(path.1.to_string_lossy().contains("/usr/bin"));
        assert!(
            program.args[1]
                .to_string_lossy()
                .ends_with("Fix it. 4711 /the/tmp")
        );
    }

    #[tokio::test]
    async fn a_task_too_long_for_an_argument_is_read_from_its_file() {
        let launcher = Launcher::new(wanted(None, &["sh", "{prompt}"])).unwrap();
        let (home, program) = prepared(&launcher, &"long ".repeat(PROMPT_ARGUMENT_BYTES_MAX / 5)).await;
        let argument = program.args[0].to_string_lossy();
        assert!(
            argument.contains(home.path().join(PROMPT_FILE).to_str().unwrap()),
            "{argument}"
        );
        assert!(argument.len() < 1000);
        // The control: one that just fits is handed over whole.
        let fits = PROMPT_ARGUMENT_BYTES_MAX - prompt::RULES.len() - "\n\nThe task:\n\n".len();
        let (_home, program) = prepared(&launcher, &"x".repeat(fits)).await;
        assert_eq!(program.args[0].len(), PROMPT_ARGUMENT_BYTES_MAX);
    }
}
