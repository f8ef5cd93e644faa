//! Which proxy, and what it is told.

use std::collections::HashMap;

use rstest::rstest;

use super::*;

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    let variables: HashMap<_, _> =
        variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Proxies::from_env(&|name: &str| variables.get(name).cloned())
}

#[rstest]
#[case::upper_case(&[("HTTPS_PROXY", "http://p:1")], "wss://a.test", Some("http://p:1"))]
#[case::lower_case(&[("https_proxy", "http://p:1")], "wss://a.test", Some("http://p:1"))]
#[case::lower_case_wins(&[("https_proxy", "http://low:1"), ("HTTPS_PROXY", "http://up:1")], "wss://a.test", Some("http://low:1"))]
#[case::for_all(&[("ALL_PROXY", "http://p:1")], "wss://a.test", Some("http://p:1"))]
#[case::for_all_in_lower_case(&[("all_proxy", "p:1")], "https://a.test", Some("http://p:1"))]
#[case::for_plain_only(&[("HTTP_PROXY", "http://p:1")], "wss://a.test", None)]
#[case::plain(&[("HTTP_PROXY", "http://p:1")], "http://a.test", Some("http://p:1"))]
#[case::tls_is_not_for_plain(&[("HTTPS_PROXY", "http://p:1")], "http://a.test", None)]
#[case::its_default_port(&[("HTTPS_PROXY", "http://p")], "wss://a.test", Some("http://p:80"))]
#[case::over_tls(&[("HTTPS_PROXY", "https://p")], "wss://a.test", Some("https://p:443"))]
#[case::an_address(&[("HTTPS_PROXY", "[fd00::1]:3128")], "wss://a.test", Some("http://[fd00::1]:3128"))]
#[case::one_that_cannot_be_used(&[("HTTPS_PROXY", "socks5://p:1"), ("ALL_PROXY", "q:1")], "wss://a.test", Some("http://q:1"))]
#[case::set_to_nothing(&[("HTTPS_PROXY", " "), ("ALL_PROXY", "p:1")], "wss://a.test", Some("http://p:1"))]
#[case::this_machine(&[("ALL_PROXY", "p:1")], "wss://localhost:8444", None)]
#[case::this_machine_by_address(&[("ALL_PROXY", "p:1")], "ws://127.0.0.9:1", None)]
#[case::this_machine_by_ipv6(&[("ALL_PROXY", "p:1")], "wss://[::1]:1", None)]
fn the_environment_names_the_proxy(
    #[case] variables: &[(&str, &str)],
    #[case] url: &str,
    #[case] expected: Option<&str>,
) {
    let proxy = proxies(variables).of_url(&url.parse().unwrap()).map(ToString::to_string);
    assert_eq!(proxy.as_deref(), expected);
}

#[rstest]
#[case::a_name("a.test", "wss://a.test", true)]
#[case::names_below("a.test", "wss://b.a.test", true)]
#[case::not_a_longer_name("a.test", "wss://ba.test", false)]
#[case::with_a_dot(".a.test", "wss://b.a.test", true)]
#[case::with_a_dot_the_name_itself(".a.test", "wss://a.test", true)]
#[case::with_a_star("*.a.test", "wss://b.a.test", true)]
#[case::with_a_star_not_the_name_itself("*.a.test", "wss://a.test", false)]
#[case::any_case("A.Test", "wss://b.a.TEST", true)]
#[case::a_trailing_dot("a.test", "wss://a.test./", true)]
#[case::everything("*", "wss://a.test", true)]
#[case::in_a_list("x.test, a.test ,y.test", "wss://a.test", true)]
#[case::by_spaces("x.test a.test", "wss://a.test", true)]
#[case::its_port("a.test:8443", "wss://a.test:8443", true)]
#[case::another_port("a.test:8443", "wss://a.test", false)]
#[case::an_address("10.0.0.7", "wss://10.0.0.7", true)]
#[case::a_block("10.0.0.0/8", "wss://10.9.8.7", true)]
#[case::outside_the_block("10.0.0.0/8", "wss://11.0.0.1", false)]
#[case::every_address("0.0.0.0/0", "wss://11.0.0.1", true)]
#[case::a_block_of_ipv6("fd00::/8", "wss://[fd12::1]", true)]
#[case::an_ipv6_address("[fd12::1]:443", "wss://[fd12::1]", true)]
#[case::a_bare_ipv6_address("fd12::1", "wss://[fd12::1]:1", true)]
#[case::nothing("", "wss://a.test", false)]
#[case::an_empty_entry(",", "wss://a.test", false)]
fn no_proxy_names_what_is_reached_directly(#[case] list: &str, #[case] url: &str, #[case] is_direct: bool) {
    let proxies = proxies(&[("ALL_PROXY", "p:1"), ("NO_PROXY", list)]);
    assert_eq!(proxies.of_url(&url.parse().unwrap()).is_none(), is_direct);
}

#[rstest]
#[case("socks5://p:1080", "socks5:// proxies are not supported; name an http:// or https:// one")]
#[case("http://", "it is not the URL of a proxy, such as http://proxy.example.com:3128")]
#[case("http://u:pw@p:port", "it is not the URL of a proxy, such as http://proxy.example.com:3128")]
fn a_variable_that_cannot_be_used_is_told_without_its_value(#[case] value: &str, #[case] fault: &str) {
    let proxies = proxies(&[("HTTPS_PROXY", value)]);
    assert!(proxies.is_empty());
    assert_eq!(proxies.faults().iter().map(ToString::to_string).collect::<Vec<_>>(), [fault]);
}

#[test]
fn credentials_are_never_printed() {
    let proxies = proxies(&[("HTTPS_PROXY", "http://ann:hunter2@p:3128")]);
    let printed = format!("{proxies:?} {}", proxies.of(true, "a.test", 443).unwrap());
    assert!(!printed.contains("hunter2") && !printed.contains("ann"), "{printed}");
    assert!(printed.contains("***@p:3128"), "{printed}");
}

/// What a proxy answers, in pieces, and what becomes of the tunnel.
#[rstest]
#[case::plain(&["HTTP/1.1 200 Connection established\r\n\r\n"], None)]
#[case::an_old_proxy(&["HTTP/1.0 200 OK\r\n\r\n"], None)]
#[case::headers(&["HTTP/1.1 200 OK\r\nVia: 1.1 squid\r\nX-Cache: MISS\r\n\r\n"], None)]
#[case::in_pieces(&["HT", "TP/1.1 2", "00 OK\r", "\n\r\n"], None)]
#[case::no_reason(&["HTTP/1.1 200\r\n\r\n"], None)]
#[case::bare_newlines(&["HTTP/1.1 200 OK\n\n"], None)]
#[case::accepted(&["HTTP/1.1 204 Fine\r\n\r\n"], None)]
#[case::credentials(&["HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"], Some("407"))]
#[case::forbidden(&["HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"], Some("403"))]
#[case::no_gateway(&["HTTP/1.1 502 Bad Gateway\r\n\r\n"], Some("502"))]
#[case::not_http(&["SSH-2.0-OpenSSH_9.9\r\n\r\n"], Some("not HTTP"))]
#[case::closed(&["HTTP/1.1 200"], Some("closed the connection"))]
#[tokio::test]
async fn a_tunnel_is_asked_for(#[case] pieces: &[&'static str], #[case] fault: Option<&str>) {
    let proxies = proxies(&[("HTTPS_PROXY", "http://ann:p%40ss@p:3128")]);
    let proxy = proxies.of(true, "a.test", 443).unwrap();
    let (mut near, mut far) = tokio::io::duplex(1 << 12);
    let pieces = pieces.to_vec();
    let peer = tokio::spawn(async move {
        let head = read_head(&mut far).await.unwrap();
        for piece in pieces {
            far.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        String::from_utf8(head).unwrap()
    });
    let tunnel = proxy.tunnel(&mut near, "a.test", 443).await;
    match fault {
        None => assert_eq!(tunnel, Ok(())),
        Some(fault) => {
            let error = tunnel.unwrap_err().to_string();
            assert!(error.contains(fault) && !error.contains("p@ss"), "{error}");
        }
    }
    let head = peer.await.unwrap();
    assert!(head.starts_with("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic YW5uOnBAc3M=\r\n"), "{head}");
}

#[tokio::test]
async fn what_follows_the_head_belongs_to_the_tunnel() {
    let (mut near, mut far) = tokio::io::duplex(1 << 12);
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\nfirst").await.unwrap();
    read_head(&mut near).await.unwrap();
    let mut rest = [0; 5];
    near.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"first");
}

#[tokio::test]
async fn a_head_without_an_end_is_given_up() {
    let (mut near, mut far) = tokio::io::duplex(1 << 16);
    far.write_all(&vec![b'x'; HEAD_MAX + 1]).await.unwrap();
    assert_eq!(read_head(&mut near).await.unwrap(), b"");
}
