//! The role `webhook-ingest` of the executable, over a nats-server of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tests::child::{Child, program};
use tests::nats_server::NatsServer;
use tests::waiting::{WAIT_MAX, until};
use tokio::time::{MissedTickBehavior, interval};

use crate::ingest::delivery::SECRET;
use crate::memory;

/// How often memory is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);
/// A look at `/readyz` that takes longer has failed.
const READY_MAX: Duration = Duration::from_secs(5);

/// The running role and its server.
pub(crate) struct IngestRole {
    child: Child,
    nats: NatsServer,
    address: SocketAddr,
    _directory: TempDir,
}

impl IngestRole {
    /// Starts both and waits until the role is ready.
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let nats = NatsServer::start(directory.path()).await?;
        let config = directory.path().join("resolver.toml");
        std::fs::write(&config, configuration(directory.path(), &nats.url())?)?;
        let config = config
            .to_str()
            .context("the directory of temporary files is not UTF-8")?;
        let log = directory.path().join("webhook-ingest.log");
        let child = Child::start(
            &program("openhands-resolver")?,
            &["webhook-ingest", "--config", config],
            &log,
        )
        .await?;
        let told = |key: &str| {
            child.says[key]
                .as_str()
                .with_context(|| format!("no {key} in {}", child.says))
        };
        let address = told("ingest")?.parse()?;
        let ready = format!("http://{}/readyz", told("health")?);
        let http = reqwest::Client::builder().no_proxy().timeout(READY_MAX).build()?;
        until(WAIT_MAX, || async {
            let answer = http.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await
        .with_context(|| format!("webhook-ingest did not become ready\n{}", child.log()))?;
        Ok(Self {
            child,
            nats,
            address,
            _directory: directory,
        })
    }

    /// Where deliveries go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the raw loop goes.
    pub(crate) fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// Runs `work`; also the largest resident memory seen meanwhile, in megabytes.
    pub(crate) async fn watch_memory<T>(&self, work: impl Future<Output = Result<T>>) -> Result<(T, f64)> {
        let pid = self.child.pid().context("webhook-ingest has ended")?;
        let mut largest = 0.0_f64;
        let mut ticks = interval(MEMORY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok((done?, largest)),
                _ = ticks.tick() => largest = largest.max(memory::resident_mb(pid)?),
            }
        }
    }

    /// Ends both; an error unless the role ends well.
    pub(crate) async fn end(mut self) -> Result<()> {
        let code = self.child.end().await?;
        ensure!(code == 0, "webhook-ingest ended with {code}");
        self.nats.kill().await
    }
}

fn configuration(directory: &Path, nats_url: &str) -> Result<String> {
    let secret = write_secret(&directory.join("hook-secret"), SECRET)?;
    let token = write_secret(&directory.join("bot-token"), "not used by webhook-ingest")?;
    let data = directory.join("resolver");
    let data = data.display();
    // Nobody listens at the Bitbucket's address: ingest makes no call.
    Ok(format!(
        "data_dir = \"{data}\"\n[ingest]\nlisten = \"127.0.0.1:0\"\n[health]\nlisten = \"127.0.0.1:0\"\n\
         [nats]\nurl = \"{nats_url}\"\n[[connection]]\nid = \"main\"\nbase_url = \"http://127.0.0.1:9\"\n\
         bot_token_file = \"{token}\"\nwebhook_secret_files = [\"{secret}\"]\nrepositories = [\"PROJ/*\"]\n"
    ))
}

fn write_secret(path: &Path, text: &str) -> Result<String> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path.display().to_string())
}
