//! Traces to a collector: OTLP over HTTP (opentelemetry.io/docs/specs/otlp), sent through `egress`.

use std::{collections::HashMap, fmt};

use bytes::Bytes;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use switchboard_domain::SecretValue;
use switchboard_egress::{Egress, Redirects, Request};
use tracing_subscriber::{Layer, Registry};

use crate::{config::OtlpSettings, failure::Failure};

/// The exporter works on a thread of its own without a runtime; the exchange itself runs on ours.
struct Collector {
    egress: Egress,
    runtime: tokio::runtime::Handle,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let egress = self.egress.clone();
        self.runtime.spawn(async move { exchange(&egress, request).await }).await?
    }
}

async fn exchange(
    egress: &Egress,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, HttpError> {
    let (parts, body) = request.into_parts();
    let url = egress.check_url(&parts.uri.to_string())?;
    let limits = egress.limits();
    let answer = egress
        .send(Request {
            method: parts.method,
            url,
            headers: parts.headers,
            body,
            deadlines: switchboard_egress::Limits::default().call_deadlines(),
            max_wire_bytes: limits.metadata_document_bytes(),
            max_inflated_bytes: limits.metadata_document_bytes(),
            redirects: Redirects::Refuse,
            accept_gzip: false,
        })
        .await?;
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    *response.body_mut() = answer.body.collect_bytes().await?;
    Ok(response)
}

/// Within a Tokio runtime.
pub(crate) fn provider(settings: &OtlpSettings, egress: &Egress) -> Result<SdkTracerProvider, Failure> {
    let unusable = |error: &dyn fmt::Display| {
        Failure::usage(format!(
            "`telemetry.otlp_endpoint` can't be used: {error}. Write the collector's base URL, such as http://127.0.0.1:4318"
        ))
    };
    let mut endpoint = settings.endpoint.clone();
    if matches!(endpoint.path(), "" | "/") {
        endpoint.set_path("/v1/traces");
    }
    egress.check_url(endpoint.as_str()).map_err(|error| unusable(&error))?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Collector { egress: egress.clone(), runtime: tokio::runtime::Handle::current() })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.as_str())
        .with_headers(headers(settings.headers.as_ref()))
        .build()
        .map_err(|error| unusable(&error))?;
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", settings.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

fn headers(text: Option<&SecretValue>) -> HashMap<String, String> {
    let text = text.map_or("", SecretValue::expose);
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

pub(crate) fn layer(provider: &SdkTracerProvider) -> Box<dyn Layer<Registry> + Send + Sync> {
    tracing_opentelemetry::layer().with_tracer(provider.tracer("switchboard")).boxed()
}
