//! The operator's egress proxy.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use switchboard_egress::{Egress, EgressConfig, EgressConfigError, EgressError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
};
use url::Url;

use crate::support::*;

const NAME: &str = "mcp.vendor.example.com";

/// A proxy that tunnels everything to `destination` and keeps the header sections it saw.
#[expect(clippy::disallowed_methods, reason = "a proxy has to connect to somewhere")]
async fn tunnel(destination: SocketAddr, status: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap());
            client.write_all(format!("HTTP/1.1 {status}\r\nvia: test\r\n\r\n").as_bytes()).await.unwrap();
            if status.starts_with("200") {
                let mut server = TcpSocket::new_v4().unwrap().connect(destination).await.unwrap();
                tokio::spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }
    });
    (address, heads)
}

fn through(proxy: &str, authority: &Authority, answers: &[&str]) -> EgressConfig {
    EgressConfig {
        proxy: Some(Url::parse(proxy).unwrap()),
        extra_root_certificates: vec![authority.pem()],
        ..EgressConfig::with_resolver(StubResolver::new(&[(NAME, &[answers])]))
    }
}

#[tokio::test]
async fn a_public_host_is_reached_by_connect_to_the_judged_address() {
    let authority = Authority::new();
    let server = Server::tls(authority.server(&[NAME]), |_| ok("through")).await;
    let (proxy, heads) = tunnel(server.address, "200 Connection established").await;
    let config = through(&format!("http://us%65r:p%40ss@{proxy}"), &authority, &["93.184.216.34"]);
    assert!(!format!("{config:?}").contains("p%40ss"));
    let egress = Egress::new(config).unwrap();
    let response = egress.send(get(&egress, &format!("https://{NAME}/mcp"))).await.unwrap();
    assert_eq!(response.peer, "93.184.216.34:443".parse().unwrap());
    assert_eq!(response.body.collect_bytes().await.unwrap(), "through");
    let head = heads.lock().unwrap().remove(0);
    assert!(head.starts_with("CONNECT 93.184.216.34:443 HTTP/1.1\r\n"), "{head}");
    // base64 of user:p@ss
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
    let inner = server.received().remove(0);
    assert_eq!((inner.path(), inner.header("host")), ("/mcp", Some(NAME)));
    assert!(!inner.head.to_lowercase().contains("proxy-authorization"));
}

#[tokio::test]
async fn a_proxy_that_decides_by_name_gets_the_name() {
    let authority = Authority::new();
    let server = Server::tls(authority.server(&[NAME]), |_| ok("through")).await;
    let (proxy, heads) = tunnel(server.address, "200 OK").await;
    let mut config = through(&format!("http://{proxy}"), &authority, &["93.184.216.34"]);
    config.proxy_resolves_names = true;
    let egress = Egress::new(config).unwrap();
    egress.send(get(&egress, &format!("https://{NAME}/"))).await.unwrap();
    assert!(heads.lock().unwrap()[0].starts_with(&format!("CONNECT {NAME}:443 HTTP/1.1\r\n")));
}

#[tokio::test]
async fn the_checks_run_before_the_proxy_is_asked() {
    let authority = Authority::new();
    let server = Server::plain(|_| ok("x")).await;
    let (proxy, heads) = tunnel(server.address, "200 OK").await;
    let mut config = through(&format!("http://{proxy}"), &authority, &["93.184.216.34", "10.0.0.1"]);
    config.proxy_resolves_names = true;
    let egress = Egress::new(config).unwrap();
    let error = egress.send(get(&egress, &format!("https://{NAME}/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::Refused(_)), "{error:?}");
    assert!(egress.check_url("https://10.0.0.1/").is_err());
    assert!(heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn plain_http_goes_in_absolute_form_to_a_proxy_that_resolves_names() {
    let proxy = Server::plain(|_| ok("from the proxy")).await;
    let config = EgressConfig {
        allow_private_networks: true,
        proxy: Some(Url::parse(&format!("http://user:pass@{}", proxy.address)).unwrap()),
        proxy_resolves_names: true,
        ..EgressConfig::with_resolver(StubResolver::new(&[("mcp.corp", &[&["10.0.0.1"]])]))
    };
    let egress = Egress::new(config).unwrap();
    let response = egress.send(get(&egress, "http://mcp.corp/path?q=1")).await.unwrap();
    assert_eq!(response.body.collect_bytes().await.unwrap(), "from the proxy");
    let request = proxy.received().remove(0);
    assert_eq!(request.path(), "http://mcp.corp/path?q=1");
    assert!(request.header("proxy-authorization").is_some());
}

#[tokio::test]
async fn a_refusing_proxy_is_named() {
    let (proxy, _) = tunnel("127.0.0.1:1".parse().unwrap(), "407 Proxy Authentication Required").await;
    let egress =
        Egress::new(through(&format!("http://{proxy}"), &Authority::new(), &["93.184.216.34"])).unwrap();
    let error = egress.send(get(&egress, &format!("https://{NAME}/"))).await.unwrap_err();
    assert_eq!(error, EgressError::ProxyFailed { status: Some(407) });
    assert!(error.to_string().contains("407"));
    assert!(!error.request_may_have_been_sent());
}

#[tokio::test]
async fn an_unusable_proxy_setting_is_named_at_start() {
    for proxy in ["socks5h://127.0.0.1:1080", "https://proxy.example.com/", "http://proxy.example.com/path"] {
        let error = Egress::new(through(proxy, &Authority::new(), &[])).unwrap_err();
        assert!(matches!(error, EgressConfigError::Proxy(_)), "{proxy}: {error:?}");
    }
}
