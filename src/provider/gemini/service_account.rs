//! Tokens of a service account by its key file (RFC 7523), fetched the same way out as everything else.
//!
//! Nothing here prints a token or a key, and no error quotes what was read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::Duration;

use ::time::OffsetDateTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use gcp_auth::CustomServiceAccount;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::tokens::{Bearer, SCOPE};
use crate::live::failure::Failure;
use crate::net::egress::Egress;
use crate::secret::Secret;

/// What is asked for; Google gives no longer ones.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A token is not used so shortly before its end.
const RESERVE: Duration = Duration::from_secs(60);

/// The account, with the last token it got.
pub(super) struct ServiceAccount {
    email: String,
    token_uri: Url,
    /// Signs with the key of the file.
    account: CustomServiceAccount,
    web: reqwest::Client,
    token: Option<(Bearer, Instant)>,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    expires_in: u64,
}

impl ServiceAccount {
    /// The account of a key file with this text.
    pub(super) fn from_json(text: &str, egress: &Egress) -> Result<Self, String> {
        let place = |error: serde_json::Error| {
            format!("not the key file of a service account, line {} column {}", error.line(), error.column())
        };
        let KeyFile { client_email, token_uri } = serde_json::from_str(text).map_err(place)?;
        let token_uri = Url::parse(&token_uri).map_err(|_| "its token_uri is not a URL".to_owned())?;
        let account = CustomServiceAccount::from_json(text);
        let account = account.map_err(|_| "its private key cannot be read".to_owned())?;
        let port = token_uri.port_or_known_default().unwrap_or(443);
        let web = egress.web(&Arc::new(AtomicU16::new(port))).build();
        let web = web.map_err(|error| error.without_url().to_string())?;
        Ok(Self { email: client_email, token_uri, account, web, token: None })
    }

    /// A token that is good by its date.
    pub(super) async fn token(&mut self) -> Result<Bearer, Failure> {
        if let Some((token, until)) = &self.token
            && Instant::now() < *until
        {
            return Ok(Arc::clone(token));
        }
        let Answer { access_token, expires_in } = self.fetch().await?;
        let token = Arc::new(access_token);
        let lifetime = Duration::from_secs(expires_in).min(LIFETIME).saturating_sub(RESERVE);
        self.token = Some((Arc::clone(&token), Instant::now() + lifetime));
        Ok(token)
    }

    async fn fetch(&self) -> Result<Answer, Failure> {
        let assertion = self.assertion()?;
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
        let unreachable = |error: reqwest::Error| {
            let error = error.without_url();
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            Failure::Unreachable { message: format!("token server{causes}") }
        };
        let answer = self.web.post(self.token_uri.clone()).form(&form).send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(Failure::Unreachable { message: format!("token server: HTTP {}", status.as_u16()) });
        }
        if !status.is_success() {
            return Err(unauthorised(&format!("token request failed with HTTP {}", status.as_u16())));
        }
        let body = answer.bytes().await.map_err(unreachable)?;
        serde_json::from_slice(&body).map_err(|_| unauthorised("failed to deserialize token from response"))
    }

    /// Who asks for what, signed (RFC 7523 section 3).
    fn assertion(&self) -> Result<String, Failure> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let claims = json!({
            "iss": self.email,
            "aud": self.token_uri.as_str(),
            "scope": SCOPE,
            "iat": now,
            "exp": now + LIFETIME.as_secs() as i64,
        });
        let header = URL_SAFE.encode(json!({ "alg": "RS256", "typ": "JWT" }).to_string());
        let signed = format!("{header}.{}", URL_SAFE.encode(claims.to_string()));
        let signature = self.account.signer().sign(signed.as_bytes());
        let signature = signature.map_err(|_| unauthorised("the private key cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE.encode(signature)))
    }
}

fn unauthorised(message: &str) -> Failure {
    Failure::Unauthorised { message: format!("token server: {message}") }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").finish_non_exhaustive()
    }
}
