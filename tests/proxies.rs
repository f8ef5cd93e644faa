//! Real proxies before the server, configured as their own documentation says: a call goes through each, and the API without
//! a token through none.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use patchcord::bridge::Bridge;
use patchcord::provider::Providers;
use patchcord::secret::Secret;
use patchcord::server::{self, Api, Config, State};
use patchcord::sim::carrier;
use patchcord::sim::gemini::{Scenario, tone};
use patchcord::store::Handle;
use patchcord::store::query::Query;
use rstest::rstest;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use world::{AUTH_TOKEN, agent, caller, endpoint, model, offer, quick};

/// The proxy of a test: it runs in the foreground, all it writes goes into the folder.
struct Proxy {
    process: Child,
    folder: TempDir,
    url: String,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// <https://nginx.org/en/docs/http/websocket.html>, the simple example: `Host` is that of `proxy_pass`.
    Nginx,
    /// The same with the headers that most guides add.
    NginxWithHeaders,
    Haproxy,
    /// Sends `Host: localhost`, as a set-up for name-based servers does.
    HaproxyWithHost,
    Caddy,
}

impl Kind {
    /// The program with its arguments, and its configuration.
    fn command(self, port: u16, server: &str, folder: &str) -> (Vec<String>, String) {
        let args = |text: &str| text.split(' ').map(|arg| arg.replace("FOLDER", folder)).collect();
        match self {
            Self::Nginx | Self::NginxWithHeaders => {
                let headers = "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
                let headers = if matches!(self, Self::Nginx) { "" } else { headers };
                let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {folder}/{name};"))
                    .concat();
                let config = format!(
                    "pid {folder}/pid; error_log stderr; daemon off; master_process off; events {{}}\n\
                     http {{ access_log off; {paths}\n\
                     server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{server};\n\
                     proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
                     proxy_set_header Connection \"upgrade\"; {headers} }} }} }}\n"
                );
                (args("nginx -e stderr -p FOLDER -c FOLDER/config"), config)
            }
            Self::Haproxy | Self::HaproxyWithHost => {
                let host = if matches!(self, Self::Haproxy) {
                    ""
                } else {
                    "  http-request set-header Host localhost\n"
                };
                let config = format!(
                    "defaults\n  mode http\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n  timeout tunnel 1h\n\
                     frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n{host}  server s {server}\n"
                );
                (args("haproxy -db -f FOLDER/config"), config)
            }
            Self::Caddy => {
                let config = format!(
                    "{{\n admin off\n auto_https off\n}}\nhttp://127.0.0.1:{port}, http://localhost:{port} {{\n reverse_proxy {server}\n}}\n"
                );
                (args("caddy run --adapter caddyfile --config FOLDER/config"), config)
            }
        }
    }
}

impl Proxy {
    async fn start(kind: Kind, port: u16, server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let (args, config) = kind.command(port, server, path);
        fs::write(folder.path().join("config"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(&args[0]);
        command.args(&args[1..]).env("HOME", path).env("XDG_DATA_HOME", path).env("XDG_CONFIG_HOME", path);
        // Debian keeps daemons in a folder that not every user's path has.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        command.stdout(Stdio::null()).stderr(log);
        let process =
            command.spawn().unwrap_or_else(|error| panic!("{}: {error}; make deps-proxies", args[0]));
        let mut proxy = Self { process, folder, url: format!("http://127.0.0.1:{port}") };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let is_running = proxy.process.try_wait().unwrap().is_none();
            assert!(is_running && Instant::now() < end, "{}", proxy.log());
            // allowed: a process that starts says nothing when it listens
            sleep_until(Instant::now() + Duration::from_millis(20)).await;
        }
        proxy
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// A port that nothing listens on.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[rstest]
#[case::nginx(Kind::Nginx)]
#[case::nginx_with_headers(Kind::NginxWithHeaders)]
#[case::haproxy(Kind::Haproxy)]
#[case::haproxy_with_a_host(Kind::HaproxyWithHost)]
#[case::caddy(Kind::Caddy)]
#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_and_the_call_log_does_not(#[case] kind: Kind) {
    let live = model(quick(), Scenario::echoing("Tone.", tone(440.0, 0.5))).await;
    let none = Providers::new(&patchcord::provider::Config::default(), |_| None, &transport()).unwrap();
    let (store, mut log) = Handle::pair(4096);
    tokio::spawn(async move { while log.recv().await.is_some() {} });
    let bridge = Arc::new(Bridge::new(store, offer(&[endpoint(&live)], none)));
    let port = free_port().await;
    let config = Config { public_url: Some(format!("http://127.0.0.1:{port}")), ..Config::default() };
    let folder = tempfile::tempdir().unwrap();
    let api = Api::new(Query::lazy(folder.path().join("calls.db").as_path()).unwrap(), None);
    let tokens = vec![Secret::new(AUTH_TOKEN)];
    let state = State::new(&config, tokens, vec![Arc::new(agent())], bridge).unwrap().with_api(api);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(server::serve(listener, Arc::new(state), std::future::pending()));
    let proxy = Proxy::start(kind, port, &address).await;

    let client = reqwest::Client::new();
    for host in ["127.0.0.1", "localhost"] {
        for path in
            ["/api/v1/calls", "/api/v1/stats", "/api/v1/openapi.json", "/api/v1/calls/CA1/recording/pause"]
        {
            let request = client.get(format!("{}{path}", proxy.url)).header("host", format!("{host}:{port}"));
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 404, "{kind:?} {host} {path}");
        }
    }
    let health = client.get(format!("{}/healthz", proxy.url)).send().await.unwrap();
    assert_eq!(health.status(), 200, "{}", proxy.log());

    let webhook = format!("{}/twilio/voice", proxy.url);
    let call = carrier::Config::new(webhook, Secret::new(AUTH_TOKEN), caller(&[100], 1500));
    let report = carrier::place(call).await.unwrap();
    assert!(report.violations.is_empty(), "{:?} {}", report.violations, proxy.log());
    assert!(report.heard().len() >= 4000, "{} bytes heard; {}", report.heard().len(), proxy.log());
    live.shutdown().await;
}

fn transport() -> patchcord::provider::http::Transport {
    let _ = rustls::crypto::ring::default_provider().install_default();
    patchcord::provider::http::Transport {
        config: patchcord::provider::http::Config::default(),
        tls: patchcord::net::dial::tls([]),
    }
}
