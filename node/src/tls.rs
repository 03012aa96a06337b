//! TLS for the REST edge: version 1.3 and nothing older, HTTP/1.1 and nothing else inside.
//!
//! One protocol version and one application protocol leave nothing to negotiate downwards. HTTP/2 is left out on
//! purpose: one request at a time per connection makes the bound on connections a bound on work.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;

use crate::config::TlsFiles;

/// Most bytes of a PEM file.
pub const PEM_BYTES_MAX: u64 = 1 << 20;
/// Most certificates of a chain.
pub const CERTIFICATES_MAX: usize = 16;

/// A server's side of TLS, ready to accept.
#[derive(Clone)]
pub struct TlsServer {
    pub(crate) config: Arc<rustls::ServerConfig>,
}

impl TlsServer {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] naming the file and the mend.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let certificates = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
            .map_err(|reason| TlsError::Pem { path: files.key.clone(), reason: reason.to_string() })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
            .map_err(|source| TlsError::Pair {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
                source,
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsServer(…)")
    }
}

/// When a node's certificate ends, in milliseconds since 1970; `None` where it cannot be read, which a start refuses, or is no X.509.
pub(crate) fn expires_ms(files: &TlsFiles) -> Option<u64> {
    let certificates = certificates(&files.certificate).ok()?;
    let (_, own) = x509_parser::parse_x509_certificate(certificates.first()?).ok()?;
    u64::try_from(own.validity().not_after.timestamp()).ok()?.checked_mul(1_000)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .take(CERTIFICATES_MAX.saturating_add(1))
        .collect::<Result<_, _>>()
        .map_err(|reason| TlsError::Pem { path: path.to_owned(), reason: reason.to_string() })?;
    match found.len() {
        1..=CERTIFICATES_MAX => Ok(found),
        count => Err(TlsError::Certificates { path: path.to_owned(), count }),
    }
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    let io = |source| TlsError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    if bytes > PEM_BYTES_MAX {
        return Err(TlsError::TooLarge { path: path.to_owned(), bytes });
    }
    // Room for everything at once: growing would leave copies of the key behind.
    let mut content = zeroize::Zeroizing::new(Vec::with_capacity(usize::try_from(bytes).unwrap_or(0)));
    file.take(PEM_BYTES_MAX).read_to_end(&mut content).map_err(io)?;
    Ok(content)
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operating system refused.
    #[error("{}: {source}. Mend: check [rest] tls; the node's user must be able to read the file", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than any PEM file.
    #[error("{}: {bytes} bytes; at most {PEM_BYTES_MAX} are read. Mend: name a PEM file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Not PEM, or of something else.
    #[error("{}: {reason}. Mend: certificate and key are PEM files", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// No certificate, or too many.
    #[error("{}: {count} certificates; 1 to {CERTIFICATES_MAX} are allowed. Mend: put the node's certificate first, \
             then those that lead to its root", .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// How many, as far as they were counted.
        count: usize,
    },
    /// Certificate and key do not fit each other.
    #[error("{} and {}: {source}. Mend: name the key that the certificate was made for",
            .certificate.display(), .key.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("node.pem"), folder.path().join("node.key"));
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        std::fs::write(&certificate, made.pem()).unwrap();
        let files = TlsFiles { certificate, key };
        assert_eq!(expires_ms(&files), Some(1_893_456_000_000));
        std::fs::write(&files.certificate, "nonsense").unwrap();
        assert_eq!(expires_ms(&files), None);
    }
}
