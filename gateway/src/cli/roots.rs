//! `ringfence roots`: writes the roots of the phone book that this engine has seen into a file, for an operator who has lost them.

use std::path::PathBuf;

use clap::Args;
use ringfence_engine::time::UnixTime;

use super::{CommandError, PathArgs, book_copy, say, unlock};
use crate::calendar::moment;
use crate::state::keystore::write_private;

#[derive(Debug, Args)]
pub(super) struct RootsArgs {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) fn run(args: &RootsArgs) -> Result<(), CommandError> {
    let mut config = args.paths.config()?;
    let secret = unlock(&mut config)?;
    let copy = book_copy(&config, &secret)?;
    let bytes: Vec<u8> = copy.roots.iter().flat_map(|root| root.encode()).collect();
    write_private(&args.file, &bytes)?;
    let newest = copy.book.root().states();
    say(&format!(
        "{} has the roots of the phone book up to epoch {}, closed {}. They are public, and say nothing about this engine. An operator who \
         restored an older backup runs: ringfence-phonebook resume FILE",
        args.file.display(),
        newest.epoch,
        moment(UnixTime::from_seconds(newest.closed))
    ))
}
