//! The page of metrics: totals of the endpoint under smrt's names, and each variant or model under
//! SageMaker's, in the text format of OpenMetrics 1.0.
//!
//! Names and help texts are in [`crate::telemetry::metric`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::book::Label;
use super::endpoint::{Endpoint, Fleet};
use super::hot::Hot;
use super::rollout::Progress;
use super::stats::{BUCKETS, Histogram, Stats, TIME_UNIT_BITS};
use super::traffic::Traffic;
use crate::telemetry::metric::{self, Name};

/// Content type of [`text`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page.
pub(super) fn text(endpoint: &Arc<Endpoint>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page { endpoint: Arc::clone(endpoint) }));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

struct Page {
    endpoint: Arc<Endpoint>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// Seconds for each unit of a time's smallest bucket.
const SECONDS: f64 = (1_u32 << TIME_UNIT_BITS) as f64 / 1e9;
/// SageMaker's latencies are in microseconds.
const MICROS: f64 = (1_u32 << TIME_UNIT_BITS) as f64 / 1e3;

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let endpoint = &self.endpoint;
        let shown = endpoint.book.shown();
        let total = &shown.total;
        counter(encoder, metric::INVOCATIONS, total.invocations.get())?;
        counter(encoder, metric::INVOCATION_4XX, total.invocations_4xx.get())?;
        counter(encoder, metric::INVOCATION_5XX, total.invocations_5xx.get())?;
        counter(encoder, metric::ROWS, total.rows.get())?;
        counter(encoder, metric::RECEIVED_BYTES, total.received.get())?;
        counter(encoder, metric::SENT_BYTES, total.sent.get())?;
        counter(encoder, metric::MODEL_PANICS, total.panics.get())?;
        counter(encoder, metric::ABANDONED, total.abandoned.get())?;
        statuses(encoder, endpoint)?;
        histogram(encoder, metric::MODEL_LATENCY, &total.model, (SECONDS, 1e-9))?;
        histogram(encoder, metric::OVERHEAD_LATENCY, &total.overhead, (SECONDS, 1e-9))?;
        histogram(encoder, metric::BATCH_ROWS, &total.batch, (1.0, 1.0))?;
        let (requests, rows) = endpoint.waiting();
        gauge(encoder, metric::IN_FLIGHT, endpoint.in_flight())?;
        gauge(encoder, metric::QUEUE_REQUESTS, requests as u64)?;
        gauge(encoder, metric::QUEUE_ROWS, rows as u64)?;
        number(encoder, metric::QUEUE_WAIT, endpoint.wait().as_secs_f64())?;
        gauge(encoder, metric::CONNECTIONS, endpoint.connected() as u64)?;
        let mut series: Vec<Series> = Vec::new();
        for (label, stats) in shown.named {
            series.push(Series { labels: labels(endpoint, &label), stats });
        }
        if let Some(stats) = shown.others {
            let label = Label { variant: "AllTraffic".into(), model: Some("(others)".into()) };
            series.push(Series { labels: labels(endpoint, &label), stats });
        }
        sagemaker(encoder, &series)?;
        match &endpoint.fleet {
            Fleet::Many(hot) => many(encoder, hot)?,
            Fleet::Variants(traffic) => variants(encoder, endpoint, traffic)?,
        }
        let build = Info::new(endpoint.build());
        let Name { name, help } = metric::BUILD;
        build.encode(encoder.encode_descriptor(name, help, None, MetricType::Info)?)
    }
}

/// One variant or model.
struct Series {
    labels: Vec<(&'static str, String)>,
    stats: Stats,
}

/// SageMaker's dimensions.
fn labels(endpoint: &Endpoint, label: &Label) -> Vec<(&'static str, String)> {
    let mut labels = vec![
        ("EndpointName", endpoint.settings.name.clone()),
        ("VariantName", label.variant.to_string()),
    ];
    labels.extend(label.model.as_ref().map(|model| ("ModelName", model.to_string())));
    labels
}

/// Every variant and model under the names and dimensions of the namespace `AWS/SageMaker`.
fn sagemaker(encoder: &mut DescriptorEncoder<'_>, series: &[Series]) -> fmt::Result {
    let failed = |stats: &Stats| stats.invocations_4xx.get() + stats.invocations_5xx.get();
    counters(encoder, metric::SAGEMAKER_INVOCATIONS, series, &|stats| stats.invocations.get())?;
    let of_4xx = |stats: &Stats| stats.invocations_4xx.get();
    counters(encoder, metric::SAGEMAKER_4XX, series, &of_4xx)?;
    let of_5xx = |stats: &Stats| stats.invocations_5xx.get();
    counters(encoder, metric::SAGEMAKER_5XX, series, &of_5xx)?;
    counters(encoder, metric::SAGEMAKER_MODEL_ERRORS, series, &failed)?;
    histograms(encoder, metric::SAGEMAKER_MODEL_LATENCY, series, |stats| &stats.model)?;
    histograms(encoder, metric::SAGEMAKER_OVERHEAD_LATENCY, series, |stats| &stats.overhead)
}

/// Who has which part of the traffic, and what the shadow's answers came to.
fn variants(
    encoder: &mut DescriptorEncoder<'_>,
    endpoint: &Endpoint,
    traffic: &Traffic,
) -> fmt::Result {
    let Name { name, help } = metric::VARIANT_WEIGHT;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for variant in &traffic.table().variants {
        let label = Label { variant: variant.name().into(), model: None };
        let labels = labels(endpoint, &label);
        let labels = labels.as_slice();
        ConstGauge::new(variant.weight).encode(family.encode_family(&labels)?)?;
    }
    let Name { name, help } = metric::BATCH_ROWS_MAX;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for variant in &traffic.table().variants {
        let label = Label { variant: variant.name().into(), model: None };
        let labels = labels(endpoint, &label);
        let labels = labels.as_slice();
        let rows = variant.served.pace.rows() as i64;
        ConstGauge::new(rows).encode(family.encode_family(&labels)?)?;
    }
    counter(encoder, metric::MODEL_SWAPS, traffic.swaps.load(Ordering::Relaxed))?;
    counter(encoder, metric::MODEL_SWAP_FAILURES, traffic.swap_failures.load(Ordering::Relaxed))?;
    let rolled_back = matches!(traffic.progressed(), Some(Progress::RolledBack(_)));
    counter(encoder, metric::ROLLBACKS, u64::from(rolled_back))?;
    let Some(shadow) = &traffic.shadow else { return Ok(()) };
    let counts = shadow.counts();
    counter(encoder, metric::SHADOW_COMPARED, counts.compared)?;
    counter(encoder, metric::SHADOW_DIFFERENT, counts.different)?;
    counter(encoder, metric::SHADOW_FAILED, counts.failed)?;
    counter(encoder, metric::SHADOW_DROPPED, counts.dropped)?;
    number(encoder, metric::SHADOW_LARGEST, counts.largest)
}

/// What SageMaker tells of multi-model endpoints, and what the models take.
fn many(encoder: &mut DescriptorEncoder<'_>, hot: &Hot) -> fmt::Result {
    let (models, bytes) = hot.size();
    gauge(encoder, metric::LOADED_MODEL_COUNT, models as u64)?;
    gauge(encoder, metric::MODELS_BYTES, bytes)?;
    hot.counts(|counts| {
        counter(encoder, metric::MODEL_LOADS, counts.loads.get())?;
        counter(encoder, metric::MODEL_LOAD_FAILURES, counts.failures.get())?;
        counter(encoder, metric::MODEL_UNLOADS, counts.unloads.get())?;
        counter(encoder, metric::MODEL_CACHE_MISSES, counts.misses.get())?;
        let micros = (MICROS, 1e-3);
        histogram(encoder, metric::MODEL_LOADING_TIME, &counts.load_time, micros)?;
        histogram(encoder, metric::MODEL_LOADING_WAIT_TIME, &counts.wait_time, micros)
    })
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    Name { name, help }: Name,
    series: &[Series],
    of: &dyn Fn(&Stats) -> u64,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for Series { labels, stats } in series {
        let labels = labels.as_slice();
        let encoder = family.encode_family(&labels)?;
        ConstCounter::new(of(stats)).encode(encoder)?;
    }
    Ok(())
}

fn histograms(
    encoder: &mut DescriptorEncoder<'_>,
    Name { name, help }: Name,
    series: &[Series],
    of: impl Fn(&Stats) -> &Histogram,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for Series { labels, stats } in series {
        let labels = labels.as_slice();
        let encoder = family.encode_family(&labels)?;
        buckets(encoder, of(stats), (MICROS, 1e-3))?;
    }
    Ok(())
}

fn statuses(encoder: &mut DescriptorEncoder<'_>, endpoint: &Endpoint) -> fmt::Result {
    let Name { name, help } = metric::REQUESTS;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for at in 0..500 {
        let count: u64 = endpoint.answers.iter().map(|answers| answers.statuses[at].get()).sum();
        if count > 0 {
            let label = [("code", (at + 100).to_string())];
            ConstCounter::new(count).encode(family.encode_family(&label)?)?;
        }
    }
    Ok(())
}

fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    Name { name, help }: Name,
    histogram: &Histogram,
    units: (f64, f64),
) -> fmt::Result {
    buckets(encoder.encode_descriptor(name, help, None, MetricType::Histogram)?, histogram, units)
}

/// `unit` is the bound of the first bucket, `scale` what one step of the sum is worth.
fn buckets(
    mut encoder: MetricEncoder<'_>,
    histogram: &Histogram,
    (unit, scale): (f64, f64),
) -> fmt::Result {
    let bound = |at: usize| match at == BUCKETS - 1 {
        true => f64::MAX,
        false => unit * (1_u64 << at) as f64,
    };
    let buckets: Vec<(f64, u64)> =
        histogram.counts.iter().enumerate().map(|(at, count)| (bound(at), count.get())).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    let sum = histogram.sum.get() as f64 * scale;
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: Name, value: u64) -> fmt::Result {
    let Name { name, help } = name;
    let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(descriptor)
}

/// A number that is not whole.
fn number(encoder: &mut DescriptorEncoder<'_>, name: Name, value: f64) -> fmt::Result {
    let Name { name, help } = name;
    let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(descriptor)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: Name, value: u64) -> fmt::Result {
    let Name { name, help } = name;
    let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value as i64).encode(descriptor)
}
