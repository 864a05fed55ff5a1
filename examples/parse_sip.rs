//! What this core makes of SIP messages: `cargo run --example parse_sip -- FILE ...`
//!
//! One line a file, in the order given: `ok METHOD|STATUS headers...` for a message that is taken, or `reject CODE REASON`
//! with what a phone that sent it would be told. Bytes that are no SIP, broken answers and broken ACKs are met with
//! silence on the wire; here they show as `reject 400`. Only the form is judged (RFC 3261 sections 7, 8.1.1 and 25): who
//! may call whom, and which extensions are known, is the agent's business. The exit status is 0 if every file was read.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example that talks to a terminal"
)]

use std::process::ExitCode;

use ringfence_sip::message::{Essentials, Headers, Message, parse};

fn main() -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    for path in std::env::args_os().skip(1) {
        match std::fs::read(&path) {
            Ok(bytes) => println!("{}", verdict(&bytes)),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                exit = ExitCode::FAILURE;
            }
        }
    }
    exit
}

fn verdict(bytes: &[u8]) -> String {
    let message = match parse(bytes) {
        Ok(message) => message,
        Err(error) => return format!("reject 400 {error}"),
    };
    let checked = match &message {
        Message::Request(request) => request
            .validate()
            .map(|(_, essentials)| (request.method.to_string(), essentials, &request.body)),
        Message::Response(response) => response
            .validate()
            .map(|essentials| (response.status.to_string(), essentials, &response.body)),
    };
    match checked {
        Ok((first, essentials, body)) => {
            let read = summary(&essentials, message.headers());
            format!("ok {first} {read} body={}", body.len())
        }
        Err(defect) => format!("reject {} {defect}", defect.status()),
    }
}

/// What was read of the headers, enough to see that it was read rightly.
fn summary(essentials: &Essentials, headers: &Headers) -> String {
    let Essentials {
        from, to, call_id, ..
    } = essentials;
    let contacts: Vec<String> = headers
        .contacts()
        .unwrap_or_default()
        .iter()
        .map(|contact| contact.uri.to_string())
        .collect();
    format!(
        "cseq=\"{}\" call-id={call_id} from={} from-tag={} to={} to-tag={} branch={} contacts=[{}] fields={}",
        essentials.cseq,
        from.uri,
        essentials.from_tag(),
        to.uri,
        to.tag().unwrap_or_default(),
        essentials.via.branch().unwrap_or_default(),
        contacts.join(" "),
        headers.len(),
    )
}
