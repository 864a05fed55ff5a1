//! The saved state at rest: texts that wait, notes that were taken, calls of the past, what lines share with contacts, and their
//! settings, in one file that is sealed like a line's, with JSON in it.
//!
//! Only a running engine writes it; commands beside it read a whole file at any time, because it is replaced in one step.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_book::{Day, IdentityKey, Number};
use ringfence_engine::line::call_quality::CallQuality;
use ringfence_engine::line::saved_state::{
    CallWay, LineSettings, MOST_BLOCKED, MOST_CALLS, MOST_TEXTS, PastCall, REMEMBERED, SavedState,
    WaitingText,
};
use ringfence_engine::sealed::contact_secret::ContactSecret;
use ringfence_engine::sealed::note::NoteId;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::secrets::SharedSecrets;
use ringfence_media::Codec;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::KeystoreError;
use super::damaged::{ReplaceableFile, or_set_aside};
use super::stored::{self, Versioned, read_stored, write_stored};
use super::vault::Vault;
use crate::state::secret::Secret;

/// Largest file: 256 of the longest texts, with every sign escaped and then in base64, have 12 MB, 64 notes of each of the most
/// senders 14 MB, all the rest 1 MB.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    notes: Vec<StoredNote>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forgotten: Vec<StoredForgotten>,
    texts: Vec<StoredText>,
    calls: Vec<StoredCall>,
    #[serde(rename = "habits")]
    settings: Vec<StoredSettings>,
    #[serde(default)]
    secrets: Vec<StoredPair>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNote {
    id: String,
    until: u64,
    sender: u32,
}

/// Up to which date the notes of a sender count as taken; without a sender, those of everybody without a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredForgotten {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sender: Option<u32>,
    dated: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredText {
    id: String,
    line: u32,
    from: u32,
    dated: u64,
    #[serde(serialize_with = "write_text", deserialize_with = "read_text")]
    text: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCall {
    line: u32,
    number: u32,
    way: StoredWay,
    began: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    talked: Option<u64>,
    is_new: bool,
    #[serde(default)]
    is_stranger: bool,
    /// Lost, repaired, concealed, delay and score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quality: Option<[u16; 5]>,
    /// The phone's codec and the one between the engines, by their payload types there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codecs: Option<[u8; 2]>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredWay {
    Out,
    In,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSettings {
    line: u32,
    #[serde(rename = "is_undisturbed")]
    do_not_disturb: bool,
    #[serde(default)]
    contacts_only: bool,
    blocked: Vec<u32>,
}

/// What a line and a number share, the newest secret first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPair {
    line: u32,
    number: u32,
    identity: String,
    secrets: Vec<StoredSecret>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSecret {
    day: Day,
    #[serde(serialize_with = "write_text", deserialize_with = "read_text")]
    key: Zeroizing<String>,
}

impl Versioned for Stored {
    fn version(&self) -> u32 {
        self.version
    }
}

/// The file of the saved state.
#[derive(Debug)]
pub struct SavedStateFile {
    path: PathBuf,
    vault: Vault,
}

impl SavedStateFile {
    /// The saved state in this state folder.
    #[must_use]
    pub fn open(state: &Path, passphrase: Option<Secret>) -> Self {
        Self::new(state, Vault::new(state, passphrase))
    }

    pub(super) fn new(state: &Path, vault: Vault) -> Self {
        Self {
            path: state.join(ReplaceableFile::SavedState.name()),
            vault,
        }
    }

    /// The saved state as it was saved; an empty one when there is no file yet.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn read(&mut self) -> Result<SavedState, KeystoreError> {
        if !self.path.exists() {
            return Ok(SavedState::default());
        }
        let stored: Stored = read_stored(&self.path, MOST_BYTES, &self.vault)?;
        stored.read().ok_or_else(|| KeystoreError::Malformed {
            path: self.path.clone(),
        })
    }

    /// As [`Self::read`], for the start of an engine: a damaged file is set aside, and the saved state is empty.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub(in crate::state) fn read_or_set_aside(&mut self) -> Result<SavedState, KeystoreError> {
        let read = self.read();
        or_set_aside(&self.path, ReplaceableFile::SavedState, read)
    }

    /// Replaces what was saved.
    ///
    /// # Errors
    /// [`KeystoreError`]; the file is as it was.
    pub fn write(&mut self, saved_state: &SavedState) -> Result<(), KeystoreError> {
        write_stored(&self.path, Stored::of(saved_state), &self.vault)
    }
}

impl Stored {
    fn of(saved_state: &SavedState) -> Self {
        let id = |id: &NoteId| STANDARD.encode(id.as_bytes());
        Self {
            version: stored::VERSION,
            notes: (saved_state.notes.iter())
                .flat_map(|(sender, record)| {
                    let names = record.names.iter();
                    names.map(move |(dated, name)| StoredNote {
                        id: id(name),
                        until: dated.after(REMEMBERED).millis(),
                        sender: sender.value(),
                    })
                })
                .collect(),
            forgotten: (saved_state.notes.iter())
                .map(|(sender, record)| (Some(sender.value()), record.forgotten))
                .chain([(None, saved_state.notes.forgotten())])
                .filter(|(_, dated)| *dated > UnixTime::default())
                .map(|(sender, dated)| StoredForgotten {
                    sender,
                    dated: dated.millis(),
                })
                .collect(),
            texts: saved_state
                .texts
                .iter()
                .map(|text| StoredText {
                    id: id(&text.id),
                    line: text.line.value(),
                    from: text.from.value(),
                    dated: text.dated.millis(),
                    text: text.text.clone(),
                })
                .collect(),
            calls: saved_state.calls.iter().map(StoredCall::of).collect(),
            settings: saved_state
                .settings
                .iter()
                .map(|(line, settings)| StoredSettings {
                    line: line.value(),
                    do_not_disturb: settings.do_not_disturb,
                    contacts_only: settings.contacts_only,
                    blocked: settings
                        .blocked
                        .iter()
                        .map(|number| number.value())
                        .collect(),
                })
                .collect(),
            secrets: saved_state.secrets.iter().map(StoredPair::of).collect(),
        }
    }

    /// `None` when there is more of something than an engine writes.
    fn read(self) -> Option<SavedState> {
        let counts = [
            (self.texts.len(), MOST_TEXTS),
            (self.calls.len(), MOST_CALLS),
            (self.settings.len(), super::MOST_LINES),
        ];
        if counts.iter().any(|(count, most)| count > most) {
            return None;
        }
        let mut saved_state = SavedState::default();
        for of in self.forgotten {
            let dated = UnixTime::from_millis(of.dated);
            saved_state.notes.forget(of.sender.map(Number::new), dated);
        }
        for note in self.notes {
            let dated = UnixTime::from_millis(note.until).before(REMEMBERED);
            let name = (dated, note_id(&note.id)?);
            saved_state.notes.add(Number::new(note.sender), name);
        }
        for text in self.texts {
            saved_state.texts.push_back(WaitingText {
                id: note_id(&text.id)?,
                line: Number::new(text.line),
                from: Number::new(text.from),
                dated: UnixTime::from_millis(text.dated),
                text: text.text,
            });
        }
        saved_state.calls = self.calls.into_iter().map(StoredCall::read).collect();
        for settings in self.settings {
            let blocked: Vec<_> = settings.blocked.into_iter().map(Number::new).collect();
            if blocked.len() > MOST_BLOCKED {
                return None;
            }
            let read = LineSettings {
                do_not_disturb: settings.do_not_disturb,
                contacts_only: settings.contacts_only,
                blocked,
            };
            saved_state
                .settings
                .insert(Number::new(settings.line), read);
        }
        for pair in self.secrets {
            if !saved_state.secrets.insert(pair.read()?) {
                return None;
            }
        }
        Some(saved_state)
    }
}

impl StoredPair {
    fn of(pair: &SharedSecrets) -> Self {
        let secrets = pair.secrets.iter().map(|secret| StoredSecret {
            day: secret.day(),
            key: Zeroizing::new(STANDARD.encode(secret.as_bytes())),
        });
        Self {
            line: pair.line.value(),
            number: pair.number.value(),
            identity: STANDARD.encode(pair.identity.as_bytes()),
            secrets: secrets.collect(),
        }
    }

    fn read(self) -> Option<SharedSecrets> {
        let secrets = self.secrets.into_iter().map(|secret| {
            let key = Zeroizing::new(STANDARD.decode(&*secret.key).ok()?);
            Some(ContactSecret::new(
                secret.day,
                key.as_slice().try_into().ok()?,
            ))
        });
        let identity = STANDARD.decode(self.identity).ok()?;
        Some(SharedSecrets {
            line: Number::new(self.line),
            number: Number::new(self.number),
            identity: IdentityKey::from_bytes(&identity.try_into().ok()?).ok()?,
            secrets: secrets.collect::<Option<_>>()?,
        })
    }
}

impl StoredCall {
    fn of(call: &PastCall) -> Self {
        Self {
            line: call.line.value(),
            number: call.number.value(),
            way: match call.way {
                CallWay::Out => StoredWay::Out,
                CallWay::In => StoredWay::In,
            },
            began: call.began.millis(),
            talked: call.talked.map(|span| span.as_secs()),
            is_new: call.is_new,
            is_stranger: call.is_stranger,
            quality: (call.quality)
                .map(|it| [it.lost, it.repaired, it.concealed, it.delay, it.mos]),
            codecs: (call.quality.and_then(|it| it.codecs))
                .map(|(phone, carried)| [phone, carried].map(Codec::far_payload_type)),
        }
    }

    fn read(self) -> PastCall {
        let codecs = self.codecs.map(|it| it.map(Codec::from_far_payload_type));
        let codecs = codecs.and_then(|[phone, carried]| phone.zip(carried));
        PastCall {
            line: Number::new(self.line),
            number: Number::new(self.number),
            way: match self.way {
                StoredWay::Out => CallWay::Out,
                StoredWay::In => CallWay::In,
            },
            began: UnixTime::from_millis(self.began),
            talked: self.talked.map(Duration::from_secs),
            is_new: self.is_new,
            is_stranger: self.is_stranger,
            quality: self
                .quality
                .map(|[lost, repaired, concealed, delay, mos]| CallQuality {
                    lost,
                    repaired,
                    concealed,
                    delay,
                    mos,
                    codecs,
                }),
        }
    }
}

pub(super) fn write_text<S: Serializer>(
    text: &Zeroizing<String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

pub(super) fn read_text<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

fn note_id(text: &str) -> Option<NoteId> {
    let bytes = STANDARD.decode(text).ok()?;
    Some(NoteId::from_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;
    use ringfence_engine::line::identity::Identity;

    use super::*;

    fn saved_state() -> SavedState {
        let mut saved_state = SavedState::default();
        let (id, number) = (NoteId::from_bytes([7; 16]), Number::new(20_001));
        let notes = &mut saved_state.notes;
        notes.forget(None, UnixTime::from_millis(2));
        notes.forget(Some(number), UnixTime::from_millis(3));
        notes.add(number, (UnixTime::from_millis(5), id));
        saved_state.texts.push_back(WaitingText {
            id,
            line: number,
            from: Number::new(20_002),
            dated: UnixTime::from_millis(4),
            text: Zeroizing::new("gr\u{fc}\u{df} \"dich\"".to_owned()),
        });
        saved_state.calls.push_back(PastCall {
            line: number,
            number: Number::new(20_002),
            way: CallWay::In,
            began: UnixTime::from_millis(3),
            talked: Some(Duration::from_secs(61)),
            is_new: false,
            is_stranger: true,
            quality: Some(CallQuality {
                lost: 100,
                repaired: 90,
                concealed: 8,
                delay: 75,
                mos: 431,
                codecs: Some((Codec::Pcma, Codec::Opus)),
            }),
        });
        let settings = LineSettings {
            do_not_disturb: true,
            contacts_only: true,
            blocked: vec![Number::new(20_009), Number::new(20_003)],
        };
        saved_state.settings.insert(number, settings);
        let secret = |key| ContactSecret::new(Day::new(20_000), [key; 32]);
        assert!(saved_state.secrets.insert(SharedSecrets {
            line: number,
            number: Number::new(20_002),
            identity: Identity::generate(&mut ChaCha20Rng::from_seed([7; 32])).key(),
            secrets: vec![secret(1), secret(2)],
        }));
        saved_state
    }

    #[test]
    fn the_names_in_the_file_stay_so_that_older_files_can_be_read() {
        let older = r#"{"version":1,"notes":[],"texts":[],"calls":[],
            "habits":[{"line":20001,"is_undisturbed":true,"blocked":[20002]}]}"#;
        let stored: Stored = serde_json::from_str(older).unwrap();
        let saved_state = stored.read().unwrap();
        let settings = &saved_state.settings[&Number::new(20_001)];
        assert!(settings.do_not_disturb);
        assert_eq!(settings.blocked, [Number::new(20_002)]);
    }

    #[test]
    fn a_saved_state_comes_back_as_it_was_written_and_opens_under_no_other_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = SavedStateFile::open(folder.path(), None);
        assert_eq!(file.read().unwrap(), SavedState::default());
        file.write(&saved_state()).unwrap();
        assert_eq!(file.read().unwrap(), saved_state());
        let mode = std::fs::metadata(folder.path().join("ledger.json")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn with_a_passphrase_neither_texts_nor_numbers_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let vault = || Vault::quick(folder.path(), Some(Secret::new("open sesame".to_owned())));
        SavedStateFile::new(folder.path(), vault())
            .write(&saved_state())
            .unwrap();
        let bytes = std::fs::read(folder.path().join("ledger.json")).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("dich") && !text.contains("20002"));
        let read = SavedStateFile::new(folder.path(), vault()).read();
        assert_eq!(read.unwrap(), saved_state());
    }

    #[test]
    fn more_than_an_engine_writes_is_refused() {
        let mut stored = Stored::of(&saved_state());
        let settings = &mut stored.settings[0];
        settings.blocked = (0..=u32::try_from(MOST_BLOCKED).unwrap()).collect();
        assert!(stored.read().is_none());
    }
}
