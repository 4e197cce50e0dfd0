//! TLS: the certificate and key that the server shows, read again on SIGHUP.

use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::exit::{Code, Failure};

/// What is spoken inside, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes connections secret.
pub(crate) struct Tls {
    files: TlsFiles,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

/// What is shown to new connections.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// A line that names the setting and the file.
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, Failure> {
        let provider = Arc::new(ring::default_provider());
        let shown = Arc::new(Shown(RwLock::new(Arc::new(read(files, &provider)?))));
        let versions = ServerConfig::builder_with_provider(provider);
        let versions = versions.with_safe_default_protocol_versions();
        let mut config = versions
            .map_err(|error| Failure::new(Code::Failed, format!("TLS: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            files: files.clone(),
            shown,
            config: Arc::new(config),
        })
    }

    /// Reads the files again; new connections see them. After an error the old ones stay.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn reload(&self) -> Result<(), Failure> {
        let read = read(&self.files, self.config.crypto_provider())?;
        *self.shown.0.write() = Arc::new(read);
        Ok(())
    }

    /// Takes connections.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, Failure> {
    let wrong = |setting: &str, path: &Path, why: String| {
        let line = format!("{setting}: {}: {why}", path.display());
        Failure::new(Code::File, line)
    };
    let TlsFiles { certificate, key } = files;
    let bad = |error: rustls::pki_types::pem::Error| {
        wrong("tls_certificate_file", certificate, pem_text(&error))
    };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(bad)?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(bad)?;
    if chain.is_empty() {
        let why = "it holds no certificate in PEM".to_owned();
        return Err(wrong("tls_certificate_file", certificate, why));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong("tls_key_file", key, pem_text(&error)))?;
    CertifiedKey::from_der(chain, secret, provider)
        .map_err(|error| wrong("tls_key_file", key, error.to_string()))
}

fn pem_text(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => "it holds no key in PEM".to_owned(),
        other => other.to_string(),
    }
}

/// Looks whether certificate and key can be used.
///
/// # Errors
/// As [`Tls::open`].
pub(crate) fn probe(files: &TlsFiles) -> Result<(), Failure> {
    Tls::open(files).map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn files(directory: &Path, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| directory.join(name)).collect()
    }

    fn made(directory: &Path, stem: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let paths = files(directory, &[&format!("{stem}.crt"), &format!("{stem}.key")]);
        std::fs::write(&paths[0], made.cert.pem()).unwrap();
        std::fs::write(&paths[1], made.signing_key.serialize_pem()).unwrap();
        TlsFiles {
            certificate: paths[0].clone(),
            key: paths[1].clone(),
        }
    }

    #[test]
    fn a_reload_shows_the_new_certificate_or_keeps_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (made(directory.path(), "a"), made(directory.path(), "b"));
        let tls = Tls::open(&first).unwrap();
        let shown = || tls.shown.0.read().cert[0].clone();
        let before = shown();
        std::fs::copy(&second.certificate, &first.certificate).unwrap();
        let failure = tls.reload().unwrap_err();
        assert!(failure.lines[0].starts_with("tls_key_file"), "{failure:?}");
        assert_eq!(shown(), before);
        std::fs::copy(&second.key, &first.key).unwrap();
        tls.reload().unwrap();
        assert_ne!(shown(), before);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let good = made(directory.path(), "a");
        let empty = files(directory.path(), &["empty"]).remove(0);
        std::fs::write(&empty, "").unwrap();
        for (certificate, key, start) in [
            (&empty, &good.key, "tls_certificate_file"),
            (&good.certificate, &empty, "tls_key_file"),
            (
                &good.certificate,
                &directory.path().join("no"),
                "tls_key_file",
            ),
        ] {
            let (certificate, key) = (certificate.clone(), key.clone());
            let failure = probe(&TlsFiles { certificate, key }).unwrap_err();
            assert!(failure.lines[0].starts_with(start), "{failure:?}");
        }
    }
}
