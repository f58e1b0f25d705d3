//! `./dev demo`: the whole product on one machine, told as it happens.
//!
//! Everything printed about what happens is read from the simulated Bitbucket and from the run records.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the demo talks to a terminal"
)]

mod story;
mod telling;

use std::process::ExitCode;

use anyhow::Result;
use tests::child::program;
use tests::setup::{ExternalModel, Setup};
use tests::world::World;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::telling::Teller;

/// The port of a real Bitbucket, so that the printed URL looks at home; another one when it is taken.
const LISTEN: &str = "127.0.0.1:7990";

#[tokio::main]
async fn main() -> ExitCode {
    let once = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--once" => true,
        other => {
            eprintln!("usage: ./dev demo [--once]   (not {other:?})");
            return ExitCode::from(2);
        }
    };
    match demo(once).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("The demo did not end in a pushed commit and a final reply.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("The demo could not be run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the first run ended in a pushed commit and a final reply. However it ends, nothing is left running.
async fn demo(once: bool) -> Result<bool> {
    let mut asked = AskedToEnd::listen()?;
    let model = external_model();
    match &model {
        Some(model) => println!("The model is {} at {}.", model.model, model.base_url),
        None => println!(
            "The model is scripted: it knows one fix, and for anything else it leaves a note. With LLM_BASE_URL, LLM_MODEL \
             and LLM_API_KEY, all three, it is a real one."
        ),
    }
    let setup = Setup {
        document: Some(story::world()),
        model,
        bitbucket_listen: free_or_any(LISTEN),
        ack_wait_seconds: 30,
        ..Setup::default()
    };
    let world = tokio::select! {
        world = World::start(setup) => world?,
        () = asked.comes() => return Ok(false),
    };
    let told = tell(&world, once, &mut asked).await;
    let stopped = world.stop().await;
    let succeeded = told?;
    stopped?;
    Ok(succeeded)
}

/// Has alice ask, and tells what happens until the demo is over. Whether her request was answered with a commit.
async fn tell(world: &World, once: bool, asked: &mut AskedToEnd) -> Result<bool> {
    world.script(story::script());
    let url = format!(
        "{}/projects/PROJ/repos/demo/pull-requests/1",
        world.bitbucket.base_url()
    );
    println!("The pull request: {url}\n");

    let comment = world.alice().comments(1, story::REQUEST).await?;
    println!("comment #{comment} by alice:\n  {}\n", story::REQUEST);
    let mut teller = Teller::new(world).await?;
    let mut succeeded = false;
    tokio::select! {
        told = async {
            succeeded = teller.tell_until_answered(comment).await?;
            if !once {
                println!("{}", invitation(world, &url)?);
                teller.tell_on().await?;
            }
            anyhow::Ok(())
        } => told?,
        () = asked.comes() => {}
    }
    Ok(succeeded)
}

/// The ways to be asked to end: ctrl-c, `kill`, a terminal that was closed.
struct AskedToEnd([Signal; 3]);

impl AskedToEnd {
    fn listen() -> Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn comes(&mut self) {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// What to do next.
fn invitation(world: &World, url: &str) -> Result<String> {
    let ask = format!("{} runs", program("openhands-resolver")?.display());
    let config = world.path("resolver.toml");
    let config = config.display();
    Ok(format!(
        "Now you: open {url} and write a comment that begins with @openhands. You are alice there; choose bob, who may \
         only read, and you are refused.\nAsk the resolver from another terminal:\n  {ask} list --config {config}\n  \
         {ask} why 1 --config {config}\nCtrl-C ends the demo.\n"
    ))
}

fn external_model() -> Option<ExternalModel> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo is no part of the product; its model comes by environment"
    )]
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(ExternalModel {
        base_url: variable("LLM_BASE_URL")?,
        model: variable("LLM_MODEL")?,
        api_key: variable("LLM_API_KEY")?,
    })
}

fn free_or_any(address: &'static str) -> &'static str {
    if std::net::TcpListener::bind(address).is_ok() {
        address
    } else {
        "127.0.0.1:0"
    }
}
