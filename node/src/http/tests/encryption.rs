//! TLS, with a real client on a real socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::bank::Bank;
use crate::config::{RestLimits, RestSection, TlsFiles, TokenEntry};
use crate::http::{RestError, RestServer};
use crate::tls::TlsError;
use crate::tokens::{Scope, Tokens, new_token};

/// A certificate for `localhost` and its key, as PEM files; and the certificate as a root to trust.
fn certificate(folder: &Path) -> (TlsFiles, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (files, roots)
}

/// One request by a client that speaks these versions only.
fn ask(
    address: SocketAddr,
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
    request: &str,
) -> std::io::Result<String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap());
    let mut stream = StreamOwned::new(client.unwrap(), socket);
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_3_with_a_token_comes_in_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (files, roots) = certificate(folder.path());
    let (reader, auditor) = (new_token().unwrap(), new_token().unwrap());
    let entry = |name: &str, sha256: &str, scope| TokenEntry {
        name: name.to_owned(),
        sha256: sha256.to_owned(),
        scopes: vec![scope],
    };
    let rest = RestSection {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: Some(files),
        tokens: vec![
            entry("reader", &reader.sha256, Scope::Read),
            entry("auditor", &auditor.sha256, Scope::Audit),
        ],
        limits: RestLimits::default(),
    };
    let bank = Bank::with(Tokens::new(&rest.tokens), rest.limits);
    let server = RestServer::start(&bank.edge, &rest).unwrap();
    let address = server.address();
    let asking = move |versions: &'static [&'static SupportedProtocolVersion], token: Option<String>| {
        let roots = roots.clone();
        let authorization =
            token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request =
            format!("GET /v1/chains HTTP/1.1\r\nhost: x\r\n{authorization}connection: close\r\n\r\n");
        tokio::task::block_in_place(|| ask(address, roots, versions, &request))
    };
    static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
    static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];
    let welcome = asking(&ONLY_13, Some(reader.token.to_string())).unwrap();
    assert!(welcome.starts_with("HTTP/1.1 200 ") && welcome.contains("\"currency\":\"CNY\""), "{welcome}");
    let nobody = asking(&ONLY_13, None).unwrap();
    assert!(nobody.starts_with("HTTP/1.1 401 ") && nobody.contains("\"code\":1201"), "{nobody}");
    let stranger = asking(&ONLY_13, Some("jzt_00".to_owned())).unwrap();
    assert!(stranger.starts_with("HTTP/1.1 401 ") && stranger.contains("\"code\":1202"), "{stranger}");
    let wrong_scope = asking(&ONLY_13, Some(auditor.token.to_string())).unwrap();
    assert!(
        wrong_scope.starts_with("HTTP/1.1 403 ") && wrong_scope.contains("\"code\":1203"),
        "{wrong_scope}"
    );
    let old = asking(&ONLY_12, Some(reader.token.to_string())).unwrap_err();
    assert!(old.to_string().contains("ProtocolVersion"), "{old}");
    let plain = tokio::task::block_in_place(|| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.write_all(b"GET /v1/chains HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    server.stop().await;
}

#[tokio::test]
async fn files_that_do_not_make_tls_are_named_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = certificate(folder.path());
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let (foreign, _) = certificate(&other);
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let huge = folder.path().join("huge.pem");
    std::fs::write(&huge, vec![b'-'; (1 << 20) + 1]).unwrap();
    let bank = Bank::new();
    let start = |certificate: &Path, key: &Path| {
        let tls = TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let error =
            RestServer::start(&bank.edge, &RestSection { listen, tls: Some(tls), ..RestSection::default() });
        let error = error.unwrap_err();
        assert!(error.to_string().contains("Mend: "), "{error}");
        error
    };
    let missing = folder.path().join("missing.pem");
    assert!(
        matches!(start(&missing, &files.key), RestError::Tls(TlsError::Io { path, .. }) if path == missing)
    );
    assert!(matches!(start(&empty, &files.key), RestError::Tls(TlsError::Certificates { count: 0, .. })));
    assert!(
        matches!(start(&files.certificate, &empty), RestError::Tls(TlsError::Pem { path, .. }) if path == empty)
    );
    assert!(matches!(start(&huge, &files.key), RestError::Tls(TlsError::TooLarge { .. })));
    assert!(matches!(start(&files.certificate, &foreign.key), RestError::Tls(TlsError::Pair { .. })));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_at_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let bank = Bank::new();
    let error = RestServer::start(&bank.edge, &RestSection { listen, ..RestSection::default() }).unwrap_err();
    assert!(error.to_string().contains(&listen.to_string()) && error.to_string().contains("Mend"), "{error}");
}
