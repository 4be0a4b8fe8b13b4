//! What speaks to the collector, and how the process is described to it.

use std::fs;

use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SpanExporter as _;
use opentelemetry_semantic_conventions::attribute::{
    HOST_NAME, SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION,
};
use uuid::Uuid;

use super::super::collector::{Collector, Protocol, StartError};

/// What sends to this collector.
///
/// # Errors
/// It can't be set up.
pub(super) fn exporter(collector: &Collector) -> Result<SpanExporter, StartError> {
    let ca = collector.ca.as_ref().map(|path| {
        fs::read(path).map_err(|error| StartError::Certificates {
            path: path.clone(),
            why: error.to_string(),
        })
    });
    let ca = ca.transpose()?;
    let built = match collector.protocol {
        Protocol::HttpProtobuf => SpanExporter::builder()
            .with_http()
            .with_http_client(client(collector, ca.as_deref())?)
            .with_endpoint(collector.endpoint.as_str())
            .with_timeout(collector.timeout)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_retry_policy(RetryPolicy::recommended())
            .build(),
        Protocol::Grpc => {
            let grpc = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(collector.endpoint.as_str())
                .with_timeout(collector.timeout)
                .with_retry_policy(RetryPolicy::recommended());
            match collector.endpoint.scheme() {
                "https" => grpc.with_tls_config(tls(ca.as_deref())).build(),
                _ => grpc.build(),
            }
        }
    };
    let mut exporter = built.map_err(|error| StartError::Exporter(error.to_string()))?;
    exporter.set_resource(&resource(collector));
    Ok(exporter)
}

fn client(collector: &Collector, ca: Option<&[u8]>) -> Result<reqwest::Client, StartError> {
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(collector.timeout);
    if let (Some(pem), Some(path)) = (ca, &collector.ca) {
        let certificates = reqwest::Certificate::from_pem_bundle(pem);
        let certificates = certificates.map_err(|error| error.to_string());
        let certificates = certificates.and_then(|all| match all.is_empty() {
            true => Err("has no certificate".to_owned()),
            false => Ok(all),
        });
        client = client.tls_certs_only(certificates.map_err(|why| StartError::Certificates {
            path: path.clone(),
            why,
        })?);
    }
    client
        .build()
        .map_err(|error| StartError::Exporter(error.to_string()))
}

fn tls(ca: Option<&[u8]>) -> ClientTlsConfig {
    match ca {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_enabled_roots(),
    }
}

/// What the process is, by the semantic conventions of resources; what the environment says
/// of it wins.
fn resource(collector: &Collector) -> Resource {
    let own = [
        KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(SERVICE_INSTANCE_ID, Uuid::now_v7().to_string()),
    ];
    // Where there is no such file nothing is said of the host.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|name| KeyValue::new(HOST_NAME, name.trim().to_owned()));
    let given = collector.resource.iter();
    let given = given.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(own)
        .with_attributes(host)
        .with_attributes(given)
        .with_attribute(KeyValue::new(SERVICE_NAME, collector.service.clone()))
        .build()
}
