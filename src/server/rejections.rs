//! Requests that were refused: each is counted, and told with its reason.
//!
//! The first of a kind is a log line at once. What follows within a second is counted and told at the end of that second,
//! with the last of them: a flood is a line a second for each kind, and no refusal stays untold for longer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Between two lines of one kind.
const PERIOD: Duration = Duration::from_secs(1);

/// A longer path or header is cut in log lines.
const SHOWN_CHARS_MAX: usize = 200;

/// What clients that are not who connects say they are, by who forwards them; none of it is believed.
const FORWARDED_FOR: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"];

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) reason: Reason,
    pub(super) status: StatusCode,
    request: Option<Request>,
    peer: SocketAddr,
}

/// Why. Travels with an answer, as an extension, from where it is made to where it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The kind: lines of one kind share a rate.
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// What is said of a request: no query and no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    method: Method,
    uri: Uri,
    forwarded_for: Option<HeaderValue>,
}

/// The refusals of a server, by their kind.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
    /// There is something to tell at the end of a second.
    noted: Notify,
}

#[derive(Debug)]
struct Kind {
    told: Instant,
    /// Since the server began.
    total: u64,
    /// Since the last line.
    untold: u64,
    last: Rejected,
}

impl Request {
    pub(super) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let forwarded_for = FORWARDED_FOR.iter().find_map(|name| headers.get(*name)).cloned();
        Self { method: method.clone(), uri: uri.clone(), forwarded_for }
    }

    /// The reason of a refusal by a library, which says it only in the answer. A probe that finds the server not ready is
    /// answered, not refused.
    pub(super) fn unexplained(&self, status: StatusCode) -> Option<Reason> {
        let is_probe = matches!(self.uri.path(), "/healthz" | "/readyz");
        let message = status.canonical_reason().unwrap_or("refused").to_lowercase();
        (!is_probe).then_some(Reason { code: "other", message })
    }
}

impl Rejected {
    pub(super) fn new(reason: Reason, status: StatusCode, request: Request, peer: SocketAddr) -> Self {
        Self { reason, status, request: Some(request), peer }
    }

    /// Of bytes that are no request.
    pub(super) fn unread(
        code: &'static str,
        status: StatusCode,
        error: &impl ToString,
        peer: SocketAddr,
    ) -> Self {
        Self { reason: Reason { code, message: error.to_string() }, status, request: None, peer }
    }

    fn tell(&self, requests: u64, total: u64) {
        let Self { reason, status, request, peer } = self;
        let status = status.as_u16();
        let path = request.as_ref().map(|request| shown_path(request.uri.path()));
        let method = request.as_ref().map(|request| request.method.as_str());
        let forwarded_for = request.as_ref().and_then(|request| request.forwarded_for.as_ref());
        let forwarded_for = forwarded_for.map(|value| shown(&String::from_utf8_lossy(value.as_bytes())));
        tracing::warn!(
            reason = reason.code,
            status,
            method,
            path,
            %peer,
            forwarded_for,
            requests,
            total,
            "request refused: {}",
            reason.message
        );
    }
}

impl Rejections {
    /// Counts a refused request, and tells it now or within a second.
    pub(super) fn note(&self, rejected: Rejected) {
        let now = Instant::now();
        let mut kinds = self.kinds();
        let Some(kind) = kinds.get_mut(rejected.reason.code) else {
            rejected.tell(1, 1);
            kinds.insert(rejected.reason.code, Kind { told: now, total: 1, untold: 0, last: rejected });
            return;
        };
        kind.total += 1;
        kind.untold += 1;
        kind.last = rejected;
        if now >= kind.told + PERIOD {
            kind.tell(now);
        } else if kind.untold == 1 {
            self.noted.notify_one();
        }
    }

    /// Tells at the end of each second what came in it, for ever.
    pub(super) async fn keep_telling(&self) {
        loop {
            let due =
                self.kinds().values().filter(|kind| kind.untold > 0).map(|kind| kind.told + PERIOD).min();
            match due {
                // A kind that is noted meanwhile is not due before.
                Some(due) => sleep_until(due).await,
                None => self.noted.notified().await,
            }
            let now = Instant::now();
            self.kinds()
                .values_mut()
                .filter(|kind| now >= kind.told + PERIOD)
                .for_each(|kind| kind.tell(now));
        }
    }

    /// Tells what is not told yet: the server ends.
    pub(super) fn tell_all(&self) {
        let now = Instant::now();
        self.kinds().values_mut().for_each(|kind| kind.tell(now));
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<&'static str, Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn tell(&mut self, now: Instant) {
        if self.untold > 0 {
            self.told = now;
            self.last.tell(std::mem::take(&mut self.untold), self.total);
        }
    }
}

/// A path as it may be logged: segments that can be tokens of streams are not shown.
fn shown_path(path: &str) -> String {
    /// Of a token.
    const DIGITS: usize = 32;
    let is_token =
        |segment: &str| segment.len() == DIGITS && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut is_behind_media = false;
    let segments = path.split('/').map(|segment| {
        let is_hidden = !segment.is_empty() && (is_behind_media || is_token(segment));
        is_behind_media = segment.eq_ignore_ascii_case("media") || is_behind_media;
        if is_hidden { "…" } else { segment }
    });
    shown(&segments.collect::<Vec<_>>().join("/"))
}

/// A URL as it may be shown: tokens and the values of its query are left out.
pub(super) fn shown_url(url: &str) -> String {
    let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
    let path = url.find("://").and_then(|scheme| url[scheme + 3..].find('/').map(|path| scheme + 3 + path));
    let (origin, path) = url.split_at(path.unwrap_or(url.len()));
    let query = query.map(|query| {
        let names = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=…"),
            None => "…".to_owned(),
        });
        shown(&format!("?{}", names.collect::<Vec<_>>().join("&")))
    });
    format!("{origin}{}{}", shown_path(path), query.unwrap_or_default())
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;
    use tokio::time::advance;

    use super::*;

    fn rejected(code: &'static str) -> Rejected {
        let peer = "10.0.0.1:9".parse().unwrap();
        Rejected::unread(code, StatusCode::BAD_REQUEST, &"no", peer)
    }

    fn untold(rejections: &Rejections, code: &str) -> (u64, u64) {
        let kinds = rejections.kinds();
        (kinds[code].untold, kinds[code].total)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_kind_is_told_at_once_and_the_rest_within_a_second() {
        let rejections = Arc::new(Rejections::default());
        let telling = Arc::clone(&rejections);
        let teller = tokio::spawn(async move { telling.keep_telling().await });
        rejections.note(rejected("a"));
        assert_eq!(untold(&rejections, "a"), (0, 1));
        for _ in 0..1000 {
            rejections.note(rejected("a"));
        }
        rejections.note(rejected("b"));
        assert_eq!(untold(&rejections, "a"), (1000, 1001));
        assert_eq!(untold(&rejections, "b"), (0, 1), "another kind is not held back");
        tokio::task::yield_now().await;
        advance(PERIOD - Duration::from_millis(1)).await;
        tokio::task::yield_now().await;
        assert_eq!(untold(&rejections, "a"), (1000, 1001));
        advance(Duration::from_millis(2)).await;
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(untold(&rejections, "a"), (0, 1001), "told though nothing more comes");
        rejections.note(rejected("a"));
        assert_eq!(untold(&rejections, "a"), (1, 1002));
        rejections.tell_all();
        assert_eq!(untold(&rejections, "a"), (0, 1002));
        teller.abort();
    }

    #[rstest]
    #[case("/", "/")]
    #[case("/wp-login.php", "/wp-login.php")]
    #[case("/twilio/media/0123456789abcdef0123456789abcdef", "/twilio/media/…")]
    #[case("/twilio/media/0123456789abcdef/x/", "/twilio/media/…/…/")]
    #[case("/calls/twilio/MEDIA/zzz", "/calls/twilio/MEDIA/…")]
    #[case("/x/0123456789ABCDEF0123456789abcdef", "/x/…")]
    #[case(
        "/api/v1/calls/CA0123456789abcdef0123456789abcdef",
        "/api/v1/calls/CA0123456789abcdef0123456789abcdef"
    )]
    #[case("/a\u{1b}[2J", "/a\\u{1b}[2J")]
    fn a_path_is_shown_without_tokens(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(shown_path(path), expected);
    }

    #[rstest]
    #[case("https://voice.example.com/twilio/voice", "https://voice.example.com/twilio/voice")]
    #[case("https://a.example:8443/twilio/voice?", "https://a.example:8443/twilio/voice?…")]
    #[case("https://a.example/twilio/voice?key=s3cret&x", "https://a.example/twilio/voice?key=…&…")]
    #[case("wss://a.example/twilio/media/0123456789abcdef0123456789abcdef", "wss://a.example/twilio/media/…")]
    #[case("https://a.example", "https://a.example")]
    fn a_url_is_shown_without_tokens_and_values(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(shown_url(url), expected);
    }

    #[test]
    fn a_long_path_is_cut() {
        assert_eq!(shown_path(&"/é".repeat(500)).chars().count(), SHOWN_CHARS_MAX + 1);
    }

    #[test]
    fn who_forwards_is_said_as_it_came_and_of_several_headers_the_usual_one() {
        let mut headers = HeaderMap::new();
        headers.insert("x-real-ip", HeaderValue::from_static("10.0.0.2"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1, 10.0.0.3"));
        let request = Request::of(&Method::GET, &Uri::from_static("/x?token=s"), &headers);
        assert_eq!(request.forwarded_for.unwrap(), "10.0.0.1, 10.0.0.3");
    }
}
