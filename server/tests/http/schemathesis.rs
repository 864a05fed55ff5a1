//! The interface against its description, by a program that is not ours: schemathesis sends what the description allows and what it
//! forbids, and complains about every answer that the description does not foresee.

use std::path::PathBuf;
use std::process::{Command, Output};

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Limits};

use crate::client::{activate, config, operator};

/// Seconds that it may take, long before the system's own patience ends.
const PATIENCE: &str = "600";

/// Where `tests/run` installs it.
fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| {
        [env!("CARGO_MANIFEST_DIR"), "..", "target"]
            .iter()
            .collect()
    });
    target.join("venv/bin/schemathesis")
}

#[expect(
    clippy::print_stderr,
    reason = "the output of the tests must show what was not tested"
)]
fn is_installed() -> bool {
    let installed = program().is_file();
    assert!(
        installed || std::env::var_os("CI").is_none(),
        "schemathesis is missing; tests/run installs everything"
    );
    if !installed {
        eprintln!(
            "\n*** SKIPPED: schemathesis is not installed; tests/run installs everything ***\n"
        );
    }
    installed
}

fn run(url: &str, token: &str) -> Output {
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/schemathesis.toml");
    let folder = tempfile::tempdir().unwrap();
    Command::new("timeout")
        .arg(PATIENCE)
        .arg(program())
        .args(["--config-file", settings, "--no-color", "run"])
        .arg(format!("{url}/api/openapi.json"))
        .args(["--header", token.trim()])
        .args(["--phases", "examples,coverage,fuzzing", "--mode", "all"])
        .args(["--checks", "all", "--max-examples", "25", "--seed", "1"])
        .args(["--workers", "1", "--request-timeout", "20"])
        .current_dir(folder.path())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_has_nothing_to_complain_about() {
    if !is_installed() {
        return;
    }
    let config = Config {
        limits: Limits::NONE,
        turn_secret: Some(TurnSecret::new("north-sea".to_owned())),
        ..config()
    };
    let book = PhoneBook::start(config).await.unwrap();
    activate(&book, 5).await;
    let (url, token) = (
        book.url(),
        operator(&book).replace("authorization", "Authorization"),
    );
    let output = tokio::task::spawn_blocking(move || run(&url, &token));
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(
        said.contains("Negative") || said.contains("passed"),
        "{said}"
    );
}
