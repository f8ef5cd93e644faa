//! OAuth tokens of a service account: fetched when the first is needed, kept until they expire.
//!
//! Nothing here prints a token or a key; errors say what went wrong and never quote what was read.

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use gcp_auth::{MetadataServiceAccount, TokenProvider as _};
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::service_account::ServiceAccount;
use crate::live::failure::Failure;
use crate::machine::file;
use crate::net::egress::Egress;
use crate::secret::Secret;

/// The only scope that Vertex AI has (Vertex AI, "Authenticate"; OAuth 2.0 scopes for Google APIs).
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// An access token.
pub(super) type Bearer = Arc<Secret>;

/// Who the tokens are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The service account of this key file.
    File(PathBuf),
    /// The service account of the machine, from the metadata server of Google Cloud.
    Machine,
}

/// The tokens of one endpoint. While one is fetched, everybody waits for that one.
pub(super) struct Tokens {
    source: Source,
    account: Mutex<Option<Account>>,
}

/// A service account, with the last token it got.
enum Account {
    OfFile(Box<ServiceAccount>),
    /// Its metadata server is on this machine's own network: no proxy leads there.
    OfMachine(Box<MetadataServiceAccount>),
}

impl Account {
    async fn token(&mut self) -> Result<Bearer, Failure> {
        match self {
            Self::OfFile(account) => account.token().await,
            Self::OfMachine(account) => {
                let token = account.token(&[SCOPE]).await.map_err(|error| refused(&error))?;
                Ok(Arc::new(Secret::new(token.as_str())))
            }
        }
    }
}

impl Tokens {
    pub(super) fn new(source: Source) -> Self {
        Self { source, account: Mutex::new(None) }
    }

    /// A token that is good by its date.
    pub(super) async fn current(&self, egress: &Egress) -> Result<Bearer, Failure> {
        self.fetch(&mut *self.account.lock().await, egress).await
    }

    /// Another token than this one, which was refused: fetched anew, unless somebody else has done so meanwhile.
    /// The key file is read again: keys are rotated.
    pub(super) async fn instead_of(&self, refused: &Bearer, egress: &Egress) -> Result<Bearer, Failure> {
        let mut account = self.account.lock().await;
        let token = self.fetch(&mut account, egress).await?;
        if token != *refused {
            return Ok(token);
        }
        *account = None;
        self.fetch(&mut account, egress).await
    }

    async fn fetch(&self, account: &mut Option<Account>, egress: &Egress) -> Result<Bearer, Failure> {
        let account = match account {
            Some(account) => account,
            None => account.insert(self.open(egress).await?),
        };
        account.token().await
    }

    async fn open(&self, egress: &Egress) -> Result<Account, Failure> {
        match &self.source {
            Source::File(path) => {
                let fault = |message: String| Failure::Unauthorised {
                    message: format!("key file {}: {message}", path.display()),
                };
                let named = path.clone();
                let text = tokio::task::spawn_blocking(move || file::read_text(&named)).await;
                let text = text.map_err(|error| fault(error.to_string()))?;
                let text = text.map_err(|error| fault(error.to_string()))?;
                let account = ServiceAccount::from_json(&text, egress).map_err(fault)?;
                Ok(Account::OfFile(Box::new(account)))
            }
            Source::Machine => {
                let account = MetadataServiceAccount::new().await.map_err(|error| {
                    let message = format!("no key file, and no metadata server: {}", told(&error));
                    Failure::Unauthorised { message }
                })?;
                Ok(Account::OfMachine(Box::new(account)))
            }
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The request with a token.
pub(super) fn authorised(request: &Request, token: &Secret) -> Result<Request, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
        Failure::Unauthorised { message: "the token holds characters that cannot be sent".to_owned() }
    })?;
    value.set_sensitive(true);
    let mut request = request.clone();
    request.headers_mut().insert("authorization", value);
    Ok(request)
}

/// Why an account got no token: nobody was reached, or somebody said no.
fn refused(error: &gcp_auth::Error) -> Failure {
    use gcp_auth::Error::{Http, Io, Json, NoAuthMethod, Other, Str};
    let message = format!("token server: {}", told(error));
    match error {
        Http(..) | Other(..) => Failure::Unreachable { message },
        Io(..) | Json(..) | NoAuthMethod(..) | Str(_) => Failure::Unauthorised { message },
    }
}

/// The error with its causes, but of JSON only the place: its errors quote what they read, and that is a secret.
fn told(error: &gcp_auth::Error) -> String {
    use gcp_auth::Error::{Http, Io, Json, NoAuthMethod, Other, Str};
    match error {
        Json(what, source) => format!("{what}, line {} column {}", source.line(), source.column()),
        Http(what, _) | Other(what, _) => {
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            causes.fold((*what).to_owned(), |told, cause| format!("{told}: {cause}"))
        }
        Io(..) | NoAuthMethod(..) | Str(_) => error.to_string(),
    }
}
