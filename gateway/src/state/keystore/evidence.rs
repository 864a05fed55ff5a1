//! Evidence against the phone book: each is a proof by itself, which needs only the book's public key, and contains no number
//! except that of one's own false record. Under a passphrase its file is sealed; `ringfence evidence --to` writes it for others.
//!
//! ```json
//! { "format": "ringfence-evidence-1", "kind": "roots", "day": 20416, "book_key": "base64",
//!   "known": "base64 of 217 bytes", "shown": "base64 of 217 bytes" }
//! { "format": "ringfence-evidence-1", "kind": "record", "day": 20416, "book_key": "base64",
//!   "number": 20001, "root": "base64 of 217 bytes", "tile": "base64 of 49,152 bytes", "tile_hashes": ["base64", ...] }
//! ```
//! `roots`: the same key signed both, and they have the same epoch and state different things; or `shown` is of the epoch after and
//! names another root before it than `known`. `record`: the root names the hash over `tile_hashes`, which has that of `tile`, which
//! has a record for the number that its owner did not make. The bytes are described in PROTOCOL.md section 4.6.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_book::{BookKey, Day, Lie, Root};
use ringfence_engine::FalseRecord;
use ringfence_engine::trust::roots::SplitView;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KeystoreError, file};
use crate::state::folder::StateFolder;

const FORMAT: &str = "ringfence-evidence-1";

/// Its folder in the state folder.
const FOLDER: &str = "evidence";

/// Files that are kept. After the first one the book is not to be trusted; more prove nothing new.
const MOST_FILES: usize = 64;

/// Largest file: a tile, and the hashes of the most tiles that a book may have.
const MOST_BYTES: u64 = 1024 * 1024;

/// Evidence of one kind.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// Two roots that contradict each other.
    Roots {
        /// The first.
        known: Box<Root>,
        /// The other.
        shown: Box<Root>,
    },
    /// A false record of a number of one's own.
    Record(Box<FalseRecord>),
}

impl From<SplitView> for Evidence {
    fn from(split: SplitView) -> Self {
        Self::Roots {
            known: Box::new(split.ours),
            shown: Box::new(split.theirs),
        }
    }
}

impl From<Lie> for Evidence {
    fn from(lie: Lie) -> Self {
        Self::Roots {
            known: Box::new(lie.known),
            shown: Box::new(lie.shown),
        }
    }
}

/// One file, as it stands in the folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Proof {
    Roots {
        known: String,
        shown: String,
    },
    Record {
        number: u32,
        root: String,
        tile: String,
        tile_hashes: Vec<String>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    format: String,
    day: Day,
    book_key: String,
    #[serde(flatten)]
    proof: Proof,
}

/// What a file in the folder is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceFile {
    /// Where it is.
    pub path: PathBuf,
    /// When it was found, in days since 1970.
    pub day: Day,
    /// One sentence.
    pub says: String,
}

/// The folder of the evidence.
#[derive(Clone, Debug)]
pub struct EvidenceFolder(StateFolder);

impl EvidenceFolder {
    /// The evidence in this state folder.
    #[must_use]
    pub fn of(state: impl Into<StateFolder>) -> Self {
        Self(state.into())
    }

    fn folder(&self) -> PathBuf {
        self.0.join(FOLDER)
    }

    /// Keeps evidence against the book with this key; where it is kept, or `None` when there are too many files already.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn keep(
        &self,
        evidence: &Evidence,
        book: &BookKey,
        today: Day,
    ) -> Result<Option<PathBuf>, KeystoreError> {
        file::make_folder(&self.folder())?;
        if file::list(&self.folder())?.len() >= MOST_FILES {
            return Ok(None);
        }
        let stored = Stored {
            format: FORMAT.to_owned(),
            day: today,
            book_key: STANDARD.encode(book.as_bytes()),
            proof: Proof::of(evidence),
        };
        let json = serde_json::to_vec_pretty(&stored).expect("texts always become JSON");
        let (kind, root): (_, &Root) = match evidence {
            Evidence::Roots { shown, .. } => ("roots", shown),
            Evidence::Record(record) => ("record", &record.root),
        };
        let mark = hex::encode(root.hash().0.get(..4).unwrap_or_default());
        let name = format!("{kind}-{:010}-{mark}", root.states().epoch);
        let name = format!("{}.json", self.0.name(FOLDER, &name)?);
        self.0.write(&Path::new(FOLDER).join(&name), &json)?;
        Ok(Some(self.folder().join(name)))
    }

    /// How many files there are.
    #[must_use]
    pub fn count(&self) -> usize {
        // `ringfence evidence` reports a folder that cannot be read.
        file::list(&self.folder()).map_or(0, |files| files.len())
    }

    /// What there is, by day.
    ///
    /// # Errors
    /// [`KeystoreError`] when a file cannot be read.
    pub fn list(&self) -> Result<Vec<EvidenceFile>, KeystoreError> {
        let read = |path: PathBuf| {
            let json = self.content(&path)?;
            let malformed = |_| KeystoreError::Malformed { path: path.clone() };
            let stored: Stored = serde_json::from_slice(&json).map_err(malformed)?;
            let says = match stored.proof {
                Proof::Roots { .. } => {
                    "the phone book signed two roots that contradict each other".to_owned()
                }
                Proof::Record { number, .. } => {
                    format!("the phone book listed your number {number} with other keys than yours")
                }
            };
            Ok(EvidenceFile {
                path,
                day: stored.day,
                says,
            })
        };
        let paths = file::list(&self.folder())?.into_iter();
        let mut found: Vec<EvidenceFile> = paths.map(read).collect::<Result<_, _>>()?;
        found.sort_by_key(|file| file.day);
        Ok(found)
    }

    /// The proof in a file that was listed, as others need it.
    ///
    /// # Errors
    /// [`KeystoreError`] when the file cannot be read.
    pub fn content(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let name = Path::new(FOLDER).join(path.file_name().unwrap_or_default());
        let content = self.0.read(&name, MOST_BYTES)?;
        content.ok_or_else(|| KeystoreError::Malformed {
            path: path.to_owned(),
        })
    }
}

impl Proof {
    fn of(evidence: &Evidence) -> Self {
        match evidence {
            Evidence::Roots { known, shown } => Self::Roots {
                known: STANDARD.encode(known.encode()),
                shown: STANDARD.encode(shown.encode()),
            },
            Evidence::Record(record) => Self::Record {
                number: record.number.value(),
                root: STANDARD.encode(record.root.encode()),
                tile: STANDARD.encode(record.tile.as_bytes()),
                tile_hashes: record
                    .hashes
                    .iter()
                    .map(|hash| STANDARD.encode(hash))
                    .collect(),
            },
        }
    }
}

#[cfg(test)]
pub(in crate::state) mod tests {
    use std::sync::Arc;

    use ringfence_book::{Number, NumberPlan, Tile};

    use super::*;

    /// Any root will do: it is kept as it is. This one was signed by a book of the tests in `server/`.
    pub(in crate::state) fn root(folder: &Path) -> (Root, BookKey) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let config = ringfence_phonebook::config::Config {
                listen: ([127, 0, 0, 1], 0).into(),
                database: ringfence_phonebook::config::Database::Memory,
                plan: NumberPlan::new(20_000, 1).unwrap(),
                ..Default::default()
            };
            let book = ringfence_phonebook::PhoneBook::start(config).await.unwrap();
            let client = crate::net::book::BookClient::new(
                &book.url(),
                &crate::net::outbound::Outbound::direct(),
            )
            .unwrap();
            let mut copy = crate::net::book::BookCopy::open(folder, book.book_key()).unwrap();
            let snapshot = copy.refresh(&client).await.unwrap();
            (*snapshot.book.root(), book.book_key())
        })
    }

    #[test]
    fn evidence_is_kept_once_listed_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (root, key) = root(folder.path());
        let evidence = EvidenceFolder::of(folder.path());
        assert_eq!(evidence.list().unwrap(), []);
        let roots = Evidence::Roots {
            known: Box::new(root),
            shown: Box::new(root),
        };
        let record = Evidence::Record(Box::new(FalseRecord {
            number: Number::new(20_001),
            tile: Arc::new(Tile::decode(&[0; 49_152]).unwrap()),
            hashes: vec![[0; 32]; 4_096],
            root,
        }));
        for proof in [&roots, &record, &roots] {
            let kept = evidence.keep(proof, &key, Day::new(20_416)).unwrap();
            assert!(kept.is_some_and(|path| path.exists()));
        }
        let listed = evidence.list().unwrap();
        assert_eq!(listed.len(), 2);
        assert!(listed[0].says.contains("20001"));
        assert_eq!(listed[1].day, Day::new(20_416));
        for number in 0..MOST_FILES {
            std::fs::write(evidence.folder().join(format!("{number}.json")), "").unwrap();
        }
        assert_eq!(evidence.keep(&roots, &key, Day::new(1)).unwrap(), None);
    }
}
