//! Papers that come with a program: its manual pages and the completions for shells, both made from the command line itself, so
//! that they never say anything else.

use std::io;
use std::path::Path;

use clap::Command;
pub use clap_complete::Shell;
use clap_mangen::Man;

/// The completions of a program for a shell.
#[must_use]
pub fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The manual page of a program, as roff.
///
/// # Errors
/// None in memory; what the writer says.
pub fn manual(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

/// Writes a manual page for the program and for each of its commands into a folder that exists.
///
/// # Errors
/// What the system says.
pub fn manuals(command: Command, folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(command, folder)
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn program() -> Command {
        let serve = Command::new("serve")
            .about("Serve it")
            .arg(Arg::new("listen").long("listen").help("Where to listen"));
        Command::new("program")
            .about("A program")
            .subcommand(serve)
            .subcommand(Command::new("man").hide(true))
    }

    #[test]
    fn every_shell_completes_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(shell, program())).unwrap();
            assert!(
                script.contains("serve") && script.contains("listen"),
                "{shell}"
            );
        }
    }

    #[test]
    fn every_command_but_the_hidden_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        manuals(program(), folder.path()).unwrap();
        let names = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["program-serve.1", "program.1"]);
        let page = String::from_utf8(manual(program()).unwrap()).unwrap();
        assert!(page.contains("A program"), "{page}");
    }
}
