//! The program inside the cell: reads its order, works on it, and tells on its standard output how it goes.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::line::{ORDER_BYTES_MAX, Order, Sealed};
use super::model::Model;
use super::session::Session;
use super::tools::Toolbox;

/// Runs the built-in agent in this process: an order as one JSON line on standard input, steps and at the end a report
/// as JSON lines on standard output.
///
/// Meant for a cell of its own, started by the built-in back end. The exit code is 0 when a report was written; else the
/// reason is on standard error.
pub fn builtin_main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Where standard error is closed, nobody is left to be told.
            let _ = writeln!(io::stderr(), "builtin-agent: {why}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), String> {
    // Closes what /proc shows of this process to its commands, which run under the same uid. The sandbox does not allow
    // it where it has to look into its processes itself; the seal keeps commands from speaking for this program there
    // too.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let order = read_order()?;
    let model = Model::new(&order)?;
    let toolbox = Toolbox::open(&order)
        .map_err(|error| format!("cannot open the work tree {}: {error}", order.work_tree.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let say = |line| {
        say(&Sealed {
            seal: order.seal.clone(),
            line,
        })
    };
    runtime
        .block_on(Session::new(&order, model, toolbox, say).run())
        .map_err(|error| format!("cannot write to standard output: {error}"))
}

/// Reads standard input to its end, so that nothing of the order is left in it for others.
fn read_order() -> Result<Order, String> {
    let mut text = String::new();
    io::stdin()
        .take(ORDER_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read the order: {error}"))?;
    // Not the text: it holds the key.
    serde_json::from_str(&text).map_err(|error| format!("the order cannot be understood: {error}"))
}

/// Writes one line at once, whatever somebody else has left before it.
fn say(line: &Sealed) -> io::Result<()> {
    let text = format!("\n{}\n", serde_json::to_string(line)?);
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
