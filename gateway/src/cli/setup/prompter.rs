//! Asks the person at the terminal. Where there is none, every question names the option that answers it.

use std::io::{BufRead, IsTerminal, Write};

use super::Failure;
use crate::cli::passphrase;
use crate::state::secret::Secret;

/// Tries at one question.
pub(super) const TRIES: usize = 5;

/// Longest answer that is read: a URL.
const MOST_ANSWER: u64 = 2_048;

/// Who asks.
#[derive(Debug)]
pub(super) struct Clerk {
    is_there: bool,
}

impl Clerk {
    /// Asks if standard input and standard error are a terminal.
    pub(super) fn at_the_terminal() -> Self {
        Self {
            is_there: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        }
    }

    /// Whether there is anybody to be asked.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// An answer, or what holds when nothing is typed. `option` answers the question where nobody can be asked.
    pub(super) fn ask(
        &self,
        question: &str,
        usual: Option<&str>,
        option: &'static str,
    ) -> Result<String, Failure> {
        if !self.is_there {
            return Err(Failure::Missing(option));
        }
        let hint = usual.map_or_else(String::new, |usual| format!(" [{usual}]"));
        self.tell(&format!("{question}{hint}: "))?;
        let typed = read(std::io::stdin().lock()).ok_or(Failure::Missing(option))?;
        match (typed.trim(), usual) {
            ("", Some(usual)) => Ok(usual.to_owned()),
            (text, _) => Ok(text.to_owned()),
        }
    }

    /// A passphrase, typed twice; an empty one means none.
    pub(super) fn ask_passphrase(&self) -> Result<Option<Secret>, Failure> {
        if !self.is_there {
            return Err(Failure::Missing("--passphrase or --no-passphrase"));
        }
        self.tell(
            "A passphrase encrypts your keys, contacts and calls on this disk. Without one, whoever gets the disk, or a copy of it, can\n\
             answer and call in your name. There is no way back from a forgotten one. Leave it empty to have none.\n",
        )?;
        for _ in 0..TRIES {
            let first = passphrase::ask("Passphrase (nothing is shown): ");
            let first = first.filter(|text| !text.is_empty());
            let Some(first) = first else {
                return Ok(None);
            };
            if passphrase::ask("Again: ").is_some_and(|second| second == first) {
                return Ok(Some(first));
            }
            self.tell("The second one differs from the first.\n")?;
        }
        Err(Failure::NoPassphrase)
    }

    /// Says something where it is asked.
    pub(super) fn tell(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stderr().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| Failure::Output(error.kind()))
    }
}

/// One line; `None` at the end of the input.
fn read(input: impl BufRead) -> Option<String> {
    let mut typed = String::new();
    let read = std::io::Read::take(input, MOST_ANSWER).read_line(&mut typed);
    read.ok().filter(|read| *read > 0).map(|_| typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_is_the_option_is_named() {
        let clerk = Clerk { is_there: false };
        let fault = clerk.ask("Code", Some("usual"), "--code").unwrap_err();
        assert!(fault.to_string().contains("--code"), "{fault}");
        assert!(clerk.ask_passphrase().is_err());
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        assert_eq!(read(&b""[..]), None);
        assert_eq!(read(&b"\n"[..]).as_deref(), Some("\n"));
    }
}
