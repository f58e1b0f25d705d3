//! Ways of a program that is given a task on its command line.

use std::io;

use crate::model::Model;
use crate::{flood, for_ever, leave_a_daemon, make};

pub(crate) fn run(behaviour: &str, model: &Model, task: &str) -> io::Result<()> {
    match behaviour {
        "well-behaved" => {
            model.ask(task)?;
            println!("{{\"type\":\"tool\",\"name\":\"write made.txt\"}}");
            make()?;
            println!("Made it.");
            Ok(())
        }
        // Says that all went well when the model did not even listen.
        "lying" => {
            let _status = model.ask(task)?;
            println!("Done.");
            Ok(())
        }
        "idle" => Ok(()),
        "failing" => Err(io::Error::other("there is no configuration")),
        "crashing" => std::process::abort(),
        "never-ending" => {
            make()?;
            leave_a_daemon()?;
            for_ever()
        }
        "leaving" => {
            model.ask(task)?;
            make()?;
            leave_a_daemon()?;
            println!("Made it.");
            Ok(())
        }
        "flooding" => flood(),
        // Asks on, whatever the answer.
        "insatiable" => loop {
            model.ask("and now?")?;
        },
        // The task has to be in the file that it was given instead.
        "reading" => {
            let text = std::fs::read_to_string(task)?;
            model.ask(&text)?;
            make()?;
            println!(
                "The task ends with {:?}.",
                text.split_whitespace().last().unwrap_or_default()
            );
            Ok(())
        }
        _ => Err(io::Error::other("unknown behaviour")),
    }
}
