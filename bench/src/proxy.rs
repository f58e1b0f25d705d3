//! What the model proxy adds to a call of the model, and to the first piece of an answer that streams.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Budget, Endpoint, Provider, Proxy};
use anyhow::{Context, Result, ensure};
use pipeline::ids::RunId;
use scripted_llm::{Script, ScriptedLlm};
use serde_json::{Value, json};

use crate::samples::Samples;
use crate::table::{Goal, Row, spread};

/// Calls of each kind in one round.
const CALLS_PER_ROUND: usize = 40;
/// What one call may take more than without the proxy.
const GOAL_MS: f64 = 2.0;
/// A call that takes longer hangs: an answer that is held back would never come.
const CALL_MAX: Duration = Duration::from_secs(20);
/// About as much as a coding agent sends: a system prompt, tools and some files.
const PROMPT_BYTES: usize = 48 * 1024;
const MODEL: &str = "scripted";
/// More than is ever used.
const PLENTY: Budget = Budget {
    turns: 1_000_000,
    tokens: 1_000_000_000_000,
    usd: None,
};

/// Where calls go, and with which key.
struct Way {
    url: String,
    key: String,
    client: reqwest::Client,
}

/// Both rows.
pub(crate) async fn measure(rounds: usize) -> Result<Vec<Row>> {
    let model = ScriptedLlm::start((Ipv4Addr::LOCALHOST, 0).into(), Script::default()).await?;
    let endpoint = Endpoint {
        provider: Provider::OpenAi,
        base_url: model.base_url(),
        api_key: Some("a-key".into()),
        headers: Vec::new(),
        http: agent::http_client(None, None)?,
        model: MODEL.to_owned(),
        prices: None,
        effort: None,
    };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let run = RunId::new("r-0123456789ab").context("a run id")?;
    let proxy = Proxy::start(listener, Arc::new(endpoint), PLENTY, run)?;
    let direct = Way::new(model.base_url(), "a-key")?;
    let through = Way::new(format!("http://{}/v1", proxy.addr()), proxy.key())?;

    model.set_script(Script::from_value(json!([{"reply": {"text": "All is well."}}]))?);
    let calls = compare(rounds, &through, &direct, async |way| way.call().await).await?;
    // Held after the first event: it can only be seen early where it is passed on at once.
    model.set_script(Script::from_value(
        json!([{"reply": {"text": "All is well.", "hold_after": 1}}]),
    )?);
    let first = async |way: &Way| way.first_piece(&model).await;
    let pieces = compare(rounds, &through, &direct, first).await?;
    proxy.stop().await;
    model.shutdown().await?;
    Ok(vec![
        row("the proxy adds to a model call, p50", &calls),
        row("the proxy adds to the first piece of a stream, p50", &pieces),
    ])
}

/// The same through the proxy and without it, taking turns.
async fn compare(
    rounds: usize,
    through: &Way,
    direct: &Way,
    call: impl AsyncFn(&Way) -> Result<Duration>,
) -> Result<[Samples; 2]> {
    let mut samples = [Samples::default(), Samples::default()];
    for round in 0..=rounds {
        for turn in 0..CALLS_PER_ROUND * 2 {
            // Who goes first alternates.
            let which = usize::from((turn / 2 + turn) % 2 == 1);
            let took = call([through, direct][which]).await?;
            // The first round opens connections.
            if round > 0 {
                samples[which].add_ms(took);
            }
        }
    }
    Ok(samples)
}

fn row(name: &str, [through, direct]: &[Samples; 2]) -> Row {
    let note = format!(
        "{} calls, {} against {}",
        through.len(),
        spread(through),
        spread(direct)
    );
    Row::value(
        name,
        "ms",
        through.median() - direct.median(),
        Goal::AtMost(GOAL_MS),
    )
    .noting(note)
}

impl Way {
    fn new(base_url: String, key: &str) -> Result<Self> {
        Ok(Self {
            url: format!("{base_url}/chat/completions"),
            key: key.to_owned(),
            client: reqwest::Client::builder().no_proxy().timeout(CALL_MAX).build()?,
        })
    }

    async fn ask(&self, stream: bool) -> Result<reqwest::Response> {
        let body = json!({
            "model": MODEL, "stream": stream,
            "messages": [{"role": "user", "content": "x".repeat(PROMPT_BYTES)}],
        });
        let answer = self
            .client
            .post(&self.url)
            .bearer_auth(&self.key)
            .json(&body)
            .send()
            .await?;
        Ok(answer.error_for_status()?)
    }

    async fn call(&self) -> Result<Duration> {
        let started = Instant::now();
        let answer: Value = self.ask(false).await?.json().await?;
        let took = started.elapsed();
        let said = &answer["choices"][0]["message"]["content"];
        ensure!(said == "All is well.", "the model said {answer}");
        Ok(took)
    }

    async fn first_piece(&self, model: &ScriptedLlm) -> Result<Duration> {
        let started = Instant::now();
        let mut answer = self.ask(true).await?;
        let first = answer.chunk().await?.context("a first piece")?;
        let took = started.elapsed();
        ensure!(first.starts_with(b"data:"), "not an event: {first:?}");
        model.release();
        let mut rest = first.to_vec();
        while let Some(piece) = answer.chunk().await? {
            rest.extend_from_slice(&piece);
        }
        ensure!(rest.ends_with(b"[DONE]\n\n"), "the stream did not end");
        Ok(took)
    }
}
