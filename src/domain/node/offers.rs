//! What may be ordered for a node, in order: the machine that was chosen, and those to be tried where the provider has none free.

use serde::{Deserialize, Serialize};

/// A machine that may be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// Where.
    pub region: String,
    /// Which.
    pub size: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its disk.
    pub disk_bytes: u64,
    /// Its price.
    pub price_micros_per_hour: i64,
}

/// The machines that may be ordered for a node, and which of them is the one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Offers {
    list: Vec<Offer>,
    current: usize,
}

impl Offers {
    /// These, in order; `current` is the one that is ordered. None for a node from before there were several: what its row says
    /// is all there is.
    pub fn new(list: Vec<Offer>, current: usize) -> Self {
        Self { list, current }
    }

    /// The one that is ordered.
    pub fn current(&self) -> Option<&Offer> {
        self.list.get(self.current)
    }

    /// Its place in the list.
    pub const fn index(&self) -> usize {
        self.current
    }

    /// All of them, in order.
    pub fn list(&self) -> &[Offer] {
        &self.list
    }

    /// What the dearest costs that may still be ordered.
    pub fn dearest(&self) -> Option<i64> {
        self.list.iter().skip(self.current).map(|offer| offer.price_micros_per_hour).max()
    }

    /// Goes on to the next one; false when there is none.
    pub(super) fn advance(&mut self) -> bool {
        let more = self.current + 1 < self.list.len();
        if more {
            self.current += 1;
        }
        more
    }

    /// The machine that was made is this one, whichever was ordered last.
    pub(super) fn settle(&mut self, region: &str, size: &str) {
        let made = |offer: &Offer| offer.region == region && offer.size == size;
        if let Some(place) = self.list.iter().position(made) {
            self.current = place;
        }
    }
}
