//! The trace context from one process to the next.

use std::sync::OnceLock;

use telemetry::{Guard, Settings, trace};

/// The process's one set-up.
fn ready() -> &'static Guard {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    GUARD.get_or_init(|| {
        let settings = Settings {
            log: "json",
            filter: "info",
            otlp_endpoint: None,
        };
        telemetry::init(&settings, "test").expect("the first set-up of the process")
    })
}

const UPSTREAM: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_span_that_follows_a_traceparent_is_part_of_its_trace() {
    ready();
    let span = tracing::info_span!("handle");
    trace::follow(&span, Some(UPSTREAM));
    let sent = span.in_scope(trace::current_traceparent).unwrap();
    assert_eq!(&sent[..35], &UPSTREAM[..35], "the trace id is kept");
    assert_ne!(&sent[36..52], &UPSTREAM[36..52], "the span id is the span's own");
    assert_eq!(&sent[53..], "01");
}

#[test]
fn the_context_crosses_several_hops() {
    ready();
    let first = tracing::info_span!("delivery");
    let from_first = first.in_scope(trace::current_traceparent).unwrap();
    let second = tracing::info_span!("handle");
    trace::follow(&second, Some(&from_first));
    let from_second = second.in_scope(trace::current_traceparent).unwrap();
    assert_eq!(from_first[..35], from_second[..35]);
    assert_ne!(from_first, from_second);
}

#[test]
fn a_malformed_traceparent_starts_a_new_trace() {
    ready();
    for text in [
        "",
        "00",
        "hostile",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-zzf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0é-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let span = tracing::info_span!("handle");
        trace::follow(&span, Some(text));
        let sent = span.in_scope(trace::current_traceparent).expect(text);
        assert!(!sent.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{text:?}");
    }
}

#[test]
fn outside_of_a_span_there_is_nothing_to_send() {
    ready();
    assert_eq!(trace::current_traceparent(), None);
}

#[test]
fn a_second_set_up_and_a_wrong_filter_are_refused() {
    ready();
    assert!(
        telemetry::init(
            &Settings {
                filter: "info",
                ..Settings::default()
            },
            "test"
        )
        .is_err()
    );
    let refused = telemetry::init(
        &Settings {
            filter: "worker=loud",
            ..Settings::default()
        },
        "test",
    )
    .err()
    .unwrap()
    .to_string();
    assert!(refused.contains("worker=loud"), "{refused}");
}
