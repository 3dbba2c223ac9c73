//! Counters of one thread, and how those of all threads become one page of metrics.
//!
//! Each thread writes only its own, so a count is a plain load and store; the page adds them up
//! when somebody asks for it. Names and help texts are in [`crate::telemetry::metric`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::telemetry::metric::{self, Name};

/// A number that only one thread adds to.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn one_less(&self) {
        self.add(u64::MAX);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets are powers of two: finding one is counting zeros.
const BUCKETS: usize = 32;

/// How often a value of each magnitude was seen.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [Count; BUCKETS],
    sum: Count,
}

impl Histogram {
    /// Value `v` falls into the first bucket `b` with `v <= unit << b`.
    fn see(&self, value: u64, unit_bits: u32) {
        let bucket = (64 - value.saturating_sub(1).leading_zeros()).saturating_sub(unit_bits);
        self.counts[(bucket as usize).min(BUCKETS - 1)].add(1);
        self.sum.add(value);
    }
}

/// 256 ns: the smallest bucket of a time.
const TIME_UNIT_BITS: u32 = 8;

/// What one thread counts.
#[derive(Debug)]
pub(super) struct Stats {
    pub(super) invocations: Count,
    pub(super) invocations_4xx: Count,
    pub(super) invocations_5xx: Count,
    pub(super) rows: Count,
    pub(super) received: Count,
    pub(super) sent: Count,
    pub(super) panics: Count,
    pub(super) abandoned: Count,
    pub(super) in_flight: Count,
    /// By status code less 100.
    statuses: [Count; 500],
    model: Histogram,
    overhead: Histogram,
    batch: Histogram,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            invocations: Count::default(),
            invocations_4xx: Count::default(),
            invocations_5xx: Count::default(),
            rows: Count::default(),
            received: Count::default(),
            sent: Count::default(),
            panics: Count::default(),
            abandoned: Count::default(),
            in_flight: Count::default(),
            statuses: std::array::from_fn(|_| Count::default()),
            model: Histogram::default(),
            overhead: Histogram::default(),
            batch: Histogram::default(),
        }
    }
}

impl Stats {
    pub(super) fn answered(&self, status: u16) {
        if let Some(count) = self.statuses.get(usize::from(status).wrapping_sub(100)) {
            count.add(1);
        }
    }

    pub(super) fn model_took(&self, time: Duration) {
        self.model.see(time.as_nanos() as u64, TIME_UNIT_BITS);
    }

    pub(super) fn overhead_took(&self, time: Duration) {
        self.overhead.see(time.as_nanos() as u64, TIME_UNIT_BITS);
    }

    pub(super) fn batch_of(&self, rows: usize) {
        self.batch.see(rows as u64, 0);
    }
}

/// What all threads counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) invocations: u64,
    /// Those with a status of 400 or more.
    pub(super) failed: u64,
    /// Of the others.
    pub(super) rows: u64,
    /// Calls of the model.
    pub(super) batches: u64,
    pub(super) model_ns: u64,
    pub(super) overhead_ns: u64,
}

/// Adds up the counts of `threads`.
pub(super) fn totals(threads: &[Arc<Stats>]) -> Totals {
    let sum = |of: &dyn Fn(&Stats) -> u64| threads.iter().map(|stats| of(stats)).sum();
    Totals {
        invocations: sum(&|stats| stats.invocations.get()),
        failed: sum(&|stats| stats.invocations_4xx.get() + stats.invocations_5xx.get()),
        rows: sum(&|stats| stats.rows.get()),
        batches: sum(&|stats| stats.batch.counts.iter().map(Count::get).sum()),
        model_ns: sum(&|stats| stats.model.sum.get()),
        overhead_ns: sum(&|stats| stats.overhead.sum.get()),
    }
}

/// Numbers that are read off rather than counted.
pub(super) trait Gauges: Send + Sync + 'static {
    /// (waiting requests, waiting rows, open connections)
    fn read(&self) -> (u64, u64, u64);
    /// Labels of the build metric.
    fn build(&self) -> Vec<(String, String)>;
}

/// Everything the page shows.
struct Page {
    threads: Arc<[Arc<Stats>]>,
    gauges: Arc<dyn Gauges>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// Content type of [`text`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page, in the text format of OpenMetrics 1.0.
pub(super) fn text(threads: &Arc<[Arc<Stats>]>, gauges: &Arc<dyn Gauges>) -> String {
    let mut registry = Registry::default();
    let page = Page { threads: Arc::clone(threads), gauges: Arc::clone(gauges) };
    registry.register_collector(Box::new(page));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

impl Page {
    fn sum(&self, of: impl Fn(&Stats) -> &Count) -> u64 {
        self.threads.iter().fold(0, |sum, stats| sum.wrapping_add(of(stats).get()))
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        counter(encoder, metric::INVOCATIONS, self.sum(|stats| &stats.invocations))?;
        counter(encoder, metric::INVOCATION_4XX, self.sum(|stats| &stats.invocations_4xx))?;
        counter(encoder, metric::INVOCATION_5XX, self.sum(|stats| &stats.invocations_5xx))?;
        counter(encoder, metric::ROWS, self.sum(|stats| &stats.rows))?;
        counter(encoder, metric::RECEIVED_BYTES, self.sum(|stats| &stats.received))?;
        counter(encoder, metric::SENT_BYTES, self.sum(|stats| &stats.sent))?;
        counter(encoder, metric::MODEL_PANICS, self.sum(|stats| &stats.panics))?;
        counter(encoder, metric::ABANDONED, self.sum(|stats| &stats.abandoned))?;
        self.statuses(encoder)?;
        self.times(encoder, metric::MODEL_LATENCY, |stats| &stats.model)?;
        self.times(encoder, metric::OVERHEAD_LATENCY, |stats| &stats.overhead)?;
        self.histogram(encoder, metric::BATCH_ROWS, |stats| &stats.batch, 1.0)?;
        let (requests, rows, connections) = self.gauges.read();
        gauge(encoder, metric::IN_FLIGHT, self.sum(|stats| &stats.in_flight))?;
        gauge(encoder, metric::QUEUE_REQUESTS, requests)?;
        gauge(encoder, metric::QUEUE_ROWS, rows)?;
        gauge(encoder, metric::CONNECTIONS, connections)?;
        let build = Info::new(self.gauges.build());
        let Name { name, help } = metric::BUILD;
        build.encode(encoder.encode_descriptor(name, help, None, MetricType::Info)?)
    }
}

impl Page {
    fn statuses(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Name { name, help } = metric::REQUESTS;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for at in 0..500 {
            let count = self.sum(|stats| &stats.statuses[at]);
            if count > 0 {
                let label = [("code", (at + 100).to_string())];
                ConstCounter::new(count).encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    fn times(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: Name,
        of: impl Fn(&Stats) -> &Histogram,
    ) -> fmt::Result {
        self.histogram(encoder, name, of, f64::from(1_u32 << TIME_UNIT_BITS) / 1e9)
    }

    fn histogram(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        Name { name, help }: Name,
        of: impl Fn(&Stats) -> &Histogram,
        unit: f64,
    ) -> fmt::Result {
        let buckets: Vec<(f64, u64)> = (0..BUCKETS)
            .map(|at| {
                let last = at == BUCKETS - 1;
                let bound = if last { f64::MAX } else { unit * (1_u64 << at) as f64 };
                (bound, self.sum(|stats| &of(stats).counts[at]))
            })
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let scale = if unit < 1.0 { 1e-9 } else { 1.0 };
        let sum = self.sum(|stats| &of(stats).sum) as f64 * scale;
        encoder
            .encode_descriptor(name, help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: Name, value: u64) -> fmt::Result {
    let Name { name, help } = name;
    let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(descriptor)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: Name, value: u64) -> fmt::Result {
    let Name { name, help } = name;
    let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value as i64).encode(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 40] {
            histogram.see(value, 0);
        }
        let counts: Vec<u64> = histogram.counts.iter().map(Count::get).collect();
        assert_eq!(counts[..4], [2, 1, 2, 1]);
        assert_eq!(counts[BUCKETS - 1], 1);
    }
}
