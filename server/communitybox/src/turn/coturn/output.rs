//! The output of coturn without what it says about clients: in its lines, every word with a digit in it is an address, a port, a
//! user name, a session or a time. The last lines are kept for the report of its end.

use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::debug;

/// Lines kept.
const LAST: usize = 6;

/// Bytes of a line that are read.
const LONGEST: usize = 400;

/// The last lines of a program's output, shared between the thread that reads them and the supervisor.
#[derive(Clone, Debug, Default)]
pub(super) struct LastOutput(Arc<Mutex<VecDeque<String>>>);

impl LastOutput {
    /// Reads until the program closes its output.
    pub(super) fn read(&self, output: impl Read) {
        let mut line = Vec::with_capacity(LONGEST);
        for byte in BufReader::new(output).bytes() {
            match byte {
                Ok(b'\n') => {
                    self.keep(&String::from_utf8_lossy(&line));
                    line.clear();
                }
                Ok(byte) if line.len() < LONGEST => line.push(byte),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// The lines so far, without words that may name a client.
    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        lines.join("; ")
    }

    /// Forgets the lines, when the program is started again.
    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn keep(&self, line: &str) {
        let line = anonymous(line);
        if line.is_empty() {
            return;
        }
        debug!(coturn = line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

fn anonymous(line: &str) -> String {
    let harmless = |word: &&str| !word.chars().any(|letter| letter.is_ascii_digit());
    let words: Vec<&str> = line.split_whitespace().filter(harmless).collect();
    words.join(" ").trim_matches([' ', ':']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_no_client_and_keep_their_cause() {
        let output = LastOutput::default();
        output.read(
            "0: : ERROR: Cannot bind UDP/DTLS listener socket to addr 192.0.2.7:3478\n\
             12: session 001000000000000001: realm <turn> user <1790000000:ab12>: incoming packet ALLOCATE processed\n\
             \n"
                .as_bytes(),
        );
        assert_eq!(
            output.text(),
            "ERROR: Cannot bind UDP/DTLS listener socket to addr; \
             session realm <turn> user incoming packet ALLOCATE processed"
        );
    }

    #[test]
    fn the_output_that_is_kept_is_bounded() {
        let output = LastOutput::default();
        output.read("x".repeat(100_000).as_bytes());
        output.read(format!("{}\n", "y".repeat(100_000)).repeat(50).as_bytes());
        assert_eq!(output.text().len(), LAST * (LONGEST + 2) - 2);
    }
}
