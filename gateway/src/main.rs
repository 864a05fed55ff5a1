//! The program `ringfence`; everything is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    ringfence::cli::main(ringfence::cli::Cli::parse())
}
