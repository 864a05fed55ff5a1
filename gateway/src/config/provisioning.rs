//! `[provisioning]`: where phones on the network fetch their settings, and which line each desk phone gets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ringfence_book::Number;

use super::ConfigError;
use super::raw::RawProvisioning;

/// Desk phones at most: those of a large office.
const MOST_DESKS: usize = 1_024;

/// How phones on the network are set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioning {
    /// Where they fetch settings.
    pub listen: SocketAddr,
    /// Whether phones that ask for settings by multicast are told where.
    pub plug_and_play: bool,
    /// Which line each desk phone gets.
    pub desks: Vec<(Mac, Number)>,
}

/// The hardware address of a desk phone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = ();

    /// Twelve hexadecimal digits, with or without `:`, `-` or `.` between them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: String = text
            .chars()
            .filter(|sign| !matches!(sign, ':' | '-' | '.'))
            .collect();
        let bytes = hex::decode(digits).map_err(drop)?;
        bytes.try_into().map(Self).map_err(drop)
    }
}

/// Twelve small digits, as files are named.
impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// It identifies a phone.
impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

impl Provisioning {
    /// What was typed; `None` if it is turned off. Phones register at `addresses`.
    pub(super) fn read(
        raw: RawProvisioning,
        addresses: &[IpAddr],
    ) -> Result<Option<Self>, ConfigError> {
        if raw.listen.is_empty() {
            return Ok(None);
        }
        let listen = raw.listen.parse::<SocketAddr>().ok();
        let listen = listen.filter(|listen| addresses.contains(&listen.ip()));
        let listen = listen.ok_or(ConfigError::Provisioning(raw.listen))?;
        if raw.phones.len() > MOST_DESKS {
            return Err(ConfigError::Range {
                setting: "provisioning.phones",
                value: raw.phones.len() as u64,
                least: 0,
                most: MOST_DESKS as u64,
            });
        }
        let desk = |phone: super::raw::RawDesk| {
            let mac = phone
                .mac
                .parse()
                .map_err(|()| ConfigError::Mac(phone.mac))?;
            Ok((mac, Number::new(phone.line)))
        };
        Ok(Some(Self {
            listen,
            plug_and_play: raw.plug_and_play,
            desks: raw.phones.into_iter().map(desk).collect::<Result<_, _>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::RawDesk;

    fn raw(listen: &str, mac: &str) -> RawProvisioning {
        RawProvisioning {
            listen: listen.to_owned(),
            plug_and_play: true,
            phones: vec![RawDesk {
                mac: mac.to_owned(),
                line: 20_417,
            }],
        }
    }

    #[test]
    fn phones_are_set_up_only_where_they_can_register() {
        let lan: IpAddr = "192.168.1.10".parse().unwrap();
        let read = |listen| Provisioning::read(raw(listen, "00:15:65:aa:bb:cc"), &[lan]);
        assert_eq!(read(""), Ok(None));
        assert!(read("192.168.1.10:5081").unwrap().is_some());
        for elsewhere in ["192.168.1.11:5081", "0.0.0.0:5081", "192.168.1.10", "x"] {
            assert_eq!(
                read(elsewhere),
                Err(ConfigError::Provisioning(elsewhere.to_owned()))
            );
        }
    }

    #[test]
    fn a_hardware_address_is_read_however_it_is_printed() {
        for text in [
            "00:15:65:AA:bb:cc",
            "00-15-65-aa-bb-cc",
            "001565aabbcc",
            "0015.65aa.bbcc",
        ] {
            assert_eq!(
                text.parse::<Mac>().map(|mac| mac.to_string()),
                Ok("001565aabbcc".to_owned())
            );
        }
        for text in ["", "001565aabbc", "001565aabbccdd", "001565aabbcg"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
