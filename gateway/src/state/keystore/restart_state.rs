//! The restart state at rest: where phones are registered, what phones in a call are told, and the endings of calls, in one small
//! file that is sealed like a line's, with JSON in it.
//!
//! Only a running engine writes it. It is worth something for minutes, so a file that cannot be read is no reason not to start: the
//! next change replaces it. No backup takes it: another machine must not end this one's calls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_engine::restart::{MOST_ENDINGS, RestartState, SealedEnding};
use ringfence_engine::sealed::envelope::{Envelope, EventKey};
use ringfence_engine::sealed::proof_of_work::EventKeyPair;
use ringfence_engine::time::UnixTime;
use ringfence_sip::{FinalMessage, Flow, Package, SavedBinding, Transport, User};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::saved_state::{read_text, write_text};
use super::stored::{self, Versioned, read_stored, write_stored};
use super::vault::Vault;
use super::{KeystoreError, MOST_LINES, file};

/// The file's name in the state folder.
pub(in crate::state) const FILE: &str = "restart.json";

/// Largest file: all phones of all lines and as many calls as an engine can have, some kB each.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Phones of one line, as the registrar bounds them, on all lines.
const MOST_PHONES: usize = 8 * MOST_LINES;

/// Messages for phones: every call rings at most all phones of its line.
const MOST_MESSAGES: usize = 4_096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    written: u64,
    phones: Vec<StoredPhone>,
    messages: Vec<StoredMessage>,
    endings: Vec<StoredEnding>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPhone {
    user: String,
    local: SocketAddr,
    peer: SocketAddr,
    contact: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    call_id: String,
    number: u32,
    packages: Vec<String>,
    refuses_unsolicited: bool,
    /// Milliseconds from the time at which the file was written.
    remaining: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMessage {
    user: String,
    transport: StoredTransport,
    local: SocketAddr,
    peer: SocketAddr,
    contact: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    bytes: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredTransport {
    Udp,
    Tcp,
    Tls,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEnding {
    bucket: u16,
    key: String,
    #[serde(serialize_with = "write_text", deserialize_with = "read_text")]
    secret: Zeroizing<String>,
    envelope: String,
    alive: u64,
}

impl Versioned for Stored {
    fn version(&self) -> u32 {
        self.version
    }
}

/// The file of the restart state.
#[derive(Debug)]
pub struct RestartFile {
    path: PathBuf,
    vault: Vault,
}

impl RestartFile {
    pub(in crate::state) fn new(state: &Path, vault: Vault) -> Self {
        Self {
            path: state.join(FILE),
            vault,
        }
    }

    /// What the process before this one left; nothing when there is no file. A process that is killed while it writes leaves a
    /// half-written file beside the whole one, which is removed here.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn read(&mut self) -> Result<RestartState, KeystoreError> {
        file::remove_leftovers(&self.path);
        if !self.path.exists() {
            return Ok(RestartState::default());
        }
        let stored: Stored = read_stored(&self.path, MOST_BYTES, &self.vault)?;
        stored.read().ok_or_else(|| KeystoreError::Malformed {
            path: self.path.clone(),
        })
    }

    /// Replaces what was saved.
    ///
    /// # Errors
    /// [`KeystoreError`]; the file is as it was.
    pub fn write(&mut self, state: &RestartState) -> Result<(), KeystoreError> {
        write_stored(&self.path, Stored::of(state), &self.vault)
    }
}

impl Stored {
    fn of(state: &RestartState) -> Self {
        Self {
            version: stored::VERSION,
            written: state.written.millis(),
            phones: state.phones.iter().map(StoredPhone::of).collect(),
            messages: state.final_messages.iter().map(StoredMessage::of).collect(),
            endings: state.endings.iter().map(StoredEnding::of).collect(),
        }
    }

    /// `None` when there is more of something than an engine writes.
    fn read(self) -> Option<RestartState> {
        let counts = [
            (self.phones.len(), MOST_PHONES),
            (self.messages.len(), MOST_MESSAGES),
            (self.endings.len(), MOST_ENDINGS),
        ];
        if counts.iter().any(|(count, most)| count > most) {
            return None;
        }
        let phones = self.phones.into_iter().map(StoredPhone::read);
        let messages = self.messages.into_iter().map(StoredMessage::read);
        let endings = self.endings.into_iter().map(StoredEnding::read);
        Some(RestartState {
            written: UnixTime::from_millis(self.written),
            phones: phones.collect::<Option<_>>()?,
            final_messages: messages.collect::<Option<_>>()?,
            endings: endings.collect::<Option<_>>()?,
        })
    }
}

impl StoredPhone {
    fn of(phone: &SavedBinding) -> Self {
        let packages = phone.packages.iter();
        Self {
            user: phone.user.as_str().to_owned(),
            local: phone.local,
            peer: phone.peer,
            contact: phone.contact.clone(),
            instance: phone.instance.clone(),
            call_id: phone.call_id.clone(),
            number: phone.number,
            packages: packages
                .map(|package| package.as_str().to_owned())
                .collect(),
            refuses_unsolicited: phone.refuses_unsolicited,
            remaining: u64::try_from(phone.remaining.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn read(self) -> Option<SavedBinding> {
        let packages = self.packages.iter().map(|name| Package::parse(name));
        Some(SavedBinding {
            user: User::new(self.user),
            local: self.local,
            peer: self.peer,
            contact: self.contact,
            instance: self.instance,
            call_id: self.call_id,
            number: self.number,
            packages: packages.collect::<Option<_>>()?,
            refuses_unsolicited: self.refuses_unsolicited,
            remaining: Duration::from_millis(self.remaining),
        })
    }
}

impl StoredMessage {
    fn of(message: &FinalMessage) -> Self {
        Self {
            user: message.user.as_str().to_owned(),
            transport: match message.flow.transport {
                Transport::Udp => StoredTransport::Udp,
                Transport::Tcp => StoredTransport::Tcp,
                Transport::Tls => StoredTransport::Tls,
            },
            local: message.flow.local,
            peer: message.flow.peer,
            contact: message.contact.clone(),
            instance: message.instance.clone(),
            bytes: STANDARD.encode(&message.bytes),
        }
    }

    fn read(self) -> Option<FinalMessage> {
        Some(FinalMessage {
            user: User::new(self.user),
            flow: Flow {
                transport: match self.transport {
                    StoredTransport::Udp => Transport::Udp,
                    StoredTransport::Tcp => Transport::Tcp,
                    StoredTransport::Tls => Transport::Tls,
                },
                local: self.local,
                peer: self.peer,
                // The stream is gone with the process that had it.
                connection: 0,
            },
            contact: self.contact,
            instance: self.instance,
            bytes: STANDARD.decode(self.bytes).ok()?,
        })
    }
}

impl StoredEnding {
    fn of(ending: &SealedEnding) -> Self {
        Self {
            bucket: ending.bucket,
            key: STANDARD.encode(ending.key.public.0),
            secret: Zeroizing::new(STANDARD.encode(&ending.key.secret[..])),
            envelope: STANDARD.encode(ending.envelope.as_bytes()),
            alive: ending.alive.millis(),
        }
    }

    fn read(self) -> Option<SealedEnding> {
        let secret = Zeroizing::new(STANDARD.decode(&*self.secret).ok()?);
        let public = STANDARD.decode(self.key).ok()?;
        Some(SealedEnding {
            bucket: self.bucket,
            key: EventKeyPair {
                public: EventKey(public.try_into().ok()?),
                secret: Zeroizing::new(secret.as_slice().try_into().ok()?),
            },
            envelope: Envelope::from_bytes(&STANDARD.decode(self.envelope).ok()?).ok()?,
            alive: UnixTime::from_millis(self.alive),
        })
    }
}

#[cfg(test)]
mod tests {
    use ringfence_engine::sealed::envelope::VERSION;

    use super::*;
    use crate::state::secret::Secret;

    fn state() -> RestartState {
        let (local, peer) = (
            "127.0.0.1:5070".parse().unwrap(),
            "127.0.0.1:5090".parse().unwrap(),
        );
        let mut envelope = vec![7; 1024];
        envelope[0] = VERSION;
        RestartState {
            written: UnixTime::from_millis(9),
            phones: vec![SavedBinding {
                user: User::new("desk".to_owned()),
                local,
                peer,
                contact: "<sip:desk@127.0.0.1:5090;ob>".to_owned(),
                instance: Some("\"<urn:uuid:1>\"".to_owned()),
                call_id: "a@b".to_owned(),
                number: 7,
                packages: vec![Package::Dialog, Package::MessageSummary],
                refuses_unsolicited: true,
                remaining: Duration::from_millis(299_001),
            }],
            final_messages: vec![FinalMessage {
                user: User::new("desk".to_owned()),
                flow: Flow {
                    transport: Transport::Tls,
                    local,
                    peer,
                    connection: 0,
                },
                contact: "<sip:desk@127.0.0.1:5090>".to_owned(),
                instance: None,
                bytes: b"BYE sip:desk@127.0.0.1:5090 SIP/2.0\r\n\r\n".to_vec(),
            }],
            endings: vec![SealedEnding {
                bucket: 3,
                key: EventKeyPair {
                    public: EventKey([5; 32]),
                    secret: Zeroizing::new([6; 32]),
                },
                envelope: Envelope::from_bytes(&envelope).unwrap(),
                alive: UnixTime::from_millis(8),
            }],
        }
    }

    #[test]
    fn a_restart_state_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = RestartFile::new(folder.path(), Vault::new(folder.path(), None));
        assert_eq!(file.read(), Ok(RestartState::default()));
        file.write(&state()).unwrap();
        assert_eq!(file.read(), Ok(state()));
    }

    #[test]
    fn what_a_killed_process_left_half_written_is_removed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = RestartFile::new(folder.path(), Vault::new(folder.path(), None));
        file.write(&state()).unwrap();
        std::fs::write(folder.path().join("restart.json.0a1b.new"), "half").unwrap();
        std::fs::write(folder.path().join("ledger.json"), "another's").unwrap();
        assert_eq!(file.read(), Ok(state()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn with_a_passphrase_neither_phones_nor_calls_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let vault = || Vault::quick(folder.path(), Some(Secret::new("open sesame".to_owned())));
        RestartFile::new(folder.path(), vault())
            .write(&state())
            .unwrap();
        let bytes = std::fs::read(folder.path().join(FILE)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("desk") && !text.contains("127.0.0.1"));
        assert_eq!(RestartFile::new(folder.path(), vault()).read(), Ok(state()));
    }

    #[test]
    fn a_file_of_any_other_bytes_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut file = RestartFile::new(folder.path(), Vault::new(folder.path(), None));
        file.write(&state()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(file.read().is_err(), "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, &flipped).unwrap();
            drop(file.read());
        }
    }

    #[test]
    fn more_than_an_engine_writes_is_refused() {
        let mut many = state();
        many.endings = vec![many.endings[0].clone(); MOST_ENDINGS + 1];
        assert_eq!(Stored::of(&many).read(), None);
    }
}
