//! Desk phones of the house: which line each gets, and under which names they ask for their settings. What they fetch holds the
//! password of the line, behind a path that nobody guesses and that stays the same, because phones keep it.

use ringfence_book::Number;

use super::Model;
use crate::config::Mac;
use crate::state::secret::Secret;

/// The desk phones.
#[derive(Debug)]
pub(crate) struct Desks {
    secret: Secret,
    phones: Vec<(Mac, Number)>,
}

impl Desks {
    pub(crate) fn new(secret: Secret, phones: Vec<(Mac, Number)>) -> Self {
        Self { secret, phones }
    }

    /// Whose settings a phone asks for; `None` for all others, whatever is wrong.
    pub(crate) fn find(&self, secret: &str, file: &str) -> Option<(Model, Number)> {
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

    /// Where a phone of this maker fetches its settings, below the server's address. `None` for a phone that nobody has named.
    pub(crate) fn path(&self, mac: Mac, maker: &str) -> Option<Secret> {
        self.line(mac)?;
        let file = match maker.to_ascii_lowercase().as_str() {
            "snom" => format!("snom-{mac}.htm"),
            // These put their own names behind it.
            "yealink" | "grandstream" => String::new(),
            _ => format!("{mac}.cfg"),
        };
        Some(Secret::new(format!("/p/{}/{file}", self.secret.expose())))
    }
}

/// The maker and the phone, by the name of the file.
fn named(file: &str) -> Option<(Model, Mac)> {
    let file = file.to_ascii_lowercase();
    let (model, mac) = if let Some(rest) = file
        .strip_suffix(".htm")
        .or_else(|| file.strip_suffix(".html"))
    {
        let (maker, mac) = rest.split_once('-')?;
        let is_snom = maker
            .strip_prefix("snom")
            .is_some_and(|kind| kind.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        (Model::Snom, Some(mac).filter(|_| is_snom)?)
    } else if let Some(mac) = file
        .strip_prefix("cfg")
        .and_then(|rest| rest.strip_suffix(".xml"))
    {
        (Model::Grandstream, mac)
    } else {
        (Model::Yealink, file.strip_suffix(".cfg")?)
    };
    let is_bare = mac.len() == 12;
    mac.parse().ok().filter(|_| is_bare).map(|mac| (model, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Number = Number::new(20_417);

    fn desks() -> Desks {
        let mac = "00:15:65:aa:bb:cc".parse().unwrap();
        Desks::new(Secret::new("s".repeat(64)), vec![(mac, LINE)])
    }

    #[test]
    fn each_maker_finds_its_file_under_its_own_name() {
        let secret = "s".repeat(64);
        for (file, model) in [
            ("001565aabbcc.cfg", Model::Yealink),
            ("001565AABBCC.cfg", Model::Yealink),
            ("snom-001565aabbcc.htm", Model::Snom),
            ("snomD735-001565AABBCC.htm", Model::Snom),
            ("cfg001565aabbcc.xml", Model::Grandstream),
        ] {
            assert_eq!(desks().find(&secret, file), Some((model, LINE)), "{file}");
        }
    }

    #[test]
    fn strangers_and_guesses_find_nothing() {
        let secret = "s".repeat(64);
        for file in [
            "001565aabbcd.cfg",
            "y000000000000.cfg",
            "00:15:65:aa:bb:cc.cfg",
            "cfg001565aabbcc.cfg",
            "../001565aabbcc.cfg",
            "",
        ] {
            assert_eq!(desks().find(&secret, file), None, "{file}");
        }
        assert_eq!(desks().find(&"s".repeat(63), "001565aabbcc.cfg"), None);
        assert!(
            desks()
                .path("001565aabbcd".parse().unwrap(), "snom")
                .is_none()
        );
    }

    #[test]
    fn a_phone_is_sent_to_its_own_file() {
        let mac = "001565aabbcc".parse().unwrap();
        for maker in ["snom", "Yealink", "grandstream", "somebody"] {
            let path = desks().path(mac, maker).unwrap();
            let (_, file) = path.expose().rsplit_once('/').unwrap();
            let asked = if file.is_empty() {
                "001565aabbcc.cfg"
            } else {
                file
            };
            assert!(desks().find(&"s".repeat(64), asked).is_some(), "{maker}");
        }
    }
}
