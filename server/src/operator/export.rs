//! The public book as files, named as the server's paths are: for a mirror that needs no program but a web server. What is signed
//! protects it; a server of it can withhold it, but not change it.

use std::fs;
use std::io;
use std::path::Path;

use ringfence_book::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of, first_of_block, last_of_block};
use ringfence_book::root::ROOT_BYTES;
use ringfence_book::step::Step;

use super::{OperatorError, with_book};
use crate::book::recent_files::joined;
use crate::book::{Book, KEPT_DELTAS};
use crate::config::Config;

/// Writes `api/v1/...` into the folder, or brings it up to date: only what changed is written, each file whole, the newest step last.
/// Answers the epoch.
///
/// # Errors
/// [`OperatorError`].
pub async fn export(config: &Config, folder: &Path) -> Result<u32, OperatorError> {
    let folder = folder.join("api/v1");
    with_book(config, move |book| write(book, &folder)).await
}

fn write(book: &mut Book, folder: &Path) -> Result<u32, OperatorError> {
    let published = book.published();
    let newest = published.root().zip(published.newest());
    let (root, step) = newest.ok_or(OperatorError::Unpublished)?;
    let last = root.states().epoch;
    for (index, tile) in (0..).map_while(|index| Some((index, published.tile(index)?))) {
        let name: u16 = index;
        put(folder, &format!("tiles/{name}"), tile.tile().as_bytes())?;
    }
    // What was exported before: blocks that were full then do not change.
    let exported = fs::read(folder.join("newest")).ok();
    let exported = exported.and_then(|step| Step::decode(&step, &book.key()).ok());
    let exported = exported.map_or(0, |step| step.root.states().epoch);
    write_steps(book, folder, (exported, last))?;
    write_roots(book, folder, (exported, last))?;
    put(
        folder,
        "network",
        published.network().map_or(&[], |network| network),
    )?;
    put(folder, "newest", &step)?;
    Ok(last)
}

/// Blocks of steps that the book has forgotten are removed.
fn write_steps(
    book: &mut Book,
    folder: &Path,
    (exported, last): (u32, u32),
) -> Result<(), OperatorError> {
    let mut archive = book.archive()?;
    let oldest = block_of(last.saturating_sub(KEPT_DELTAS - 1).max(1), BLOCK_STEPS) + 1;
    let oldest = if last < KEPT_DELTAS { 0 } else { oldest };
    for block in oldest..=block_of(last, BLOCK_STEPS) {
        let name = format!("steps/{block}");
        let (first, end) = (
            first_of_block(block, BLOCK_STEPS),
            last_of_block(block, BLOCK_STEPS),
        );
        if (end > exported || !folder.join(&name).exists())
            && let Some(steps) = joined(&archive.steps(first, end.min(last))?)
        {
            put(folder, &name, &steps)?;
        }
    }
    for file in fs::read_dir(folder.join("steps"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = file.file_name();
        let block = name.to_str().and_then(|name| name.parse::<u32>().ok());
        if block.is_some_and(|block| block < oldest) {
            fs::remove_file(file.path()).map_err(|cause| fault(&file.path(), cause))?;
        }
    }
    Ok(())
}

fn write_roots(
    book: &mut Book,
    folder: &Path,
    (exported, last): (u32, u32),
) -> Result<(), OperatorError> {
    let mut archive = book.archive()?;
    for block in 0..=block_of(last, BLOCK_ROOTS) {
        let name = format!("roots/{block}");
        let end = last_of_block(block, BLOCK_ROOTS);
        if end > exported || !folder.join(&name).exists() {
            let roots = archive.roots(first_of_block(block, BLOCK_ROOTS), end.min(last))?;
            put(folder, &name, &<[[u8; ROOT_BYTES]]>::concat(&roots))?;
        }
    }
    Ok(())
}

/// Readers see the file as it was or as it is. An unchanged one keeps its date.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), OperatorError> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, bytes)?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(|cause| fault(&path, cause))
}

fn fault(path: &Path, cause: io::Error) -> OperatorError {
    OperatorError::File {
        path: path.to_owned(),
        cause,
    }
}
