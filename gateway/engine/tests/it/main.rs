//! Sealed calls from outside the crate: what opens, what must not, and the published vectors.

#[cfg(test)]
mod bit_flips;
#[cfg(test)]
mod call;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod forks;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod wycheproof;
