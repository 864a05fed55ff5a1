//! The project's benchmarks: the costs of a call, a registration, a message and an idle engine, each beside a named peer that is
//! measured in the same minutes. `tests/bench/run --help` explains them.
//!
//! Costs are processor time as the kernel counts it, because other programs on the machine lengthen it less than elapsed time.
//! Each figure is the median of several rounds, with its range.
//!
//! Without `--bench`, which `cargo bench` passes, one very short round of each runs without the peers, or of those that are named: `cargo
//! test --workspace --bench bench`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod attack;
mod calls;
mod flow;
mod idle;
mod kamailio;
mod latency;
mod load;
mod measured;
mod phone_bank;
mod process;
#[path = "../quality/mod.rs"]
mod quality;
mod registered;
mod repair;
mod rtpengine;
mod setup;
mod sip;
mod table;
mod turn_hop;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::quality::SpeechPath;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Processor time, memory, latency and loss of calls, beside rtpengine.
    Calls,
    /// INVITE to ringing and answer to sound.
    Setup,
    /// Registrations and calls per second, beside Kamailio.
    Sip,
    /// An engine with nothing to do.
    Idle,
    /// A contact that rings while strangers flood the engine.
    Attack,
    /// The sound of calls over wires that lose packets; only where it is named.
    Quality,
    /// Processor time of redundancy, concealment and transcoding; only where it is named.
    Repair,
}

/// Options.
#[derive(Clone, Debug, Parser)]
struct Plan {
    /// What to measure; everything without a name.
    names: Vec<Name>,
    /// Numbers of simultaneous calls for `calls`.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 100, 200])]
    calls: Vec<usize>,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement of `calls`.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Seconds of `idle`.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Calls for `setup`.
    #[arg(long, default_value_t = 40)]
    setups: usize,
    /// Lines of the engine that `attack` floods.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256])]
    lines: Vec<usize>,
    /// Paths of speech for `quality`.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "pcmu,opus,chromium-red,chromium,g722,rtpengine,opus-fec,linphone,baresip,baresip4,pjsua"
    )]
    paths: Vec<SpeechPath>,
    /// Rows of `quality`; each path's usual ones without a name.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Calls at once for `quality`, and of each kind for `repair`.
    #[arg(long, default_value_t = 12)]
    talks: usize,
    /// Real phones that listen in `quality` get what the speaking phone loses itself, which nothing repairs.
    #[arg(long)]
    unrepaired: bool,
    /// Rings of a contact for `attack`.
    #[arg(long, default_value_t = 50)]
    rings: usize,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Measure without peers.
    #[arg(long)]
    alone: bool,
}

impl Plan {
    /// One very short round of everything.
    fn short() -> Self {
        Self {
            names: Vec::new(),
            calls: vec![2],
            rounds: 1,
            seconds: 1,
            idle: 1,
            setups: 1,
            lines: vec![1],
            paths: Vec::new(),
            rows: Vec::new(),
            talks: 1,
            unrepaired: false,
            rings: 1,
            bench: false,
            alone: true,
        }
    }

    fn wants(&self, name: Name) -> bool {
        self.names.is_empty() || self.names.contains(&name)
    }

    /// Whether figures do not matter.
    const fn is_brief(&self) -> bool {
        !self.bench
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() {
    let for_real = std::env::args().any(|argument| argument == "--bench");
    let asked = Plan::parse();
    let plan = match for_real {
        true => asked,
        false => Plan {
            names: asked.names,
            ..Plan::short()
        },
    };
    if plan.wants(Name::Idle) || plan.wants(Name::Setup) {
        let Some(pair) = measured::start([1; 2], plan.is_brief()) else {
            return;
        };
        if plan.wants(Name::Idle) {
            idle::measure(&pair, &plan);
        }
        if plan.wants(Name::Setup) {
            setup::measure(&pair, &plan);
        }
    }
    if plan.wants(Name::Calls) {
        calls::measure(&plan);
    }
    if plan.wants(Name::Sip)
        && let Some(pair) = measured::start([1; 2], plan.is_brief())
    {
        sip::measure(&pair, &plan);
    }
    if plan.wants(Name::Attack) {
        attack::measure(&plan);
    }
    if plan.names.contains(&Name::Quality) {
        quality::measure(&plan);
    }
    if plan.names.contains(&Name::Repair) {
        repair::measure(&plan);
    }
}
