//! The public book as files, named as the server's paths are: for a mirror that needs no program but a web server. What is signed
//! protects it; a server of it can withhold it, but not change it.

use std::fs;
use std::io;
use std::path::Path;

use ringfence_book::blocks::{BLOCK_ROOTS, block_of, first_of_block, is_full_block};
use ringfence_book::root::{ROOT_BYTES, Root};

use super::{OperatorError, with_book};
use crate::book::{Book, KEPT_DELTAS};
use crate::config::Config;

/// Writes `api/v1/...` into the folder, or brings it up to date: only what changed is written, each file whole, the root last.
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
    let root: &Root = published.root().ok_or(OperatorError::Unpublished)?;
    let last = root.states().epoch;
    for (index, tile) in (0..).map_while(|index| Some((index, published.tile(index)?))) {
        let name: u16 = index;
        put(folder, &format!("tiles/{name}"), tile.tile().as_bytes())?;
    }
    write_deltas(book, folder, last)?;
    write_roots(book, folder, last)?;
    put(
        folder,
        "network",
        published.network().map_or(&[], |network| network),
    )?;
    put(folder, "root", &root.encode())?;
    Ok(last)
}

/// A delta never changes: one that is there is left alone, one that the book has forgotten is removed.
fn write_deltas(book: &mut Book, folder: &Path, last: u32) -> Result<(), OperatorError> {
    let mut archive = book.archive()?;
    let first = last.saturating_sub(KEPT_DELTAS - 1);
    for epoch in first.max(1)..=last {
        let name = format!("deltas/{epoch}");
        if !folder.join(&name).exists()
            && let Some(delta) = archive.delta(epoch)?
        {
            put(folder, &name, &delta)?;
        }
    }
    let deltas = folder.join("deltas");
    for file in fs::read_dir(&deltas).into_iter().flatten().flatten() {
        let name = file.file_name();
        let epoch = name.to_str().and_then(|name| name.parse::<u32>().ok());
        if epoch.is_some_and(|epoch| epoch < first) {
            fs::remove_file(file.path()).map_err(|cause| fault(&file.path(), cause))?;
        }
    }
    Ok(())
}

/// Nor does a full block of roots.
fn write_roots(book: &mut Book, folder: &Path, last: u32) -> Result<(), OperatorError> {
    let mut archive = book.archive()?;
    for block in 0..=block_of(last) {
        let name = format!("roots/{block}");
        let known = fs::read(folder.join(&name)).unwrap_or_default();
        if !is_full_block(&known) {
            let first = first_of_block(block);
            let roots = archive.roots(first, BLOCK_ROOTS.min(last - first + 1))?;
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
