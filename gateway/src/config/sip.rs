//! `[sip]`: where phones register, what certificate they see, whether their audio is encrypted, and whether video passes.

use std::net::IpAddr;
use std::path::PathBuf;

use ringfence_engine::UnsolicitedMwi;
use ringfence_media::Srtp;
use ringfence_sip::CallLimits;

use super::raw::{RawSip, RawSrtp, RawUnsolicitedMwi};
use super::{ConfigError, in_range, optional_path};

/// Most addresses at which phones are served: more than a machine has networks with phones.
const MOST_ADDRESSES: usize = 16;
/// Most emergency numbers: several for each service of a country and its neighbours.
const MOST_EMERGENCY_NUMBERS: usize = 32;
/// Digits of the longest: some countries have numbers of a region.
const MOST_EMERGENCY_DIGITS: usize = 8;
/// Most calls: beyond it a machine has too few ports.
const MOST_CALLS: u64 = 10_000;

/// Where phones register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipListen {
    /// Addresses to listen at. A phone is told the one that it registered at.
    pub addresses: Vec<IpAddr>,
    /// UDP port; 0 takes a free one.
    pub udp_port: u16,
    /// TCP port; 0 takes a free one.
    pub tcp_port: u16,
    /// TLS port; 0 takes a free one.
    pub tls_port: u16,
    /// Whether audio between phones and this machine is encrypted.
    pub srtp: Srtp,
    /// Whether video passes where both phones have it.
    pub video: bool,
    /// Which phones are told of waiting messages without having subscribed.
    pub unsolicited_mwi: UnsolicitedMwi,
    /// How many calls phones may have.
    pub calls: CallLimits,
    /// Emergency numbers: a phone that dials one is told to use another telephone.
    pub emergency_numbers: Vec<String>,
    /// Host names of this machine that phones may dial.
    pub names: Vec<String>,
    /// A certificate of the user's own: its chain and its key. `None`: one under the engine's own authority.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl TryFrom<RawSip> for SipListen {
    type Error = ConfigError;

    fn try_from(raw: RawSip) -> Result<Self, ConfigError> {
        let certificate = match (optional_path(&raw.certificate), optional_path(&raw.key)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err(ConfigError::Certificate),
        };
        Ok(Self {
            addresses: addresses(&raw.listen)?,
            udp_port: raw.udp_port,
            tcp_port: raw.tcp_port,
            tls_port: raw.tls_port,
            srtp: match raw.srtp {
                RawSrtp::Off => Srtp::Off,
                RawSrtp::Optional => Srtp::Optional,
                RawSrtp::Required => Srtp::Required,
            },
            video: raw.video,
            unsolicited_mwi: match raw.unsolicited_mwi {
                RawUnsolicitedMwi::Auto => UnsolicitedMwi::Auto,
                RawUnsolicitedMwi::Always => UnsolicitedMwi::Always,
                RawUnsolicitedMwi::Never => UnsolicitedMwi::Never,
            },
            calls: CallLimits {
                calls: limit("sip.max_calls", raw.max_calls)?,
                calls_per_line: limit("sip.max_calls_per_line", raw.max_calls_per_line)?,
            },
            emergency_numbers: emergency_numbers(raw.emergency_numbers)?,
            names: raw.names,
            certificate,
        })
    }
}

/// A limit on calls.
///
/// # Errors
/// [`ConfigError::Range`].
pub(super) fn limit(setting: &'static str, value: u64) -> Result<usize, ConfigError> {
    in_range(setting, value, 1, MOST_CALLS)?;
    Ok(usize::try_from(value).expect("at most MOST_CALLS"))
}

fn emergency_numbers(listed: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let (count, most) = (listed.len() as u64, MOST_EMERGENCY_NUMBERS as u64);
    in_range("sip.emergency_numbers", count, 0, most)?;
    let is_number = |text: &String| {
        (2..=MOST_EMERGENCY_DIGITS).contains(&text.len())
            && text.bytes().all(|sign| sign.is_ascii_digit())
    };
    match listed.iter().find(|text| !is_number(text)) {
        Some(wrong) => Err(ConfigError::EmergencyNumber(wrong.clone())),
        None => Ok(listed),
    }
}

fn addresses(listed: &[String]) -> Result<Vec<IpAddr>, ConfigError> {
    if listed.is_empty() {
        return Err(ConfigError::Listen(String::new()));
    }
    in_range("sip.listen", listed.len() as u64, 1, MOST_ADDRESSES as u64)?;
    let mut found = Vec::with_capacity(listed.len());
    for text in listed {
        let address: IpAddr = text
            .parse()
            .map_err(|_| ConfigError::Listen(text.clone()))?;
        if address.to_canonical().is_unspecified() {
            return Err(ConfigError::ListenEverywhere(address));
        }
        if found.contains(&address) {
            return Err(ConfigError::ListenTwice(address));
        }
        found.push(address);
    }
    Ok(found)
}
