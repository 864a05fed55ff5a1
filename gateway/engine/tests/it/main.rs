//! Sealed calls from outside the crate: what opens, what must not, and the published vectors.

mod bit_flips;
mod call;
mod forged;
mod scene;
mod vectors;
mod wycheproof;
