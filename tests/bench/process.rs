//! The costs of a process as Linux counts them: processor time in nanoseconds (`schedstat` of each thread) and anonymous memory
//! (`smaps_rollup`).

use std::{collections::BTreeMap, fs, time::Duration};

/// A process by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) u32);

/// The costs of each thread of a process so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look(BTreeMap<u32, Cost>);

/// Costs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// How often a thread went to sleep.
    pub(crate) sleeps: u64,
}

impl Process {
    /// The costs of all its threads so far.
    pub(crate) fn look(self) -> Look {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0));
        let costs = threads
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|thread| {
                let id = thread.file_name().to_str()?.parse::<u32>().ok()?;
                let figures = fs::read_to_string(thread.path().join("schedstat")).ok()?;
                let nanos = figures.split_whitespace().next()?.parse::<u64>().ok()?;
                let status = fs::read_to_string(thread.path().join("status")).ok()?;
                let cost = Cost {
                    cpu: Duration::from_nanos(nanos),
                    sleeps: number_after(&status, "\nvoluntary_ctxt_switches:")?,
                };
                Some((id, cost))
            });
        Look(costs.collect())
    }

    /// Its costs since `before`. Threads that have ended meanwhile are not counted at all.
    pub(crate) fn since(self, before: &Look) -> Cost {
        let mut sum = Cost::default();
        for (id, now) in &self.look().0 {
            let before = before.0.get(id).copied().unwrap_or_default();
            sum.cpu += now.cpu.saturating_sub(before.cpu);
            sum.sleeps += now.sleeps.saturating_sub(before.sleeps);
        }
        sum
    }

    /// This process and its children.
    pub(crate) fn family(self) -> Vec<Self> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(self.0).chain(children).map(Self).collect()
    }

    /// Resident memory in kB.
    pub(crate) fn resident(self) -> u64 {
        self.rollup("Rss:")
    }

    /// Resident memory that is not backed by a file, in kB: heap and stacks.
    pub(crate) fn anonymous(self) -> u64 {
        self.rollup("Anonymous:")
    }

    fn rollup(self, name: &str) -> u64 {
        let figures = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0));
        number_after(&figures.unwrap_or_default(), name).unwrap_or(0)
    }
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    rest.split_whitespace().next()?.parse().ok()
}
