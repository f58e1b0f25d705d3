//! What a scrape shows.

use telemetry::metrics;

const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

#[test]
fn every_metric_appears_in_a_scrape_with_its_labels() {
    metrics::deliveries("accepted").inc();
    metrics::publish_seconds().observe(0.003);
    metrics::messages("resolver", "ack").inc();
    metrics::handler_seconds("resolver").observe(7.0);
    metrics::queue_depth("mention-parser").set(2);
    metrics::queue_depth("resolver").set(5);
    metrics::runs("queued").set(4);
    metrics::dead_letters("reply").inc();
    metrics::decisions("mention-parser", "ignored").inc();
    metrics::decisions_lost().inc();
    metrics::runs_ended("failed", "push-rejected").inc();
    metrics::run_seconds("done").observe(61.0);
    metrics::bitbucket_calls("/pull-requests/{id}", "200").inc_by(3);
    metrics::pushes("moved").inc();
    metrics::model_tokens("input").inc_by(1200);
    let text = metrics::render();
    for line in [
        "resolver_deliveries_total{result=\"accepted\"} 1",
        "resolver_publish_seconds_bucket{le=\"0.004\"} 1",
        "resolver_publish_seconds_bucket{le=\"0.002\"} 0",
        "resolver_messages_total{consumer=\"resolver\",verdict=\"ack\"} 1",
        "resolver_handler_seconds_sum{consumer=\"resolver\"} 7",
        "resolver_queue_depth{consumer=\"mention-parser\"} 2",
        "resolver_queue_depth{consumer=\"resolver\"} 5",
        "resolver_runs{state=\"queued\"} 4",
        "resolver_dead_letters_total{service=\"reply\"} 1",
        "resolver_decisions_total{role=\"mention-parser\",verdict=\"ignored\"} 1",
        "resolver_decisions_lost_total 1",
        "resolver_runs_ended_total{code=\"push-rejected\",state=\"failed\"} 1",
        "resolver_run_seconds_count{state=\"done\"} 1",
        "resolver_bitbucket_calls_total{route=\"/pull-requests/{id}\",status=\"200\"} 3",
        "resolver_pushes_total{result=\"moved\"} 1",
        "resolver_model_tokens_total{direction=\"input\"} 1200",
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line}\nis missing in\n{text}"
        );
    }
    every_documented_metric_is_in(&text);
}

/// The operators' guide names metrics as `name`, `name{label}` or `name{label="value"}`.
fn every_documented_metric_is_in(text: &str) {
    let quoted = OPERATIONS
        .split('`')
        .filter(|quoted| quoted.starts_with("resolver_"));
    let mut count = 0;
    for documented in quoted {
        let (name, labels) = documented.split_once('{').unwrap_or((documented, ""));
        let label = labels.trim_end_matches('}').split('=').next().unwrap_or_default();
        let shown = |line: &str| {
            let labels = line
                .strip_prefix(name)
                .filter(|rest| rest.starts_with(['{', ' ']));
            labels.is_some_and(|labels| label.is_empty() || labels.contains(&format!("{label}=\"")))
        };
        assert!(
            text.lines().any(shown),
            "{documented} is documented and not in\n{text}"
        );
        count += 1;
    }
    assert!(count > 3, "the guide names {count} metrics");
}

#[test]
fn a_metric_never_has_more_series_than_its_bound() {
    for number in 0..metrics::SERIES_MAX + 50 {
        metrics::in_flight(&format!("flood-{number}")).set(1);
    }
    let text = metrics::render();
    let series = text
        .lines()
        .filter(|line| line.starts_with("resolver_in_flight{"))
        .count();
    assert!(series <= metrics::SERIES_MAX + 1, "{series}");
    assert!(text.contains("resolver_in_flight{consumer=\"other\"}"));
}
