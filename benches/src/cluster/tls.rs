//! The certificate of all Kubelets.

use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Of larger clusters the certificate names so many nodes: it is sent with each handshake.
const NODES_NAMED_MAX: usize = 64;

/// What answers in TLS, and its certificate.
///
/// # Errors
/// None that is known.
pub(super) fn self_signed(nodes: usize) -> std::io::Result<(Arc<ServerConfig>, String)> {
    let names = (0..nodes.min(NODES_NAMED_MAX)).map(|node| super::address(node).to_string());
    let key = rcgen::generate_simple_self_signed(names.collect::<Vec<_>>())
        .map_err(std::io::Error::other)?;
    let private =
        PrivateKeyDer::try_from(key.signing_key.serialize_der()).map_err(std::io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .map_err(std::io::Error::other)?;
    Ok((Arc::new(config), key.cert.pem()))
}
