//! Every verb for every kind of person.

use pipeline::mention::{Class, Command, Verb};
use pipeline::verbs::Argument;

use crate::world::World;

/// What becomes of a mention, as the decision says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Starts,
    Answered,
    Refused,
    Ignored,
}

/// Who may do nothing in the repository, read it, write to it (the last one is also the pull request's author), who may
/// write and is excluded, and the bot. In this order, since the writers' `stop` leaves nothing to stop.
const PEOPLE: [&str; 6] = ["nobody", "bob", "mallory", "openhands", "carol", "alice"];

fn expected(verb: Verb, who: &str) -> Outcome {
    let is_answered_by_anyone = !verb.is_built() || matches!(verb, Verb::Help | Verb::Ping);
    match who {
        "openhands" => Outcome::Ignored,
        "mallory" => Outcome::Refused,
        _ if is_answered_by_anyone => Outcome::Answered,
        "nobody" => Outcome::Refused,
        "bob" => match verb.class() {
            Class::Read => Outcome::Starts,
            Class::Query => Outcome::Answered,
            // Others' runs wait; where reading starts some, there are own ones to stop.
            Class::Control if verb == Verb::Stop && Verb::Ask.is_built() => Outcome::Answered,
            Class::Work | Class::Control => Outcome::Refused,
        },
        _ if verb.is_about_a_run() => Outcome::Refused,
        _ => match verb.class() {
            Class::Work | Class::Read => Outcome::Starts,
            Class::Control | Class::Query => Outcome::Answered,
        },
    }
}

/// The verb with what it needs to be a whole request.
fn typed(verb: Verb) -> Command {
    let text = match verb.row().argument {
        Argument::Text => "look at it",
        _ => "",
    };
    Command::of_verb(verb, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_is_for_whom_the_documentation_says() {
    let world = World::start().await;
    for verb in Verb::all() {
        for who in PEOPLE {
            let comment = world.comment("alice", "@openhands", None).await;
            world.mention_of(who, comment, 0, Some(typed(verb)), None).await;
            let decided = world.until_decided(&format!("{comment} \"")).await;
            let outcome = match decided.split('"').nth(1) {
                Some("queued") => Outcome::Starts,
                Some("accepted") => Outcome::Answered,
                Some("refused") => Outcome::Refused,
                _ => Outcome::Ignored,
            };
            assert_eq!(outcome, expected(verb, who), "{verb:?} by {who}: {decided}");
        }
    }
    world.end().await;
}
