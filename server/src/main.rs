//! The program `ringfence-phonebook`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ringfence_phonebook::cli::main().await
}
