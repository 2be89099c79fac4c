//! Clients that are known by a document of theirs (OAuth Client ID Metadata Document), fetched from a real server: read
//! once, kept, read again when it is due; and asked about again when it says something else.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use switchboard_broker::Settings;
use switchboard_domain::{Clock as _, FixedClock, Role, SystemClock};
use switchboard_testkit::{
    app::{App, AppOptions, Resolve, ResolveError},
    on_both,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::oauth::{EMAIL, code, exchange, field, refresh, request, status_of};

const HOST: &str = "app.client.example.net";
/// Longer than any document is believed that says five minutes.
const DUE: Duration = Duration::from_secs(600);

/// The host's server: one answer at a time, under a certificate of an authority of its own.
struct DocumentServer {
    port: u16,
    authority: Vec<u8>,
    answer: Arc<Mutex<String>>,
    requests: Arc<AtomicUsize>,
}

impl DocumentServer {
    async fn start() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, requests) = (Arc::<Mutex<String>>::default(), Arc::<AtomicUsize>::default());
        let (says, counts) = (Arc::clone(&answer), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                counts.fetch_add(1, Ordering::SeqCst);
                let text = says.lock().clone();
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, authority: authority.pem().into_bytes(), answer, requests }
    }

    fn client_id(&self, path: &str) -> String {
        format!("https://{HOST}:{}/{path}", self.port)
    }

    fn says(&self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        *self.answer.lock() = format!(
            "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
        );
    }

    fn has(&self, document: &Value) {
        let headers = "Content-Type: application/json\r\nCache-Control: max-age=300\r\n";
        self.says(200, headers, &document.to_string());
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Every name is this machine.
#[derive(Debug)]
struct Here;

impl Resolve for Here {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send + 'a>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

async fn app(
    database: &switchboard_testkit::database::TestDatabase,
    server: &DocumentServer,
) -> (App, Arc<FixedClock>) {
    let clock = Arc::new(FixedClock::at_micros(SystemClock.now().as_micros()));
    let mut settings = Settings::default();
    settings.authorization.client_document_timeout = Duration::from_millis(500);
    let options = AppOptions {
        settings,
        clock: Some(clock.clone()),
        resolver: Some(Arc::new(Here)),
        client_documents: Some(server.authority.clone()),
        ..AppOptions::default()
    };
    let app = App::start_with(database.db.clone(), options).await;
    app.member_with_password(EMAIL, Role::Member).await;
    (app, clock)
}

on_both! {
    async fn a_document_makes_a_client_until_it_says_something_else(database) {
        let server = DocumentServer::start().await;
        let (app, clock) = app(&database, &server).await;
        let client = server.client_id("client.json");
        let document = |name: &str, redirect_uri: &str| {
            json!({ "client_id": client, "client_name": name, "redirect_uris": [redirect_uri] })
        };
        server.has(&document("Example Agent", "http://127.0.0.1/callback"));
        let browser = app.signed_in(EMAIL).await;
        let begun = browser.get(&request(&client, &[])).await;
        let shown = browser.get(begun.location()).await.text();
        assert!(shown.contains("Example Agent") && shown.contains(HOST), "{shown}");
        let tokens = exchange(&app, &client, &code(&browser, &request(&client, &[])).await, &[]).await;
        let (access, token) = (field(&tokens, "access_token"), field(&tokens, "refresh_token"));
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);
        assert_eq!(server.requests(), 1, "read once, then kept");

        // It can't be had: the last good copy goes on.
        clock.advance(DUE);
        server.says(503, "", "busy");
        assert_eq!(browser.get(&request(&client, &[])).await.status.as_u16(), 303);
        assert_eq!(server.requests(), 2);
        let token = field(&refresh(&app, &client, &token).await, "refresh_token");

        // It leads elsewhere now: whoever allowed it allowed something else.
        server.has(&document("Example Agent", "https://elsewhere.example/callback"));
        clock.advance(DUE);
        let refused = browser.get(&request(&client, &[])).await;
        assert_eq!(refused.status.as_u16(), 400, "the address before is not its any more: {}", refused.text());
        let over = refresh(&app, &client, &token).await;
        assert_eq!((over.status.as_u16(), over.json()["error"].as_str()), (400, Some("invalid_grant")), "{}", over.text());
        server.has(&document("Example Agent", "http://127.0.0.1/callback"));
        clock.advance(DUE);
        code(&browser, &request(&client, &[])).await;
        app.stop().await;
    }

    async fn only_a_document_in_order_makes_one(database) {
        let server = DocumentServer::start().await;
        let (app, _) = app(&database, &server).await;
        let browser = app.signed_in(EMAIL).await;
        let json = "Content-Type: application/json\r\n";
        let document = |path: &str| {
            let uris = ["http://127.0.0.1/callback"];
            json!({ "client_id": server.client_id(path), "client_name": "x", "redirect_uris": uris }).to_string()
        };
        let moved = format!("{json}Location: {}\r\n", server.client_id("good.json"));
        // oauth-d060 and oauth-d061 among them.
        for (path, status, headers, body) in [
            ("404.json", 404, json, document("404.json")),
            ("302.json", 302, &*moved, document("302.json")),
            ("206.json", 206, json, document("206.json")),
            ("html.json", 200, "Content-Type: text/html\r\n", document("html.json")),
            ("other.json", 200, json, document("another.json")),
            ("long.json", 200, json, format!("{}{}", document("long.json"), " ".repeat(1 << 20))),
        ] {
            server.says(status, headers, &body);
            let asked = server.requests();
            let refused = browser.get(&request(&server.client_id(path), &[])).await;
            assert_eq!(refused.status.as_u16(), 400, "{path}: {}", refused.text());
            assert_eq!(server.requests(), asked + 1, "{path}: asked once, and followed nowhere");
            let mut tx = app.db.read().await.unwrap();
            assert!(tx.oauth_clients().find(&server.client_id(path)).await.unwrap().is_none(), "{path}");
        }
        // oauth-d060: Switchboard itself is no such host, whatever name leads to it.
        for address in [format!("https://{HOST}:{}/api/admin", app.address.port()), app.url("/api/admin").replace("http:", "https:")] {
            assert_eq!(browser.get(&request(&address, &[])).await.status.as_u16(), 400, "{address}");
        }
        server.says(200, json, &document("good.json"));
        assert_eq!(browser.get(&request(&server.client_id("good.json"), &[])).await.status.as_u16(), 303);
        app.stop().await;
    }
}
