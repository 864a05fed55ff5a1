//! Parses SIP messages and prints the result: `cargo run --example parse_sip -- FILE ...`
//!
//! It prints one line for each file: `ok METHOD|STATUS headers...` for a message that is accepted, or `reject CODE REASON` with
//! the response that the sender would get. The user agent does not respond to bytes that are not SIP, malformed responses and
//! malformed ACKs; here they show as `reject 400`. Only the syntax is checked (RFC 3261 sections 7, 8.1.1 and 25), not
//! authorisation and extensions, which the user agent handles. The exit status is 0 if every file could be read.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints its results"
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

/// The parsed headers, enough to check that they were parsed correctly.
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
