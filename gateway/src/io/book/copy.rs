//! The copy of the phone book on this machine.
//!
//! ```text
//! STATE/book/<16 hexadecimal digits of the book's key>/
//!   network.json      what an engine must know to be part of the book's network
//!   etags.json        the version of each tile, as the book calls it
//!   tile-0000 ...     48 kB each
//! ```
//! Damaged or missing files are downloaded again. Records are not verified here: each is signed by its own key, and the engine
//! verifies the one that it rings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringfence_phonebook::{BookKey, NetworkSettings, Tile};

use super::{BookClient, BookFault, check};
use crate::keystore::{make_folder, write_private};

/// The whole book at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What an engine must know to be part of the book's network.
    pub network: NetworkSettings,
    /// All tiles, in order. Shared, because a book has megabytes.
    pub tiles: Arc<[Tile]>,
}

/// The copy on this machine.
#[derive(Debug)]
pub struct BookCopy {
    folder: PathBuf,
    key: BookKey,
    network: Option<NetworkSettings>,
    tiles: BTreeMap<u16, Tile>,
    etags: BTreeMap<u16, String>,
}

impl BookCopy {
    /// Reads the copy of the book with this key below the state folder; an empty one when there is none yet.
    ///
    /// # Errors
    /// [`BookFault::Disk`] when the folder cannot be made.
    pub fn open(state: &Path, key: BookKey) -> Result<Self, BookFault> {
        let name = hex::encode(key.as_bytes().get(..8).unwrap_or_default());
        let books = state.join("book");
        make_folder(&books)?;
        let folder = books.join(name);
        make_folder(&folder)?;
        let mut copy = Self {
            folder,
            key,
            network: None,
            tiles: BTreeMap::new(),
            etags: BTreeMap::new(),
        };
        copy.load();
        Ok(copy)
    }

    /// The whole book, if all of it is here.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let network = self.network.clone()?;
        let tiles: Option<Vec<Tile>> = (0..network.plan.tiles())
            .map(|index| self.tiles.get(&index).cloned())
            .collect();
        Some(Snapshot {
            network,
            tiles: tiles?.into(),
        })
    }

    /// Brings the copy up to date: the settings, then every tile that has changed.
    ///
    /// # Errors
    /// [`BookFault`]; what was downloaded before stays.
    pub async fn refresh(&mut self, client: &BookClient) -> Result<Snapshot, BookFault> {
        let network = client.network().await?;
        if network.book_key != self.key {
            return Err(BookFault::KeyChanged);
        }
        if self.network.as_ref() != Some(&network) {
            self.write("network.json", &to_json(&network))?;
        }
        let count = network.plan.tiles();
        self.network = Some(network);
        let mut changed = false;
        for index in 0..count {
            let known = self
                .tiles
                .contains_key(&index)
                .then(|| self.etags.get(&index))
                .flatten()
                .cloned();
            if let Some(fresh) = client.tile(index, known.as_deref()).await? {
                self.write(&tile_name(index), fresh.tile.as_bytes())?;
                self.tiles.insert(index, fresh.tile);
                self.etags.insert(index, fresh.etag);
                changed = true;
            }
        }
        if changed {
            self.etags.retain(|_, etag| !etag.is_empty());
            self.write("etags.json", &to_json(&self.etags))?;
        }
        self.snapshot()
            .ok_or_else(|| BookFault::NotABook(client.url().to_owned()))
    }

    /// Takes what is there and makes sense; the rest will be downloaded.
    fn load(&mut self) {
        let Some(network) = self
            .read_json::<NetworkSettings>("network.json")
            .and_then(|network| check(network).ok())
        else {
            return;
        };
        if network.book_key != self.key {
            return;
        }
        for index in 0..network.plan.tiles() {
            let bytes = std::fs::read(self.folder.join(tile_name(index))).unwrap_or_default();
            if let Ok(tile) = Tile::decode(&bytes) {
                self.tiles.insert(index, tile);
            }
        }
        self.etags = self.read_json("etags.json").unwrap_or_default();
        self.network = Some(network);
    }

    fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.folder.join(name)).ok()?).ok()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BookFault> {
        Ok(write_private(&self.folder.join(name), bytes)?)
    }
}

fn tile_name(index: u16) -> String {
    format!("tile-{index:04}")
}

fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("settings and texts always become JSON in memory")
}
