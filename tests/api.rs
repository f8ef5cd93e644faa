//! The HTTP API of the call log: real sockets, a real log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod log;
mod postgres;

use std::path::Path;
use std::sync::Arc;

use log::{Call, Kind, Log};
use patchcord::bridge::{Bridge, Offer};
use patchcord::net::dial;
use patchcord::provider::gemini;
use patchcord::secret::Secret;
use patchcord::server::{self, Api, Config, Listeners, State};
use patchcord::store::Handle;
use patchcord::store::query::{Filter, Query, Source};
use reqwest::{Method, Response, StatusCode};
use rstest::rstest;
use serde_json::Value;
use tokio::net::TcpListener;

struct Server {
    /// At the listener of the API.
    url: String,
    /// At that of the carrier.
    carrier: String,
    client: reqwest::Client,
}

impl Server {
    async fn start(source: impl Into<Source>, token: Option<&str>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = gemini::Config { endpoint: "ws://127.0.0.1:9".to_owned(), ..gemini::Config::default() };
        let dialer = gemini::Dialer::new(&config, &Secret::new("key"), dial::tls([])).unwrap();
        let bridge = Arc::new(Bridge::new(Handle::pair(8).0, Offer::live(dialer)));
        let api = Api::new(Query::lazy(source).unwrap(), token.map(Secret::new));
        let state = State::new(&Config::default(), Vec::new(), Vec::new(), bridge).unwrap().with_api(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1", admin.local_addr().unwrap());
        let carrier = format!("http://{}/api/v1", listener.local_addr().unwrap());
        let listeners = Listeners { carrier: listener, admin: Some(admin) };
        tokio::spawn(server::serve(listeners, Arc::new(state), std::future::pending()));
        Self { url, carrier, client: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn get_with(&self, name: &'static str, value: &str) -> Response {
        self.client.get(format!("{}/calls", self.url)).header(name, value).send().await.unwrap()
    }
}

async fn json(response: Response) -> Value {
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let expected =
        if response.status().is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, expected);
    assert_eq!(response.headers()["cache-control"], "no-store");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn calls_are_listed_page_by_page_and_shown(#[case] kind: Kind) {
    let calls: Vec<_> = (1..=5).map(|number| Call::new(number, number)).collect();
    let log = Log::with(kind, &calls).await;
    let server = Server::start(log.source(), None).await;
    let (mut path, mut found) = ("/calls?limit=2&agent=reception&search=good+morn*".to_owned(), Vec::new());
    loop {
        let response = server.get(&path).await;
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let page = json(response).await;
        let ids = page["calls"].as_array().unwrap().iter();
        found.extend(ids.map(|call| call["call_id"].as_str().unwrap().to_owned()));
        let Some(link) = link else {
            assert!(page["next"].is_null());
            break;
        };
        let next =
            link.strip_prefix("</api/v1").and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
        assert!(next.contains(page["next"].as_str().unwrap()), "{link}");
        path = next.to_owned();
    }
    assert_eq!(found, calls.iter().rev().map(Call::id).collect::<Vec<_>>());

    let query = log.query().await;
    let detail = serde_json::to_value(query.call(&calls[0].sid()).await.unwrap()).unwrap();
    assert_eq!(json(server.get(&format!("/calls/{}", calls[0].sid())).await).await, detail);
    assert_eq!(json(server.get(&format!("/calls/{}", calls[0].id())).await).await, detail);
    assert_eq!(json(server.get("/stats?since=2026-11-01").await).await["total"]["calls"], 5);
}

#[rstest]
#[case("/calls?colour=red", 400, "colour")]
#[case("/calls?limit=5&limit=5", 400, "limit")]
#[case("/calls?cursor=x", 400, "cursor")]
#[case("/calls?search=...", 400, "search")]
#[case("/stats?number=1", 400, "number")]
#[case("/stats?since=never", 400, "since")]
#[case("/calls/CA1?x=1", 400, "x")]
#[case("/calls/%FF", 400, "id")]
#[case("/calls/CA1%00'--", 404, "id")]
#[tokio::test]
async fn what_is_wrong_is_named(#[case] path: &str, #[case] status: u16, #[case] parameter: &str) {
    let log = Log::new(Kind::Sqlite).await;
    let response = Server::start(log.source(), None).await.get(path).await;
    assert_eq!(response.status(), status);
    let problem = json(response).await;
    assert_eq!((&problem["status"], &problem["parameter"]), (&status.into(), &parameter.into()), "{problem}");
}

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_done_are_problems_too() {
    let log = Log::new(Kind::Sqlite).await;
    let server = Server::start(log.source(), None).await;
    let response = server.get("/nothing").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    json(response).await;
    let post = server.client.request(Method::POST, format!("{}/calls", server.url)).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()["allow"], "GET,HEAD");
    json(post).await;
}

#[tokio::test]
async fn with_a_token_nobody_else_is_answered() {
    let log = Log::new(Kind::Sqlite).await;
    let server = Server::start(log.source(), Some("s3cret")).await;
    for response in
        [server.get("/calls").await, server.get("/openapi.json").await, server.get("/nothing").await]
    {
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        json(response).await;
    }
    assert_eq!(server.get_with("authorization", "Bearer s3cre7").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.get_with("authorization", "Bearer s3cret").await.status(), StatusCode::OK);
}

#[rstest]
#[case("x-forwarded-for", "10.0.0.1")]
#[case("forwarded", "for=10.0.0.1")]
#[case("host", "calls.example.com")]
#[tokio::test]
async fn without_a_token_nobody_is_answered_from_elsewhere(#[case] name: &'static str, #[case] value: &str) {
    let log = Log::new(Kind::Sqlite).await;
    let server = Server::start(log.source(), None).await;
    assert_eq!(server.get("/calls").await.status(), StatusCode::OK);
    let response = server.get_with(name, value).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    json(response).await;
}

#[tokio::test]
async fn where_the_carrier_comes_in_there_is_an_api_only_with_a_token() {
    let log = Log::new(Kind::Sqlite).await;
    let routes = ["/calls", "/calls/CA1", "/stats", "/openapi.json", "/nothing", ""];
    let server = Server::start(log.source(), None).await;
    for route in routes {
        for host in ["127.0.0.1:8080", "localhost", "[::1]", "voice.example.com"] {
            let request = server.client.get(format!("{}{route}", server.carrier)).header("host", host);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{route} {host}");
            assert!(!response.text().await.unwrap().contains("call_id"));
        }
    }
    let server = Server::start(log.source(), Some("s3cret")).await;
    let ask = |token: &'static str| {
        server.client.get(format!("{}/calls", server.carrier)).header("authorization", token).send()
    };
    assert_eq!(ask("Bearer s3cret").await.unwrap().status(), StatusCode::OK);
    assert_eq!(ask("Bearer s3cre7").await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[rstest]
#[case("pause")]
#[case("resume")]
#[tokio::test]
async fn a_page_of_another_site_cannot_pause_a_recording(#[case] verb: &str) {
    let log = Log::new(Kind::Sqlite).await;
    let server = Server::start(log.source(), None).await;
    let post = |name: &'static str, value: &'static str| {
        server.client.post(format!("{}/calls/CA1/recording/{verb}", server.url)).header(name, value).send()
    };
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let response = post(name, value).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        json(response).await;
    }
    assert_eq!(
        post("sec-fetch-site", "same-origin").await.unwrap().status(),
        StatusCode::NOT_FOUND,
        "no such call"
    );
}

#[tokio::test]
async fn a_log_that_is_away_is_unavailable_and_not_described() {
    let server = Server::start(Path::new("/nonexistent/secret-folder/calls.db"), None).await;
    let response = server.get("/calls").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    let problem = json(response).await.to_string();
    assert!(!problem.contains("secret-folder"), "{problem}");
}

#[tokio::test]
async fn the_document_has_every_filter() {
    let log = Log::new(Kind::Sqlite).await;
    let document = json(Server::start(log.source(), None).await.get("/openapi.json").await).await;
    let parameters = document["paths"]["/api/v1/calls"]["get"]["parameters"].as_array().unwrap();
    let names: Vec<_> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    assert_eq!(names, [&Filter::NAMES[..], &["limit", "cursor"]].concat());
    assert_eq!(document["paths"].as_object().unwrap().len(), 6);
}
