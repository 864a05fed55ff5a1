//! The copy of the phone book on this machine.
//!
//! ```text
//! STATE/book/<16 hexadecimal digits of the book's key, or a keyed name under a passphrase>/
//!   network.json      the settings, byte for byte as the root names them
//!   roots             the roots of the last days, 257 bytes each, the newest last
//!   deltas            what changed since the tiles were written
//!   tile-0000 ...     48 kB each, as they were some epochs ago
//!   replaced          listings that were replaced in the last week
//! ```
//! A download in each epoch adds one root and one delta; the tiles are rewritten every 320 epochs. When the copy is read, tiles and
//! deltas are verified against the last root as after a download; what does not match is downloaded again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringfence_book::bounds::{DownloadBudget, DownloadCost};
use ringfence_book::fetch::MOST_BEHIND;
use ringfence_book::root::ROOT_BYTES;
use ringfence_book::{
    BookKey, Delta, Fetch, Fetched, NetworkSettings, ReplacedListings, Root, RootHistory, Tile,
    VerifiedBook, Want,
};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{BookClient, BookError, check};
use crate::blocking::aside;
use crate::clock;
use crate::state::folder::StateFolder;
use crate::state::keystore::make_folder;

/// Deltas after which the tiles are rewritten: as many as a download may bring.
const MOST_DELTAS: usize = MOST_BEHIND as usize;

/// Largest file that is read: 64 deltas that replace a third of the largest book each, as no book does.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The whole book at one moment.
#[derive(Debug, Clone)]
pub struct BookSnapshot {
    /// The settings of the book's network.
    pub network: NetworkSettings,
    /// All tiles and the root that describes them. Tiles are shared, because a book has megabytes.
    pub book: VerifiedBook,
    /// The roots of the last days, the oldest first; the last one is the book's.
    pub roots: Arc<[Arc<Root>]>,
}

/// The copy on this machine.
#[derive(Debug)]
pub struct BookCopy {
    state: StateFolder,
    /// Below the state folder.
    folder: PathBuf,
    key: BookKey,
    network: Option<(NetworkSettings, [u8; 32])>,
    book: Option<VerifiedBook>,
    roots: RootHistory,
    /// Deltas on the disk.
    deltas: usize,
}

impl BookCopy {
    /// Reads the copy of the book with this key below the state folder; an empty one when there is none yet.
    ///
    /// # Errors
    /// [`BookError::Disk`] when the folder cannot be made.
    pub fn open(state: impl Into<StateFolder>, key: BookKey) -> Result<Self, BookError> {
        let state = state.into();
        let name = hex::encode(key.as_bytes().get(..8).unwrap_or_default());
        let folder = Path::new("book").join(state.name("book", &name)?);
        make_folder(&state.join("book"))?;
        make_folder(&state.join(&folder))?;
        let mut copy = Self {
            state,
            folder,
            key,
            network: None,
            book: None,
            roots: RootHistory::default(),
            deltas: 0,
        };
        copy.load();
        Ok(copy)
    }

    /// The whole book, if all of it is here.
    #[must_use]
    pub fn snapshot(&self) -> Option<BookSnapshot> {
        Some(BookSnapshot {
            network: self.network.as_ref()?.0.clone(),
            book: self.book.clone()?,
            roots: self.roots.shared(),
        })
    }

    /// Brings the copy up to date.
    ///
    /// # Errors
    /// [`BookError`]; what was there before stays. A download that is too slow or too large ends as [`DownloadBudget`] says.
    pub async fn refresh(&mut self, client: &BookClient) -> Result<BookSnapshot, BookError> {
        let known = self.network.as_ref().map(|(_, hash)| *hash);
        let now = clock::unix_seconds();
        let fetch = Fetch::new(self.key, self.book.clone(), known, now);
        let mut fetch = fetch.after(self.roots.newest().copied());
        let (mut budget, start) = (DownloadBudget::default(), Instant::now());
        while let Some(want) = fetch.wants() {
            let bringing = timeout_at(start + budget.deadline(), self.bring(client, want));
            let brought = bringing.await.map_err(|_| DownloadCost::Slow)?;
            if matches!(
                (want, &brought),
                (Want::Steps(_), Err(BookError::Status(404)))
            ) {
                fetch.handle_absence()?;
                continue;
            }
            let bytes = brought?;
            budget.handle_answer(bytes.len(), start.elapsed())?;
            fetch.handle_answer(&bytes)?;
        }
        self.keep_aside(fetch).await?;
        self.snapshot()
            .ok_or_else(|| BookError::NotABook(client.url().to_owned()))
    }

    /// From the book, or from here what the book says is the same: its entity tags are hashes of the bytes.
    async fn bring(&self, client: &BookClient, want: Want) -> Result<Vec<u8>, BookError> {
        let known = match want {
            Want::Tile(index) => self.tile(index),
            _ => None,
        };
        let etag = known.as_ref().map(|tile| {
            let hash = tile.hash();
            format!("\"{}\"", hex::encode(hash.get(..16).unwrap_or_default()))
        });
        let fresh = client.get(want, etag.as_deref()).await?;
        fresh
            .or_else(|| known.map(|tile| tile.as_bytes().to_vec()))
            .ok_or(BookError::Status(304))
    }

    fn tile(&self, index: u16) -> Option<Arc<Tile>> {
        let tiles = self.book.as_ref()?.tiles();
        tiles.get(usize::from(index)).cloned()
    }

    /// Verifies what was fetched and keeps what is new, in a thread that may compute for a second and wait for a disk: calls do not. Cancelled
    /// meanwhile, the copy is an empty one.
    async fn keep_aside(&mut self, fetch: Fetch) -> Result<(), BookError> {
        let mut copy = Self {
            state: self.state.clone(),
            folder: self.folder.clone(),
            key: self.key,
            network: self.network.take(),
            book: self.book.take(),
            roots: std::mem::take(&mut self.roots),
            deltas: self.deltas,
        };
        let (copy, kept) = aside(move || {
            let kept = match fetch.finish() {
                Ok(Some(fetched)) => copy.keep(fetched),
                Ok(None) => Ok(()),
                Err(error) => Err(error.into()),
            };
            (copy, kept)
        })
        .await;
        *self = copy;
        kept
    }

    /// Writes what is new, so that the next start finds it whole: what is there meanwhile is either the old copy or the new one, or
    /// something that does not fit and is downloaded again.
    fn keep(&mut self, fetched: Fetched) -> Result<(), BookError> {
        let Fetched {
            copy,
            roots,
            deltas,
            network,
        } = fetched;
        if let Some(json) = network {
            let settings: NetworkSettings = serde_json::from_slice(&json)
                .map_err(|_| BookError::NotABook("the phone book".to_owned()))?;
            let settings = check(settings)?;
            if settings.book_key != self.key {
                return Err(BookError::KeyChanged);
            }
            self.write("network.json", &json)?;
            self.network = Some((settings, Sha256::digest(&json).into()));
        }
        let is_step = self.book.is_some() && self.deltas + deltas.len() <= MOST_DELTAS;
        let follows = deltas.len() == roots.len();
        for root in &roots {
            self.roots.add(*root);
        }
        if is_step && follows {
            let bytes: Vec<u8> = deltas.iter().flat_map(Delta::encode).collect();
            self.append("deltas", &bytes)?;
            let bytes: Vec<u8> = roots.iter().flat_map(Root::encode).collect();
            self.append("roots", &bytes)?;
            self.deltas += deltas.len();
        } else {
            self.write_whole(&copy)?;
        }
        let known = self.book.as_ref().map(VerifiedBook::replaced);
        if known != Some(copy.replaced()) {
            self.write("replaced", &copy.replaced().encode())?;
        }
        self.book = Some(copy);
        Ok(())
    }

    /// All tiles, then no deltas, then the roots.
    fn write_whole(&mut self, copy: &VerifiedBook) -> Result<(), BookError> {
        for (index, tile) in (0..).zip(copy.tiles()) {
            let known = self.deltas == 0 && self.tile(index).is_some_and(|known| known == *tile);
            if !known {
                self.write(&tile_name(index), tile.as_bytes())?;
            }
        }
        self.write("deltas", &[])?;
        self.deltas = 0;
        let bytes: Vec<u8> = self.roots.iter().flat_map(Root::encode).collect();
        self.write("roots", &bytes)
    }

    /// Reads the valid part of the copy; the rest will be downloaded.
    fn load(&mut self) {
        let Some(newest) = self.load_roots() else {
            return;
        };
        self.network = self.load_network();
        let tiles: Option<Vec<Arc<Tile>>> = (0..newest.states().plan.tiles())
            .map(|index| {
                let bytes = self.read(&tile_name(index))?;
                Tile::decode(&bytes).map(Arc::new).ok()
            })
            .collect();
        let (Some(tiles), Some(deltas)) = (tiles, self.load_deltas()) else {
            return;
        };
        let replaced = self.read("replaced").unwrap_or_default();
        let book = settle(tiles, &self.roots, &deltas);
        self.book = book.map(|book| book.with_replaced(ReplacedListings::decode(&replaced)));
        self.deltas = deltas.len();
    }

    fn load_roots(&mut self) -> Option<Root> {
        let bytes = self.read("roots")?;
        let (parts, _) = bytes.as_chunks::<ROOT_BYTES>();
        for part in parts {
            self.roots.add(Root::decode(part, &self.key).ok()?);
        }
        self.roots.newest().copied()
    }

    fn load_network(&self) -> Option<(NetworkSettings, [u8; 32])> {
        let json = self.read("network.json")?;
        let network: NetworkSettings = serde_json::from_slice(&json).ok()?;
        let network = check(network).ok()?;
        (network.book_key == self.key).then(|| (network, Sha256::digest(&json).into()))
    }

    fn load_deltas(&self) -> Option<Vec<Delta>> {
        let bytes = self.read("deltas")?;
        let (mut rest, mut deltas) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (delta, after) = Delta::decode_first(rest).ok()?;
            deltas.push(delta);
            rest = after;
        }
        Some(deltas)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BookError> {
        Ok(self.state.write(&self.folder.join(name), bytes)?)
    }

    /// Appends bytes to a file. A part of them, left by a crash, fails the verification.
    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), BookError> {
        Ok(self.state.append(&self.folder.join(name), bytes)?)
    }

    /// What cannot be read, for whatever reason, is downloaded again.
    fn read(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        let read = self.state.read(&self.folder.join(name), MOST_BYTES);
        read.ok().flatten()
    }
}

/// The book of these tiles after these deltas, which lead to the last of these roots.
fn settle(tiles: Vec<Arc<Tile>>, roots: &RootHistory, deltas: &[Delta]) -> Option<VerifiedBook> {
    let first = roots.len().checked_sub(deltas.len() + 1)?;
    let roots: Vec<Root> = roots.iter().skip(first).copied().collect();
    VerifiedBook::settle(tiles, &roots, deltas).ok()
}

fn tile_name(index: u16) -> String {
    format!("tile-{index:04}")
}
