//! A resolver that says what a test wants, a scripted server that counts what arrives, and a private
//! certificate authority.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{
    HandshakeKind, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use switchboard_egress::{Egress, EgressConfig, GuardedUrl, Redirects, Request, Resolve, ResolveError};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// Answers by name; the n-th lookup gets the n-th list, and after the last the first again.
#[derive(Debug, Default)]
pub struct StubResolver {
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    lookups: AtomicUsize,
}

impl StubResolver {
    pub fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let addresses = |list: &&[&str]| list.iter().map(|a| a.parse().unwrap()).collect();
        let answers = names
            .iter()
            .map(|(name, lists)| ((*name).to_owned(), lists.iter().map(addresses).collect()))
            .collect();
        Arc::new(Self { answers, lookups: AtomicUsize::new(0) })
    }

    pub fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }
}

impl Resolve for StubResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        let n = self.lookups.fetch_add(1, Ordering::SeqCst);
        let answer = self
            .answers
            .get(name)
            .map(|lists| lists[n % lists.len()].clone())
            .filter(|list| !list.is_empty())
            .ok_or(ResolveError::NotFound);
        Box::pin(std::future::ready(answer))
    }
}

/// What the server read of one request.
#[derive(Debug, Clone)]
pub struct Received {
    pub head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

#[derive(Debug, Clone)]
pub enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Nothing more until the client leaves.
    Hang,
    Close,
}

pub fn send(text: impl Into<Vec<u8>>) -> Step {
    Step::Send(text.into())
}

/// A complete answer with a length.
pub fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Step {
    let body = body.as_ref();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Step::Send(bytes)
}

pub fn ok(body: impl AsRef<[u8]>) -> Vec<Step> {
    vec![answer("200 OK", "", body)]
}

pub fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

type Script = dyn Fn(&Received) -> Vec<Step> + Send + Sync;

/// A server on 127.0.0.1 that follows a script and remembers everything.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    accepted: AtomicUsize,
    closed_by_client: AtomicUsize,
    handshakes: Mutex<Vec<HandshakeKind>>,
    received: Mutex<Vec<Received>>,
}

impl Server {
    pub async fn plain(script: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(script)).await
    }

    pub async fn tls(
        config: ServerConfig,
        script: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(TlsAcceptor::from(Arc::new(config))), Arc::new(script)).await
    }

    async fn start(tls: Option<TlsAcceptor>, script: Arc<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), log: Arc::default() };
        let log = Arc::clone(&server.log);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                log.accepted.fetch_add(1, Ordering::SeqCst);
                let (log, script, tls) = (Arc::clone(&log), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return converse(stream, &log, &*script).await };
                    if let Ok(stream) = tls.accept(stream).await {
                        log.handshakes.lock().unwrap().extend(stream.get_ref().1.handshake_kind());
                        converse(stream, &log, &*script).await;
                    }
                });
            }
        });
        server
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn accepted(&self) -> usize {
        self.log.accepted.load(Ordering::SeqCst)
    }

    pub fn received(&self) -> Vec<Received> {
        self.log.received.lock().unwrap().clone()
    }

    pub fn handshakes(&self) -> Vec<HandshakeKind> {
        self.log.handshakes.lock().unwrap().clone()
    }

    /// Waits until the client has closed `count` connections.
    pub async fn closed_by_client(&self, count: usize) {
        eventually(|| self.log.closed_by_client.load(Ordering::SeqCst) >= count).await;
    }
}

/// Waits for something that happens in another task. The bound is only there to end a failing test.
pub async fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happened");
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, log: &Log, script: &Script) {
    while let Some(request) = read_request(&mut stream).await {
        log.received.lock().unwrap().push(request.clone());
        for step in script(&request) {
            let written = match step {
                Step::Send(bytes) => match stream.write_all(&bytes).await {
                    Ok(()) => stream.flush().await,
                    broken => broken,
                },
                Step::Wait(time) => {
                    tokio::time::sleep(time).await;
                    Ok(())
                }
                Step::Hang => {
                    let _ = stream.read(&mut [0]).await;
                    break;
                }
                Step::Close => {
                    let _ = stream.shutdown().await;
                    return;
                }
            };
            if written.is_err() {
                break;
            }
        }
    }
    log.closed_by_client.fetch_add(1, Ordering::SeqCst);
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte).await, Ok(1)) {
            return None;
        }
        head.push(byte[0]);
    }
    let mut request = Received { head: String::from_utf8(head).unwrap(), body: Vec::new() };
    let length = request.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

/// A certificate authority of our own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    pub fn server(&self, names: &[&str]) -> ServerConfig {
        self.server_with(names, |_| {})
    }

    pub fn server_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

/// A configuration in which loopback is open, for tests that need a real server.
pub fn open_config() -> EgressConfig {
    EgressConfig { allow_private_networks: true, ..EgressConfig::with_resolver(StubResolver::new(&[])) }
}

pub fn open_egress() -> Egress {
    Egress::new(open_config()).unwrap()
}

pub fn closed_egress() -> Egress {
    Egress::new(EgressConfig::with_resolver(StubResolver::new(&[]))).unwrap()
}

pub fn request(egress: &Egress, method: Method, url: GuardedUrl) -> Request {
    let limits = egress.limits();
    Request {
        method,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        deadlines: limits.call_deadlines(),
        max_wire_bytes: limits.answer_wire_bytes(),
        max_inflated_bytes: limits.answer_bytes(),
        redirects: Redirects::Refuse,
        accept_gzip: false,
    }
}

pub fn get(egress: &Egress, url: &str) -> Request {
    request(egress, Method::GET, egress.check_url(url).unwrap())
}

pub fn post(egress: &Egress, url: &str, body: &'static str) -> Request {
    Request { body: body.into(), ..request(egress, Method::POST, egress.check_url(url).unwrap()) }
}
