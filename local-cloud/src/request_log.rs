//! The last requests that were served, for tests to look at.

use crate::faults::Operation;
use serde::Serialize;
use std::collections::VecDeque;

const KEPT: usize = 1000;

/// One request and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RequestEntry {
    /// Counts all requests since the start, also those no longer kept.
    pub(crate) number: u64,
    pub(crate) at: String,
    pub(crate) operation: Option<Operation>,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// Absent when the answer was lost on order.
    pub(crate) status: Option<u16>,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: VecDeque<RequestEntry>,
    served: u64,
}

impl RequestLog {
    pub(crate) fn add(&mut self, mut entry: RequestEntry) {
        self.served += 1;
        entry.number = self.served;
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn entries(&self) -> Vec<RequestEntry> {
        self.entries.iter().cloned().collect()
    }
}
