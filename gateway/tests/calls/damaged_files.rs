//! An engine whose contacts and saved state are damaged starts, keeps the damaged files, and says what is lost until a person has
//! acted; one whose line is damaged says what to do and does not start.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use ringfence::page::client;
use ringfence_book::Number;

use crate::program::{Program, settings};
use crate::servers::{SOON, Servers};

const PAGE: &str = "[page]\nlisten = \"127.0.0.1:0\"\n";

#[tokio::test]
async fn an_engine_with_damaged_contacts_and_calls_starts_and_says_what_is_lost() {
    let servers = Servers::build().await;
    let [engine, _] = servers.stored_engines().await;
    let (state, line) = (engine.config.state.clone(), engine.line.clone());
    drop(engine);
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(state.join(name), bytes).unwrap();
        std::fs::set_permissions(state.join(name), PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("contacts.json", b"{\"format\":\"ringfence-li");
    write("ledger.json", b"\0\0\0\0");
    let start = || Program::start_with(&state, &(settings("", &[]) + PAGE), |_| {});
    let mut program = start();
    let log = Program::writes(
        &program.log,
        &[
            "pinned keys are lost",
            "blocked numbers",
            "listening for rings",
        ],
    )
    .await;
    assert!(!log.contains(&line.number.to_string()), "{log}");
    Program::writes(&program.out, &["status page: http://"]).await;
    let status = client::status(&state).await.unwrap();
    let warning = |word: &str| {
        let mut warnings = status.warnings.iter();
        warnings
            .find(|warning| warning.what.contains(word))
            .unwrap()
    };
    assert!(warning("pinned keys").grave && !status.ok);
    assert!(
        warning("blocked numbers")
            .remedy
            .contains("ringfence restore")
    );
    for name in ["contacts.json.1.damaged", "ledger.json.1.damaged"] {
        let aside = state.join(name);
        assert!(status.warnings.iter().any(|it| it.remedy.contains(name)));
        std::fs::remove_file(aside).unwrap();
    }
    let start_of_wait = Instant::now();
    let status = loop {
        let status = client::status(&state).await.unwrap();
        if !status.warnings.iter().any(|it| it.what.contains("damaged")) {
            break status;
        }
        assert!(start_of_wait.elapsed() < SOON, "{:?}", status.warnings);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(status.lines[0].number, Number::new(line.number).value());
    program.end("-TERM").await;

    // One bit of the line, as a disk may lose it.
    let path = state.join(format!("lines/{}.json", line.number));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let program = start();
    let log = Program::writes(&program.log, &["is damaged. To do: restore a backup"]).await;
    assert!(log.contains("only without one is the line lost"), "{log}");
    assert!(path.exists());
}
