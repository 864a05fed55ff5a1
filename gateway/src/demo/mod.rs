//! `ringfence demo`: the whole system in one process on loopback, and a call through it.
//!
//! Nothing is simulated. The servers are small embedded ones, everything else is what `ringfence run` is made of; the built-in
//! phones speak SIP and RTP through real sockets, so any other phone can take their place.

use crate::selfcall::stack::Stack;
use crate::selfcall::{StackError, StackOptions, call, report};

/// Options of the demo.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// End after the built-in call.
    pub once: bool,
    /// Print JSON lines instead of text.
    pub json: bool,
    /// Start everything and place no call.
    pub no_call: bool,
    /// What runs.
    pub stack: StackOptions,
}

/// Runs the demo until its call is over (`once`) or `stop` resolves. `say` prints a piece of text. Returns whether the call worked;
/// without a call, `true`.
///
/// # Errors
/// [`StackError`] when something does not start.
pub async fn run(
    options: &DemoOptions,
    stop: impl Future<Output = ()>,
    mut say: impl FnMut(&str),
) -> Result<bool, StackError> {
    let stack = Stack::start(&options.stack).await?;
    say(&if options.json {
        report::stack_json(&stack.report)
    } else {
        opening(&stack)
    });
    let mut worked = true;
    tokio::pin!(stop);
    let ended = if options.no_call {
        false
    } else {
        tokio::select! {
            () = &mut stop => true,
            (call, timeline) = call::place(&stack) => {
                worked = call.ok;
                if options.json {
                    say(&report::call_json(&call));
                } else {
                    say(&format!("{}\n{}", timeline.print(), report::print_call(&call)));
                }
                options.once
            }
        }
    };
    if !ended {
        if !options.json {
            say(CLOSING);
        }
        stop.await;
    }
    stack.stop().await;
    Ok(worked)
}

fn opening(stack: &Stack) -> String {
    format!(
        "Ringfence demo: everything below runs in this process, on loopback.\n\n{}",
        report::print_stack(&stack.report)
    )
}

const CLOSING: &str = "Everything keeps running. Register a SIP phone (Linphone, baresip, a softphone) to\n\
    line A or line B with the account above, another one to the other line, and dial\n\
    the other line's number. Ctrl-C ends the demo.";
