//! Which names an agent asks for on the network.
//!
//! Inside a cell nobody hears it ask. So the same edit is done once more without the sandbox's confinement, in a network
//! of its own that has nothing but a name server that knows no name and writes down what it is asked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;

use agent::{BackEnd, CodingAgent as _, Endpoint, Kind, Launcher, Limits, Preset, Sandboxed, Task, Wanted};
use anyhow::{Context, Result, ensure};
use pipeline::ids::RunId;
use sandbox::{Mode, Namespaces, Sandbox, Settings};
use scripted_llm::{Script, ScriptedLlm};
use tests::child::program;
use tests::setup::{FILE, FILE_ON_BRANCH};
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{ONE_MAX, install, story};

/// Where programs ask for names.
const NAME_SERVER: &str = "127.0.0.1:53";
/// The longest question over UDP.
const QUESTION_BYTES_MAX: usize = 1500;
/// A header of DNS.
const HEADER_BYTES: usize = 12;
/// "There is no such name", as an answer.
const NO_SUCH_NAME: [u8; 2] = [0x81, 0x83];

/// Runs this program again where only the name server is; the names, or why they are not known.
pub(crate) async fn of(preset: &Preset, kind: Kind, path: &std::ffi::OsStr) -> Result<BTreeSet<String>> {
    let folder = tempfile::tempdir()?;
    let resolv_conf = folder.path().join("resolv.conf");
    std::fs::write(&resolv_conf, "nameserver 127.0.0.1\n")?;
    let inside = format!(
        "ip link set lo up && mount --bind '{}' /etc/resolv.conf && exec \"$@\"",
        resolv_conf.display()
    );
    let user: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    #[expect(clippy::disallowed_methods, reason = "a process of this program's own")]
    let mut command = Command::new("unshare");
    command
        .args(user)
        .args(["--net", "--mount", "--", "sh", "-c", &inside, "sh"])
        .arg(std::env::current_exe()?)
        .args(["--asked", &preset.name, &kind.to_string()])
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(ONE_MAX, command.output())
        .await
        .context("it did not come to an end")??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        said.lines().last().unwrap_or("unshare failed")
    );
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

/// The edit, and every name that was asked for meanwhile; within the network made by [`of`].
pub(crate) async fn asked(preset: &Preset, kind: Kind) -> Result<BTreeSet<String>> {
    let server = UdpSocket::bind(NAME_SERVER).await.context("no name server")?;
    let mut names = BTreeSet::new();
    tokio::select! {
        done = edit(preset, kind) => done?,
        failed = serve(&server, &mut names) => failed?,
    }
    Ok(names)
}

async fn serve(server: &UdpSocket, names: &mut BTreeSet<String>) -> Result<()> {
    let mut question = [0; QUESTION_BYTES_MAX];
    loop {
        let (length, from) = server.recv_from(&mut question).await?;
        let Some((name, end)) = name_in(&question[..length]) else {
            continue;
        };
        names.insert(name);
        // The question comes back, without whatever is behind it.
        let mut answer = question[..end].to_vec();
        answer[2..4].copy_from_slice(&NO_SUCH_NAME);
        answer[6..HEADER_BYTES].fill(0);
        server.send_to(&answer, from).await?;
    }
}

/// The name of the first question, and where the question ends.
fn name_in(packet: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), HEADER_BYTES);
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            // Type and class follow.
            let end = at + 4;
            return (end <= packet.len()).then(|| (labels.join("."), end));
        }
        let label = packet.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}

async fn edit(preset: &Preset, kind: Kind) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let directory = |name: &str| folder.path().join(name);
    for name in ["tree/src", "home", "tmp"] {
        std::fs::create_dir_all(directory(name))?;
    }
    std::fs::write(directory("tree").join(FILE), FILE_ON_BRANCH)?;
    let script = Script::from_value(story::script(&preset.name)?)?;
    let model = ScriptedLlm::start(SocketAddr::from(([127, 0, 0, 1], 0)), script).await?;
    let executable = program("openhands-resolver")?;
    let sandbox = Sandbox::start(Settings {
        mode: Mode::Off,
        namespaces: Namespaces::Never,
        user: None,
        read_paths: Vec::new(),
        executable: executable.clone(),
    });
    let api = preset.speaks().next().context("it speaks nothing")?;
    let launcher = Launcher::new(Wanted {
        kind,
        preset: Some(preset.name.clone()),
        command: Vec::new(),
        read_paths: Vec::new(),
        search_path: install::variable("PATH").unwrap_or_default(),
        provider: api.provider(),
        api: Some(api),
    })?;
    let endpoint = Endpoint {
        provider: api.provider(),
        base_url: model.base_url(),
        api_key: None,
        headers: Vec::new(),
        http: agent::http_client(None, None)?,
        model: "scripted".to_owned(),
        prices: None,
        effort: None,
    };
    let back_end = match kind {
        Kind::Acp => BackEnd::Acp(launcher),
        Kind::Command => BackEnd::Command(launcher),
    };
    let agent = Sandboxed::new(sandbox.await?, executable, endpoint, back_end)?;
    let (progress, _told) = mpsc::channel(1);
    let task = Task {
        run: RunId::new("r-0123456789ab")?,
        brief: "This subtracts, please fix src/lib.rs.".to_owned(),
        work_tree: directory("tree"),
        home: directory("home"),
        tmp: directory("tmp"),
        model: None,
        limits: Limits::new(20, 10_000_000, ONE_MAX),
        cancel: CancellationToken::new(),
    };
    agent.run(task, progress).await?;
    model.shutdown().await
}
