//! Every metric of the product. Each accessor returns the metric for its labels; call `inc`, `set` or `observe` on it.
//!
//! Label values come from code (routes, states, streams), not from traffic. As a second line of defence each metric
//! has at most [`SERIES_MAX`] series; what comes later is counted under `other`.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    TextEncoder,
};

/// Series of one metric; the largest, Bitbucket's calls by route and status, has about a hundred.
pub const SERIES_MAX: usize = 300;

/// Label value of everything beyond [`SERIES_MAX`].
const OTHER: &str = "other";

/// From a lone publish on a fast disk (half a millisecond) to the publish budget (5 s).
const PUBLISH_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 5.0,
];

/// From a parse (1 ms) to a long agent run (1 h).
const HANDLER_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0,
];

/// Deliveries answered, by result: `accepted`, `ignored`, `ping`, `refused` (401), `malformed` (400), `too-large`
/// (413), `too-slow` (408), `unavailable` (503).
pub fn deliveries(result: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> =
        LazyLock::new(|| counters("resolver_deliveries_total", "Deliveries answered.", &["result"]));
    FAMILY.with(&[result])
}

/// Seconds from a verified delivery to its publish acknowledgement.
pub fn publish_seconds() -> Histogram {
    static FAMILY: LazyLock<Family<HistogramVec>> = LazyLock::new(|| {
        histograms(
            "resolver_publish_seconds",
            "Publish until acknowledged.",
            &[],
            PUBLISH_BUCKETS,
        )
    });
    FAMILY.with(&[])
}

/// Messages settled, by durable consumer and verdict (`ack`, `retry`, `refuse`, `abandon`, ...).
pub fn messages(consumer: &str, verdict: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> = LazyLock::new(|| {
        counters(
            "resolver_messages_total",
            "Messages settled.",
            &["consumer", "verdict"],
        )
    });
    FAMILY.with(&[consumer, verdict])
}

/// Seconds a handler took, by durable consumer.
pub fn handler_seconds(consumer: &str) -> Histogram {
    static FAMILY: LazyLock<Family<HistogramVec>> = LazyLock::new(|| {
        histograms(
            "resolver_handler_seconds",
            "Time in the handler.",
            &["consumer"],
            HANDLER_BUCKETS,
        )
    });
    FAMILY.with(&[consumer])
}

/// Messages being handled now, by durable consumer.
pub fn in_flight(consumer: &str) -> IntGauge {
    static FAMILY: LazyLock<Family<IntGaugeVec>> =
        LazyLock::new(|| gauges("resolver_in_flight", "Messages being handled.", &["consumer"]));
    FAMILY.with(&[consumer])
}

/// Messages not settled, by durable consumer: those that wait, and those in work in any process. Measured every few
/// seconds by each process of the role, which all see the same: take the maximum, not the sum.
pub fn queue_depth(consumer: &str) -> IntGauge {
    static FAMILY: LazyLock<Family<IntGaugeVec>> = LazyLock::new(|| {
        gauges(
            "resolver_queue_depth",
            "Messages waiting or in work.",
            &["consumer"],
        )
    });
    FAMILY.with(&[consumer])
}

/// Runs that have not ended, by state (`queued`, `running`). Counted each minute by each context-builder, which all
/// see the same: take the maximum, not the sum.
pub fn runs(state: &str) -> IntGauge {
    static FAMILY: LazyLock<Family<IntGaugeVec>> =
        LazyLock::new(|| gauges("resolver_runs", "Runs that have not ended.", &["state"]));
    FAMILY.with(&[state])
}

/// Dead letters written, by service.
pub fn dead_letters(service: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> = LazyLock::new(|| {
        counters(
            "resolver_dead_letters_total",
            "Dead letters written.",
            &["service"],
        )
    });
    FAMILY.with(&[service])
}

/// Decisions recorded, by role and verdict.
pub fn decisions(role: &str, verdict: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> = LazyLock::new(|| {
        counters(
            "resolver_decisions_total",
            "Decisions recorded.",
            &["role", "verdict"],
        )
    });
    FAMILY.with(&[role, verdict])
}

/// Decisions that could not be recorded; the delivery itself was not affected.
pub fn decisions_lost() -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> =
        LazyLock::new(|| counters("resolver_decisions_lost_total", "Decisions not recorded.", &[]));
    FAMILY.with(&[])
}

/// Runs ended, by terminal state and failure code (`-` where there is none).
pub fn runs_ended(state: &str, code: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> =
        LazyLock::new(|| counters("resolver_runs_ended_total", "Runs ended.", &["state", "code"]));
    FAMILY.with(&[state, code])
}

/// Seconds from admission to the end of a run, by terminal state.
pub fn run_seconds(state: &str) -> Histogram {
    static FAMILY: LazyLock<Family<HistogramVec>> = LazyLock::new(|| {
        histograms(
            "resolver_run_seconds",
            "Admission until end.",
            &["state"],
            HANDLER_BUCKETS,
        )
    });
    FAMILY.with(&[state])
}

/// Requests to Bitbucket, by route template and status (or `timeout`, `unreachable`, ...).
pub fn bitbucket_calls(route: &str, status: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> = LazyLock::new(|| {
        counters(
            "resolver_bitbucket_calls_total",
            "Requests to Bitbucket.",
            &["route", "status"],
        )
    });
    FAMILY.with(&[route, status])
}

/// Pushes, by result (`pushed`, `moved`, `rejected`, ...).
pub fn pushes(result: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> =
        LazyLock::new(|| counters("resolver_pushes_total", "Pushes tried.", &["result"]));
    FAMILY.with(&[result])
}

/// Tokens used, by direction (`input`, `output`, `cached`).
pub fn model_tokens(direction: &str) -> IntCounter {
    static FAMILY: LazyLock<Family<IntCounterVec>> =
        LazyLock::new(|| counters("resolver_model_tokens_total", "Tokens used.", &["direction"]));
    FAMILY.with(&[direction])
}

/// Every metric that was used so far, in Prometheus' text form.
pub fn render() -> String {
    let mut text = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&prometheus::gather(), &mut text) {
        tracing::error!(error = %error, "the metrics cannot be rendered");
    }
    text
}

fn counters(name: &str, about: &str, labels: &[&str]) -> Family<IntCounterVec> {
    Family::new(IntCounterVec::new(Opts::new(name, about), labels))
}

fn gauges(name: &str, about: &str, labels: &[&str]) -> Family<IntGaugeVec> {
    Family::new(IntGaugeVec::new(Opts::new(name, about), labels))
}

fn histograms(name: &str, about: &str, labels: &[&str], buckets: &[f64]) -> Family<HistogramVec> {
    Family::new(HistogramVec::new(
        HistogramOpts::new(name, about).buckets(buckets.to_vec()),
        labels,
    ))
}

/// A metric with labels and the label sets it has seen.
struct Family<V> {
    metric: V,
    seen: Mutex<HashSet<Vec<String>>>,
}

/// What the three kinds of metrics with labels have in common.
trait Labelled: Collector + Clone + 'static {
    type One;
    fn one(&self, labels: &[&str]) -> Self::One;
}

impl<B: MetricVecBuilder> Labelled for MetricVec<B>
where
    Self: Collector + 'static,
{
    type One = B::M;
    fn one(&self, labels: &[&str]) -> B::M {
        self.with_label_values(labels)
    }
}

impl<V: Labelled> Family<V> {
    fn new(metric: Result<V, prometheus::Error>) -> Self {
        let metric =
            metric.expect("names and labels are literals of this file, and a test uses each of them");
        prometheus::register(Box::new(metric.clone()))
            .expect("each name is registered once, by its own static");
        Self {
            metric,
            seen: Mutex::default(),
        }
    }

    fn with(&self, labels: &[&str]) -> V::One {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let key: Vec<String> = labels.iter().map(ToString::to_string).collect();
        if seen.contains(&key) {
            return self.metric.one(labels);
        }
        if seen.len() < SERIES_MAX {
            seen.insert(key);
            return self.metric.one(labels);
        }
        self.metric.one(&vec![OTHER; labels.len()])
    }
}
