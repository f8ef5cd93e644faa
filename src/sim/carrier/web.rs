//! The carrier's HTTP and TLS client: signed form requests (Twilio, "TwiML voice requests").

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls_pki_types::CertificateDer;

use super::signature::{self, Signing};
use super::twiml::{Method, Target};
use crate::secret::Secret;

/// Twilio's limit for a whole webhook request.
const TOTAL_MAX: Duration = Duration::from_secs(15);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An answer longer than this is no TwiML.
const BODY_MAX: usize = 64 << 10;

/// Fields of a form, in order.
pub(super) type Form = Vec<(String, String)>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("`{0}` is no http or https URL")]
    Url(String),
    #[error("the request to {url} failed: {}", root(source))]
    Request { url: String, source: reqwest::Error },
    #[error("the answer of {0} is longer than 64 KiB")]
    TooLong(String),
    #[error("cannot set up the HTTP client: {0}")]
    Client(reqwest::Error),
}

/// What it was in the end: the outer errors only say that something was.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

/// Trusts the public roots, and `ca` where it is given.
pub(super) fn trust(ca: Option<&CertificateDer<'static>>) -> Result<Arc<rustls::ClientConfig>, Error> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(ca) = ca {
        roots.add(ca.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: String,
}

#[derive(Clone, Debug)]
pub(super) struct Web {
    client: reqwest::Client,
    token: Secret,
    signing: Signing,
}

impl Web {
    pub(super) fn new(tls: &rustls::ClientConfig, token: Secret, signing: Signing) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("TwilioProxy/1.1")
            .connect_timeout(CONNECT_MAX)
            .timeout(TOTAL_MAX)
            .build()
            .map_err(Error::Client)?;
        Ok(Self { client, token, signing })
    }

    /// Sends a signed form. A connection that cannot be made is tried once more, as the carrier does by default.
    pub(super) async fn request(&self, target: &Target, form: &Form) -> Result<Answer, Error> {
        let request = self.build(target, form)?;
        let failed = |source| Error::Request { url: target.url.clone(), source };
        let again = request.try_clone();
        let answer = match (self.client.execute(request).await, again) {
            (Err(error), Some(again)) if error.is_connect() => self.client.execute(again).await,
            (answer, _) => answer,
        };
        let mut response = answer.map_err(failed)?;
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                return Err(Error::TooLong(target.url.clone()));
            }
        }
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: content_type.unwrap_or_default(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn build(&self, target: &Target, form: &Form) -> Result<reqwest::Request, Error> {
        let mut url = Url::parse(&target.url).map_err(|_| Error::Url(target.url.clone()))?;
        url.set_fragment(None);
        let (request, signed) = match target.method {
            Method::Post => (self.client.post(url.clone()).form(form), form.as_slice()),
            Method::Get => {
                url.query_pairs_mut().extend_pairs(form);
                (self.client.get(url.clone()), [].as_slice())
            }
        };
        let signature = signature::header(self.signing, &self.token, url.as_str(), signed);
        let request = match signature {
            Some(signature) => request.header(signature::HEADER, signature),
            None => request,
        };
        let token = uuid::Uuid::new_v4().to_string();
        let failed = |source| Error::Request { url: target.url.clone(), source };
        request.header("I-Twilio-Idempotency-Token", token).build().map_err(failed)
    }
}
