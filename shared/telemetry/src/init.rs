//! Sets logs and traces up, once per process.

use std::time::Duration;

use anyhow::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// A collector that does not answer by then loses the batch; spans are dropped rather than kept for ever.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How logs and traces are set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// `human` or `json`.
    pub log: &'a str,
    /// Filter directives such as `info,worker=debug`.
    pub filter: &'a str,
    /// OTLP over HTTP, for example `http://collector:4318`; absent means no export.
    pub otlp_endpoint: Option<&'a str>,
}

/// Keeps the export alive; flushes when shut down or dropped.
#[must_use = "dropping the guard ends the export of traces"]
pub struct Guard {
    /// Taken when shut down.
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs to standard error and, where an endpoint is configured, export of traces. Trace ids are made in any
/// case, so that logs can be followed across roles. Fails when called twice or when the filter or endpoint is wrong.
pub fn init(settings: &Settings<'_>, role: &str) -> anyhow::Result<Guard> {
    let filter = EnvFilter::try_new(settings.filter)
        .with_context(|| format!("the log filter {:?} is not understood", settings.filter))?;
    let provider = provider(settings.otlp_endpoint, role)?;
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("openhands-resolver"));
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = match settings.log {
        "json" => format
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        // Colours would put escape sequences into files and journals.
        _ => format.with_ansi(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(traces.with_filter(tracing_subscriber::filter::LevelFilter::INFO))
        .try_init()
        .context("logs are set up already")?;
    Ok(Guard {
        provider: Some(provider),
    })
}

fn provider(endpoint: Option<&str>, role: &str) -> anyhow::Result<SdkTracerProvider> {
    let resource = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", "openhands-resolver"))
        .with_attribute(KeyValue::new("service.component", role.to_owned()))
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = endpoint else {
        return Ok(builder.build());
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .with_context(|| format!("the OTLP endpoint {endpoint:?} cannot be used"))?;
    Ok(builder.with_batch_exporter(exporter).build())
}

impl Guard {
    /// Sends what is left and ends the export. Blocks up to the export's time-out: inside a runtime, call it from
    /// `spawn_blocking`.
    pub fn shutdown(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
            tracing::warn!(error = %error, "the last traces were not exported");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.finish();
    }
}
