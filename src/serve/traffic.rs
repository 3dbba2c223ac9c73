//! Production variants: the models that share an endpoint's traffic, each with its weight.
//!
//! The whole table is replaced when anything in it changes. A request takes the model it will ask
//! out of the table once and keeps it: a model that is swapped out answers those who have it
//! already, and goes with the last of them.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::codec::Refusal;
use super::served::Served;

/// SageMaker's own name for the only variant.
pub(super) const ONLY_VARIANT: &str = "AllTraffic";

/// Who gets which part of the traffic.
pub(super) struct Traffic {
    table: RwLock<Arc<Table>>,
}

/// All variants at one moment.
#[derive(Clone)]
pub(super) struct Table {
    /// Never empty.
    pub(super) variants: Vec<Variant>,
}

/// One variant.
#[derive(Clone)]
pub(super) struct Variant {
    pub(super) served: Arc<Served>,
    pub(super) weight: f64,
}

impl Traffic {
    pub(super) fn new(variants: Vec<Variant>) -> Traffic {
        Traffic { table: RwLock::new(Arc::new(Table { variants })) }
    }

    /// The table as it is now.
    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every model in it.
    pub(super) fn loaded(&self) -> Vec<Arc<Served>> {
        self.table().variants.iter().map(|variant| Arc::clone(&variant.served)).collect()
    }

    /// The model for a request: the variant it names, or its share's; `ticket` is anywhere in
    /// 0 to 1.
    pub(super) fn pick(
        &self,
        target: Option<&HeaderValue>,
        ticket: f64,
    ) -> Result<Arc<Served>, Refusal> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let found = match target {
            None => table.share(ticket),
            Some(name) => {
                table.variants.iter().find(|variant| variant.served.names.variant == name)
            }
        };
        found.map(|variant| Arc::clone(&variant.served)).ok_or_else(|| {
            let names = table.variants.iter().map(|variant| &variant.served.names.variant);
            let names: Vec<&str> = names.filter_map(|name| name.to_str().ok()).collect();
            Refusal::new(StatusCode::BAD_REQUEST, "there is no variant of this name")
                .help(format!("known: {}", names.join(", ")))
                .runtime("ValidationError")
        })
    }
}

impl Table {
    /// The variant in whose part of the weights `ticket` falls.
    fn share(&self, ticket: f64) -> Option<&Variant> {
        if let [only] = self.variants.as_slice() {
            return Some(only);
        }
        let total: f64 = self.variants.iter().map(|variant| variant.weight).sum();
        let mut left = ticket * total;
        let weighty = self.variants.iter().filter(|variant| variant.weight > 0.0);
        let mut last = None;
        for variant in weighty {
            last = Some(variant);
            left -= variant.weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

/// Numbers in 0 to 1 that fall evenly from the first on: shares are kept within one request or
/// two, not only on average (the additive recurrence of the golden ratio).
#[derive(Debug, Default)]
pub(super) struct Tickets(u64);

impl Tickets {
    /// The next one.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_fall_evenly() {
        let mut tickets = Tickets::default();
        for part in [0.1, 0.25, 0.5] {
            let hits = (0..1_000).filter(|_| tickets.next() < part).count() as f64;
            assert!((hits - 1_000.0 * part).abs() <= 3.0, "{hits} of {part}");
        }
    }
}
