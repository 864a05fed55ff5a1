//! What a failing test prints of a world.

use std::fmt;

use super::{StepRecord, World};

impl fmt::Debug for World {
    /// What a failing test prints: the steps, the phones' events, and the end of the trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the world after {:?}", self.clock())?;
        for StepRecord {
            at,
            engine,
            call,
            step,
        } in &self.steps
        {
            writeln!(f, "  {at:>12.3?} engine {engine} {call} {step}")?;
        }
        for (index, (handset, _)) in self.handsets.iter().enumerate() {
            writeln!(f, "  phone {index} {:?}", handset.events())?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            writeln!(f, "  engine {index} {:?}", host.engine.counters())?;
        }
        for packet in self.trace.iter().rev().take(40).rev() {
            writeln!(f, "  {packet:?}")?;
        }
        Ok(())
    }
}
