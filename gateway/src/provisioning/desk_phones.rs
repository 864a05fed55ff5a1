//! Desk phones of the settings: the line of each, and the file names under which they ask. The files contain passwords, so they lie below
//! a path with a random secret. The secret stays the same, because phones store the path.

use std::path::Path;

use ringfence_book::Number;

use super::PhoneKind;
use crate::config::Mac;
use crate::state::folder::StateFolder;
use crate::state::keystore::KeystoreError;
use crate::state::secret::Secret;

/// 64 digits, and room for a file that is none of ours to be told.
const MOST_BYTES: u64 = 1_024;

/// The desk phones and the secret of their path.
#[derive(Debug)]
pub(crate) struct DeskPhones {
    secret: Secret,
    phones: Vec<(Mac, Number)>,
}

impl DeskPhones {
    pub(crate) fn new(secret: Secret, phones: Vec<(Mac, Number)>) -> Self {
        Self { secret, phones }
    }

    /// The model and the line for a request; `None` for every request that does not match, whatever the reason.
    pub(crate) fn find(&self, secret: &str, file: &str) -> Option<(PhoneKind, Number)> {
        if self.secret != Secret::new(secret.to_owned()) {
            return None;
        }
        let (model, mac) = named(file)?;
        Some((model, self.line(mac)?))
    }

    /// The line of a phone.
    fn line(&self, mac: Mac) -> Option<Number> {
        let found = self.phones.iter().find(|(own, _)| *own == mac);
        found.map(|(_, number)| *number)
    }

    /// The path from which a phone of this maker fetches its settings; `None` for a phone that the settings do not name.
    pub(crate) fn path(&self, mac: Mac, maker: &str) -> Option<Secret> {
        self.line(mac)?;
        let file = match maker.to_ascii_lowercase().as_str() {
            "snom" => format!("snom-{mac}.htm"),
            // These phones append the names of their files.
            "yealink" | "grandstream" => String::new(),
            _ => format!("{mac}.cfg"),
        };
        Some(Secret::new(format!("/p/{}/{file}", self.secret.expose())))
    }
}

/// The secret part of the path below which desk phones find their settings. It is drawn once, because phones store it.
pub(crate) fn secret_path(state: &StateFolder) -> Result<Secret, KeystoreError> {
    let name = Path::new("provisioning-path");
    let path = state.join(name);
    let Some(text) = state.read(name, MOST_BYTES)? else {
        let fresh = Secret::random();
        state.write(name, fresh.expose().as_bytes())?;
        return Ok(fresh);
    };
    let found = str::from_utf8(&text).ok().filter(|text| text.len() == 64);
    let found = found.map(|text| Secret::new(text.to_owned()));
    found.ok_or(KeystoreError::Malformed { path })
}

/// The model and the hardware address in the name of a file.
fn named(file: &str) -> Option<(PhoneKind, Mac)> {
    let file = file.to_ascii_lowercase();
    let (model, mac) = if let Some(rest) = file
        .strip_suffix(".htm")
        .or_else(|| file.strip_suffix(".html"))
    {
        let (maker, mac) = rest.split_once('-')?;
        let is_snom = maker
            .strip_prefix("snom")
            .is_some_and(|kind| kind.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        (PhoneKind::Snom, Some(mac).filter(|_| is_snom)?)
    } else if let Some(mac) = file
        .strip_prefix("cfg")
        .and_then(|rest| rest.strip_suffix(".xml"))
    {
        (PhoneKind::Grandstream, mac)
    } else {
        (PhoneKind::Yealink, file.strip_suffix(".cfg")?)
    };
    let is_bare = mac.len() == 12;
    mac.parse().ok().filter(|_| is_bare).map(|mac| (model, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Number = Number::new(20_417);

    fn desk_phones() -> DeskPhones {
        let mac = "00:15:65:aa:bb:cc".parse().unwrap();
        DeskPhones::new(Secret::new("s".repeat(64)), vec![(mac, LINE)])
    }

    #[test]
    fn each_maker_finds_its_file_under_the_makers_name() {
        let secret = "s".repeat(64);
        for (file, model) in [
            ("001565aabbcc.cfg", PhoneKind::Yealink),
            ("001565AABBCC.cfg", PhoneKind::Yealink),
            ("snom-001565aabbcc.htm", PhoneKind::Snom),
            ("snomD735-001565AABBCC.htm", PhoneKind::Snom),
            ("cfg001565aabbcc.xml", PhoneKind::Grandstream),
        ] {
            assert_eq!(
                desk_phones().find(&secret, file),
                Some((model, LINE)),
                "{file}"
            );
        }
    }

    #[test]
    fn unknown_phones_and_guesses_find_nothing() {
        let secret = "s".repeat(64);
        for file in [
            "001565aabbcd.cfg",
            "y000000000000.cfg",
            "00:15:65:aa:bb:cc.cfg",
            "cfg001565aabbcc.cfg",
            "../001565aabbcc.cfg",
            "",
        ] {
            assert_eq!(desk_phones().find(&secret, file), None, "{file}");
        }
        assert_eq!(
            desk_phones().find(&"s".repeat(63), "001565aabbcc.cfg"),
            None
        );
        assert!(
            desk_phones()
                .path("001565aabbcd".parse().unwrap(), "snom")
                .is_none()
        );
    }

    #[test]
    fn a_phone_is_sent_to_its_own_file() {
        let mac = "001565aabbcc".parse().unwrap();
        for maker in ["snom", "Yealink", "grandstream", "other"] {
            let path = desk_phones().path(mac, maker).unwrap();
            let (_, file) = path.expose().rsplit_once('/').unwrap();
            let asked = if file.is_empty() {
                "001565aabbcc.cfg"
            } else {
                file
            };
            assert!(
                desk_phones().find(&"s".repeat(64), asked).is_some(),
                "{maker}"
            );
        }
    }
}
