//! One HTTP exchange: time-bounded, size-bounded, with the node's refusal as a typed error. The HTTP library
//! is named in this file only.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Method, RequestBuilder, Response, Url, redirect, tls};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ClientConfig;
use super::error::{ClientError, FileProblem};
use crate::bulk::BULK_CONTENT_TYPE;
use crate::error::ApiError;

/// Most bytes of a JSON answer: a history page of 1,000 entries has about 400 KB.
pub const JSON_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Most bytes of a refusal.
const REFUSAL_BYTES_MAX: usize = 64 * 1_024;
/// Most bytes of a file of certificates.
const CA_FILE_BYTES_MAX: u64 = 1_024 * 1_024;
/// Most certificates of such a file.
const CA_CERTIFICATES_MAX: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The HTTP client of one node.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

/// A request body.
pub(super) enum Body {
    Json(Vec<u8>),
    Binary(Vec<u8>),
}

impl Transport {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        let base = base_url(&config.base_url)?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .timeout(config.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("jiaozi/", env!("CARGO_PKG_VERSION")))
            .tls_version_min(tls::Version::TLS_1_3);
        // With an authority of its own a client trusts nobody else; plain http needs no authorities at all.
        if let Some(path) = &config.ca_file {
            builder = builder.tls_certs_only(authorities(path)?);
        } else if base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let authorization = match &config.token {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::from_str(&token.header())
                    .map_err(|error| ClientError::Setup(Box::new(error)))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let http = builder.build().map_err(|error| ClientError::Setup(Box::new(error)))?;
        Ok(Self { http, base, authorization, timeout: config.timeout })
    }

    /// Bound of one exchange.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Gets JSON.
    pub(super) async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let url = self.url(path, query);
        let answer = self.exchange(self.request(Method::GET, &url), &url, JSON_BYTES_MAX).await?;
        parse(&url, &answer)
    }

    /// Gets JSON from a path that answers the same type, or a refusal, with status 503.
    pub(super) async fn get_json_or_unready<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, ClientError> {
        let url = self.url(path, &[]);
        let response = self.send(self.request(Method::GET, &url), &url).await?;
        let answer = self.read(response, &url, JSON_BYTES_MAX).await?;
        match serde_json::from_slice::<ApiError>(&answer) {
            Ok(refusal) => Err(ClientError::Refused(refusal)),
            Err(_) => parse(&url, &answer),
        }
    }

    /// Gets bytes.
    pub(super) async fn get_bytes(
        &self,
        path: &str,
        query: &[(&str, String)],
        bytes_max: usize,
    ) -> Result<(String, Vec<u8>), ClientError> {
        let url = self.url(path, query);
        let request = self.request(Method::GET, &url).header(ACCEPT, BULK_CONTENT_TYPE);
        let answer = self.exchange(request, &url, bytes_max).await?;
        Ok((url.into(), answer))
    }

    /// Posts a body; JSON is answered by JSON, binary by binary.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Body,
        bytes_max: usize,
    ) -> Result<(String, Vec<u8>), ClientError> {
        let url = self.url(path, &[]);
        let (content_type, body) = match body {
            Body::Json(body) => ("application/json", body),
            Body::Binary(body) => (BULK_CONTENT_TYPE, body),
        };
        let request = self.request(Method::POST, &url).header(CONTENT_TYPE, content_type);
        let answer = self.exchange(request.header(ACCEPT, content_type).body(body), &url, bytes_max).await?;
        Ok((url.into(), answer))
    }

    fn url(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let request = self.http.request(method, url.clone());
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        url: &Url,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let response = self.send(request, url).await?;
        let status = response.status();
        if status.is_success() {
            return self.read(response, url, bytes_max).await;
        }
        let refusal = self.read(response, url, REFUSAL_BYTES_MAX).await?;
        let status = ClientError::Status { url: url.to_string(), status: status.as_u16() };
        Err(serde_json::from_slice::<ApiError>(&refusal).map_or(status, ClientError::Refused))
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response, ClientError> {
        request.send().await.map_err(|error| self.failed(error, url))
    }

    async fn read(
        &self,
        mut response: Response,
        url: &Url,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error, url))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(ClientError::AnswerTooLarge { url: url.to_string(), bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn failed(&self, error: reqwest::Error, url: &Url) -> ClientError {
        let url = url.to_string();
        if error.is_timeout() {
            let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
            return ClientError::Timeout { url, timeout_ms };
        }
        ClientError::Unreachable { url, source: Box::new(error.without_url()) }
    }
}

/// The JSON of a request.
pub(super) fn json_body<T: Serialize>(value: &T) -> Result<Body, ClientError> {
    serde_json::to_vec(value).map(Body::Json).map_err(|error| ClientError::Setup(Box::new(error)))
}

/// Reads an answer.
pub(super) fn parse<T: DeserializeOwned>(url: &impl ToString, answer: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(answer).map_err(|source| ClientError::Json { url: url.to_string(), source })
}

/// `https` anywhere, `http` on loopback only.
fn base_url(text: &str) -> Result<Url, ClientError> {
    let invalid = || ClientError::Url { url: text.to_owned() };
    let url = Url::parse(text).map_err(|_| invalid())?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let host = url.host_str().ok_or_else(invalid)?;
    match url.scheme() {
        _ if !is_plain => Err(invalid()),
        "https" => Ok(url),
        "http" if is_loopback(host) => Ok(url),
        "http" => Err(ClientError::PlainHttp { url: text.to_owned() }),
        _ => Err(invalid()),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let wrong = |problem| ClientError::File { path: path.to_owned(), problem };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(|error| wrong(FileProblem::Io(error)))?;
    file.take(CA_FILE_BYTES_MAX).read_to_end(&mut pem).map_err(|error| wrong(FileProblem::Io(error)))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| wrong(FileProblem::Certificate))?;
    let is_sound = (1..=CA_CERTIFICATES_MAX).contains(&certificates.len());
    if is_sound { Ok(certificates) } else { Err(wrong(FileProblem::Certificate)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in
            ["http://127.0.0.1:1", "http://[::1]:1/", "http://localhost:1", "https://bank.example/node"]
        {
            assert!(base_url(good).is_ok(), "{good}");
        }
        for clear in ["http://10.0.0.1", "http://bank.example", "http://127.0.0.1.example"] {
            assert!(matches!(base_url(clear), Err(ClientError::PlainHttp { .. })), "{clear}");
        }
        for bad in
            ["", "bank.example:1", "ftp://127.0.0.1", "http://user:secret@127.0.0.1", "http://127.0.0.1/?a=b"]
        {
            assert!(matches!(base_url(bad), Err(ClientError::Url { .. })), "{bad}");
        }
    }

    #[test]
    fn urls_keep_a_prefix_and_escape_queries() {
        let mut config = ClientConfig::new("http://127.0.0.1:9/node/");
        config.timeout = Duration::from_secs(1);
        let transport = Transport::new(&config).unwrap();
        let url = transport.url("/v1/chains", &[("a", "x y&z".to_owned())]);
        assert_eq!(url.as_str(), "http://127.0.0.1:9/node/v1/chains?a=x+y%26z");
    }
}
