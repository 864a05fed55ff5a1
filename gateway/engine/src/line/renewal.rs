//! What is renewed while an engine runs: the phone book's word for a line, and a line's ring key.

use std::time::Instant;

use ringfence_book::{Binding, Number};

use crate::engine::Engine;
use crate::line::BindingFault;
use crate::line::identity::Identity;

impl Engine {
    /// The phone book renewed its word for the line with the binding's number. Calls that begin
    /// from now on are rung with it.
    ///
    /// # Errors
    /// [`BindingFault`]; the line keeps the binding that it has.
    pub fn handle_binding(&mut self, binding: Binding, now: Instant) -> Result<(), BindingFault> {
        let today = self.wall(now).day();
        let mut lines = self.lines.iter_mut();
        let line = lines.find(|line| line.number == binding.number());
        line.ok_or(BindingFault::NoSuchLine)?
            .renew(binding, &self.book_key, today)
    }

    /// A line has a new ring key, or has destroyed an old one. Calls that run keep theirs.
    ///
    /// # Errors
    /// [`BindingFault::NoSuchLine`], [`BindingFault::OtherIdentity`]: an identity never changes.
    pub fn handle_identity(
        &mut self,
        number: Number,
        identity: Identity,
    ) -> Result<(), BindingFault> {
        let mut lines = self.lines.iter_mut();
        let line = lines.find(|line| line.number == number);
        let line = line.ok_or(BindingFault::NoSuchLine)?;
        if line.identity.key() != identity.key() {
            return Err(BindingFault::OtherIdentity);
        }
        line.identity = identity;
        Ok(())
    }
}
