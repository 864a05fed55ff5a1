//! Numbers and the plan they come from. The plan is public and dense: every number in it has a record, so that being in it says
//! nothing. A number is written in decimal, without sign, leading zero or separators, so that it has one text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::tile::TILE_RECORDS;

/// A telephone number of one phone book.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u32);

impl Number {
    /// The number with this value. That it belongs to a plan is checked by [`NumberPlan`].
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The value; four bytes, big-endian, wherever a number is signed or sealed.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number says who calls whom; a stray `{:?}` in a log must not.
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number(..)")
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let canonical = text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        if !canonical {
            return Err(NumberError::NotANumber);
        }
        text.parse().map(Self).map_err(|_| NumberError::NotANumber)
    }
}

/// Why a text is no number, or a plan no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NumberError {
    /// Not 1 to 10 decimal digits without a leading zero.
    #[error("not a number: digits only, without a leading zero")]
    NotANumber,
    /// The number is not in the book's plan.
    #[error("the number is not in the number plan of this phone book")]
    OutsidePlan,
    /// The plan has no tile, more than [`NumberPlan::MAX_TILES`], or ends beyond the last number.
    #[error(
        "a number plan has 1 to {} tiles and ends at or below {}",
        NumberPlan::MAX_TILES,
        u32::MAX
    )]
    BadPlan,
}

/// The numbers of a book: `tiles` blocks of 256, starting at `first`, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PlanWire", into = "PlanWire")]
pub struct NumberPlan {
    first: u32,
    tiles: u16,
}

impl NumberPlan {
    /// 20 000 to 30 239: five digits are quick to dial, and 10 240 records (1.9 MB) are quick to download whole.
    pub const DEFAULT: Self = Self {
        first: 20_000,
        tiles: 40,
    };

    /// 4 096 tiles are 192 MB: more than any engine should be made to download whole.
    pub const MAX_TILES: u16 = 4_096;

    /// A plan of `tiles` x 256 numbers from `first` on.
    ///
    /// # Errors
    /// [`NumberError::BadPlan`].
    pub fn new(first: u32, tiles: u16) -> Result<Self, NumberError> {
        let last = (1..=Self::MAX_TILES)
            .contains(&tiles)
            .then(|| u32::from(tiles) * u32::from(TILE_RECORDS) - 1)
            .and_then(|offset| first.checked_add(offset));
        last.map(|_| Self { first, tiles })
            .ok_or(NumberError::BadPlan)
    }

    /// The lowest number.
    #[must_use]
    pub const fn first(self) -> Number {
        Number(self.first)
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.tiles) * u32::from(TILE_RECORDS)
    }

    /// How many tiles the book has; they are counted from 0.
    #[must_use]
    pub const fn tiles(self) -> u16 {
        self.tiles
    }

    /// Reads what a person dialled or typed.
    ///
    /// # Errors
    /// [`NumberError::NotANumber`], [`NumberError::OutsidePlan`].
    pub fn read(self, text: &str) -> Result<Number, NumberError> {
        let number: Number = text.parse()?;
        if self.contains(number) {
            Ok(number)
        } else {
            Err(NumberError::OutsidePlan)
        }
    }

    /// Whether the number is in the plan.
    #[must_use]
    pub fn contains(self, number: Number) -> bool {
        self.place(number).is_some()
    }

    /// The tile and the place in it where the number's record stands.
    #[must_use]
    pub fn place(self, number: Number) -> Option<(u16, u8)> {
        let offset = number
            .0
            .checked_sub(self.first)
            .filter(|offset| *offset < self.count())?;
        let tile = u16::try_from(offset / u32::from(TILE_RECORDS)).ok()?;
        let slot = u8::try_from(offset % u32::from(TILE_RECORDS)).ok()?;
        Some((tile, slot))
    }

    /// The number whose record stands at this place.
    #[must_use]
    pub fn number_at(self, tile: u16, slot: u8) -> Option<Number> {
        (tile < self.tiles).then(|| {
            Number(self.first + u32::from(tile) * u32::from(TILE_RECORDS) + u32::from(slot))
        })
    }

    /// All numbers, ascending.
    pub fn numbers(self) -> impl Iterator<Item = Number> {
        (0..self.count()).map(move |offset| Number(self.first + offset))
    }
}

/// A plan as it stands in JSON and TOML, before it is known to make sense.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanWire {
    first: u32,
    tiles: u16,
}

impl TryFrom<PlanWire> for NumberPlan {
    type Error = NumberError;

    fn try_from(wire: PlanWire) -> Result<Self, NumberError> {
        Self::new(wire.first, wire.tiles)
    }
}

impl From<NumberPlan> for PlanWire {
    fn from(plan: NumberPlan) -> Self {
        Self {
            first: plan.first,
            tiles: plan.tiles,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_has_one_text() {
        assert_eq!("20001".parse(), Ok(Number(20_001)));
        for text in [
            "",
            "020001",
            "+20001",
            "-1",
            "20 001",
            "2e4",
            "4294967296",
            "\u{0662}",
        ] {
            assert_eq!(
                text.parse::<Number>(),
                Err(NumberError::NotANumber),
                "{text}"
            );
        }
    }

    #[test]
    fn a_number_does_not_show_itself_in_debug_output() {
        assert!(!format!("{:?}", Number(20_001)).contains("20001"));
    }

    #[test]
    fn the_default_plan_is_forty_tiles_from_20000() {
        let plan = NumberPlan::DEFAULT;
        assert_eq!(
            (plan.count(), plan.read("30239")),
            (10_240, Ok(Number(30_239)))
        );
        assert_eq!(plan.read("30240"), Err(NumberError::OutsidePlan));
        assert_eq!(plan.read("19999"), Err(NumberError::OutsidePlan));
    }

    #[test]
    fn a_plan_beyond_the_last_number_is_refused() {
        assert_eq!(
            NumberPlan::new(u32::MAX - 255, 1).map(NumberPlan::tiles),
            Ok(1)
        );
        assert_eq!(
            NumberPlan::new(u32::MAX - 254, 1),
            Err(NumberError::BadPlan)
        );
        assert_eq!(NumberPlan::new(1, 0), Err(NumberError::BadPlan));
        assert_eq!(NumberPlan::new(1, 4_097), Err(NumberError::BadPlan));
    }

    proptest! {
        #[test]
        fn place_and_number_are_inverse(first in any::<u32>(), tiles in any::<u16>(), value in any::<u32>()) {
            if let Ok(plan) = NumberPlan::new(first, tiles) {
                let number = Number(value);
                if let Some((tile, slot)) = plan.place(number) {
                    prop_assert_eq!(plan.number_at(tile, slot), Some(number));
                }
                prop_assert_eq!(plan.number_at(tiles, 0), None);
            }
        }
    }
}
