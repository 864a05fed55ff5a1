//! Stand-ins for the phone book's nouns until `ringfence-phonebook` exports them.

/// A number of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u32);
/// A listing.
#[derive(Clone, Debug)]
pub struct Listing {}
/// A binding.
#[derive(Clone, Debug)]
pub struct Binding {}
/// A tile.
#[derive(Clone, Debug)]
pub struct Tile {}
