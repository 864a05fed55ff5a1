//! Questions at the terminal. Without one, a question fails with the name of the option that answers it.

use std::cell::RefCell;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use super::CommandError;
use super::answers::Answers;
use crate::cli::passphrase;
use crate::state::secret::Secret;

/// How often a new passphrase is asked for.
const TRIES: usize = 3;

/// Longest answer that is read: a URL.
const MOST_ANSWER: u64 = 2_048;

/// Asks questions, if there is a terminal, and keeps the answers until the setup is finished.
#[derive(Debug)]
pub(super) struct Prompter {
    has_terminal: bool,
    answers: RefCell<Answers>,
}

impl Prompter {
    /// Asks only if standard input and standard error are a terminal. Answers are kept beside `settings`.
    pub(super) fn at_terminal(settings: &Path) -> Self {
        Self {
            has_terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            answers: RefCell::new(Answers::of(settings)),
        }
    }

    /// Whether there is a terminal to ask at.
    pub(super) fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// Asks until `read` accepts the answer, and says why it does not. An empty answer is that of the interrupted setup before, or else
    /// `usual`. Without a terminal, the error names `option`.
    pub(super) fn ask<T>(
        &self,
        question: &str,
        usual: Option<&str>,
        option: &'static str,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, CommandError> {
        loop {
            let text = self.ask_text(question, usual, option)?;
            match read(&text) {
                Ok(answer) => {
                    self.answers.borrow_mut().keep(option, &text)?;
                    return Ok(answer);
                }
                Err(why) => {
                    self.answers.borrow_mut().forget(option);
                    self.print(&format!("{why}\n"))?;
                }
            }
        }
    }

    /// A question with a yes or a no, which Enter answers with yes.
    pub(super) fn agrees(
        &self,
        question: &str,
        option: &'static str,
    ) -> Result<bool, CommandError> {
        let question = format!("{question} (y/n)");
        self.ask(&question, Some("y"), option, yes_or_no)
    }

    /// The same for what changes something that is there: Enter is no.
    pub(super) fn insists(
        &self,
        question: &str,
        option: &'static str,
    ) -> Result<bool, CommandError> {
        let question = format!("{question} (y/n)");
        self.ask(&question, Some("n"), option, yes_or_no)
    }

    fn ask_text(
        &self,
        question: &str,
        usual: Option<&str>,
        option: &'static str,
    ) -> Result<String, CommandError> {
        if !self.has_terminal {
            return Err(CommandError::Missing(option));
        }
        let kept = self.answers.borrow().get(option);
        let usual = kept.as_deref().or(usual);
        let hint = match usual {
            None | Some("") => String::new(),
            Some(usual) => format!(" [{usual}]"),
        };
        self.print(&format!("{question}{hint}: "))?;
        let typed = read(std::io::stdin().lock()).ok_or(CommandError::Stopped)?;
        match (typed.trim(), usual) {
            ("", Some(usual)) => Ok(usual.to_owned()),
            (text, _) => Ok(text.to_owned()),
        }
    }

    /// Asks for a new answer at the next question of this option.
    pub(super) fn forget(&self, option: &str) {
        self.answers.borrow_mut().forget(option);
    }

    /// Removes the answers: the setup is finished.
    pub(super) fn finish(&self) {
        self.answers.borrow_mut().remove();
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
        Err(CommandError::Stopped)
    }

    /// Prints to where questions are asked.
    pub(super) fn print(&self, text: &str) -> Result<(), CommandError> {
        let mut out = std::io::stderr().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| CommandError::Output(error.kind()))
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("Answer y or n.".to_owned()),
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
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("ringfence.toml");
        let prompter = Prompter {
            has_terminal: false,
            answers: RefCell::new(Answers::of(&settings)),
        };
        let asked = prompter.ask("Code", Some("usual"), "--code", |text| Ok(text.to_owned()));
        let error = asked.unwrap_err();
        assert!(error.to_string().contains("--code"), "{error}");
        assert!(prompter.ask_passphrase().is_err());
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        assert_eq!(read(&b""[..]), None);
        assert_eq!(read(&b"\n"[..]).as_deref(), Some("\n"));
    }
}
