//! Lines over the months: activation by code, renewal of bindings and ring keys, and what follows from each download of the phone
//! book. How keys are stored is in [`crate::state::keystore`].

pub mod activate;
pub mod news;
pub mod renew;
mod rotate;
