//! Questions at the terminal. Without one, a question fails with the name of the option that answers it.

use std::io::{BufRead, IsTerminal, Write};

use super::CommandError;
use crate::cli::passphrase;
use crate::state::secret::Secret;

/// How often a question is asked.
pub(super) const TRIES: usize = 5;

/// Longest answer that is read: a URL.
const MOST_ANSWER: u64 = 2_048;

/// Asks questions, if there is a terminal.
#[derive(Debug)]
pub(super) struct Prompter {
    has_terminal: bool,
}

impl Prompter {
    /// Asks only if standard input and standard error are a terminal.
    pub(super) fn at_terminal() -> Self {
        Self {
            has_terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        }
    }

    /// Whether there is a terminal to ask at.
    pub(super) fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// The answer, or `usual` for an empty one. Without a terminal, the error names `option`.
    pub(super) fn ask(
        &self,
        question: &str,
        usual: Option<&str>,
        option: &'static str,
    ) -> Result<String, CommandError> {
        if !self.has_terminal {
            return Err(CommandError::Missing(option));
        }
        let hint = usual.map_or_else(String::new, |usual| format!(" [{usual}]"));
        self.print(&format!("{question}{hint}: "))?;
        let typed = read(std::io::stdin().lock()).ok_or(CommandError::Missing(option))?;
        match (typed.trim(), usual) {
            ("", Some(usual)) => Ok(usual.to_owned()),
            (text, _) => Ok(text.to_owned()),
        }
    }

    /// A passphrase, typed twice; an empty one means none.
    pub(super) fn ask_passphrase(&self) -> Result<Option<Secret>, CommandError> {
        if !self.has_terminal {
            return Err(CommandError::Missing("--passphrase or --no-passphrase"));
        }
        self.print(
            "A passphrase encrypts your keys, contacts and calls on this disk. Without one, a thief of the disk, or of a copy, can answer\n\
             and call in your name. A forgotten passphrase cannot be recovered. Leave it empty to have none.\n",
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
            self.print("The second one differs from the first.\n")?;
        }
        Err(CommandError::NoPassphrase)
    }

    /// Prints to where questions are asked.
    pub(super) fn print(&self, text: &str) -> Result<(), CommandError> {
        let mut out = std::io::stderr().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| CommandError::Output(error.kind()))
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
    fn without_a_terminal_the_option_is_named() {
        let prompter = Prompter {
            has_terminal: false,
        };
        let error = prompter.ask("Code", Some("usual"), "--code").unwrap_err();
        assert!(error.to_string().contains("--code"), "{error}");
        assert!(prompter.ask_passphrase().is_err());
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        assert_eq!(read(&b""[..]), None);
        assert_eq!(read(&b"\n"[..]).as_deref(), Some("\n"));
    }
}
