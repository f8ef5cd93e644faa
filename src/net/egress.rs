//! The way out of this machine: who is trusted, which proxies are used, and how names are resolved. One for all that
//! connects to a service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, Proxy as WebProxy, Url};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use super::names::Names;
use super::proxy::Proxies;
use super::{race, trust};

/// How long an HTTP client waits for a name; its own deadline for connecting is two seconds.
const NAME_DEADLINE: Duration = Duration::from_millis(1500);

/// See the module. Cheap to share.
#[derive(Debug)]
pub struct Egress {
    tls: Arc<ClientConfig>,
    proxies: Arc<Proxies>,
    names: Arc<Names>,
}

impl Egress {
    /// Trust in the built-in authorities and in `extra` certificates.
    pub fn new(extra: Vec<CertificateDer<'static>>, proxies: Proxies) -> Arc<Self> {
        let (tls, proxies) = (Arc::new(trust::config(extra)), Arc::new(proxies));
        Arc::new(Self { tls, proxies, names: Arc::clone(Names::shared()) })
    }

    pub const fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    pub const fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// An HTTP client that goes this way. `port` is the one that its requests go to, known before the first of them.
    pub fn web(&self, port: &Arc<AtomicU16>) -> ClientBuilder {
        let proxies = Arc::clone(&self.proxies);
        let proxy = WebProxy::custom(move |url| proxies.of_url(url)?.url().expose().parse::<Url>().ok());
        let resolver = Resolver {
            names: Arc::clone(&self.names),
            proxies: Arc::clone(&self.proxies),
            port: Arc::clone(port),
        };
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            // A redirect would carry the key to another host.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(resolver));
        if self.proxies.is_empty() { builder } else { builder.proxy(proxy) }
    }
}

/// Names for an HTTP client, which tries the addresses it is given one after the other: it is given the one that won a
/// race just now, or has worked lately.
struct Resolver {
    names: Arc<Names>,
    proxies: Arc<Proxies>,
    port: Arc<AtomicU16>,
}

impl Resolver {
    fn port_of(&self, name: &str) -> u16 {
        let proxy = self.proxies.iter().find(|proxy| proxy.host.eq_ignore_ascii_case(name));
        proxy.map_or_else(|| self.port.load(Ordering::Relaxed), |proxy| proxy.port)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, port) = (Arc::clone(&self.names), self.port_of(name.as_str()));
        Box::pin(async move {
            let address = match names.good(name.as_str()) {
                Some(address) => address,
                None => race::connect(&names, name.as_str(), port, NAME_DEADLINE).await?.peer_addr()?.ip(),
            };
            let addresses: Addrs = Box::new(std::iter::once(SocketAddr::new(address, port)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::names::Family;

    #[tokio::test]
    async fn an_http_client_reaches_a_name_whose_first_address_refuses() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let mut request = [0; 1024];
                if tcp.read(&mut request).await.is_ok_and(|read| read > 0) {
                    tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                }
            }
        });
        let names = Names::new(|_, family| match family {
            Family::V4 => Ok(vec![IpAddr::from([127, 0, 0, 3]), IpAddr::from([127, 0, 0, 2])]),
            Family::V6 => Ok(Vec::new()),
        });
        let (tls, proxies) = (Arc::new(trust::config(Vec::new())), Arc::default());
        let egress = Egress { tls, proxies, names };
        let client = egress.web(&Arc::new(AtomicU16::new(port))).build().unwrap();
        for _ in 0..2 {
            let answer = client.get(format!("http://two.test:{port}/")).send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), "ok");
        }
    }
}
