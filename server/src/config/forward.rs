//! What is sent on to other stores: the part of the configuration that becomes ways out.

use std::time::Duration;

use plimsoll_ingest::forward::{Access, Destination};

use super::layer::Layer;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent on.
#[derive(Debug, Clone, Default)]
pub struct ForwardConfig {
    /// Where to.
    pub destinations: Vec<Destination>,
    /// Of which databases; none named: of all but `_internal`.
    pub databases: Vec<String>,
    /// How they are reached.
    pub access: Access,
}

/// The ways out of a layer, with defaults; what cannot work goes to `errors`.
pub(super) fn forward(layer: &Layer, errors: &mut Vec<String>) -> ForwardConfig {
    let destinations = layer.forward.iter().flatten();
    let destinations: Vec<Destination> = destinations.map(|to| to.0.clone()).collect();
    for (index, destination) in destinations.iter().enumerate() {
        let shown = destination.to_string();
        // Each has a position in the log under this name.
        if destinations[..index]
            .iter()
            .any(|to| to.to_string() == shown)
        {
            errors.push(format!("forward names {shown} twice"));
        }
    }
    let timeout = layer
        .forward_timeout
        .as_ref()
        .map_or(TIMEOUT, |time| time.0.0);
    if timeout.is_zero() {
        errors.push("forward_timeout is 0: every store would be too slow".to_owned());
    }
    let access = Access {
        timeout,
        token_file: layer.forward_token_file.clone(),
        ca_file: layer.forward_ca_file.clone(),
        insecure_skip_verify: layer.forward_insecure_skip_verify.unwrap_or(false),
    };
    if access.insecure_skip_verify && access.ca_file.is_some() {
        errors.push(
            "forward_ca_file and forward_insecure_skip_verify contradict each other: check the \
             certificates, or do not"
                .to_owned(),
        );
    }
    ForwardConfig {
        destinations,
        databases: layer.forward_databases.clone().unwrap_or_default(),
        access,
    }
}
