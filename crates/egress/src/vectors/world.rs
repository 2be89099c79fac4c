//! A gateway whose every public address is one scripted server.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use http::Method;
use serde::Deserialize;

use super::{
    lines,
    support::{Authority, Received, Server, Step, StubResolver, answer, request},
    vectors,
};
use crate::{
    Egress, EgressConfig, EgressError,
    dial::{Dial, Dialled, TcpDialer},
};

pub(super) const HOST: &str = "mcp.vendor.example.com";
pub(super) const OTHERS: &[&str] = &["b.example.net", "collect.example.net"];
/// What the other hosts resolve to.
pub(super) const ELSEWHERE: &str = "93.184.216.35";

#[derive(Debug, Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) url: Option<String>,
    pub(super) expect: String,
    #[serde(default)]
    pub(super) answers: Vec<Vec<String>>,
    #[serde(default)]
    pub(super) config: BTreeMap<String, Vec<String>>,
    pub(super) tenant: Option<String>,
    #[serde(default)]
    pub(super) steps: Vec<String>,
    #[serde(default)]
    pub(super) chain: Vec<Hop>,
    #[serde(default)]
    pub(super) request_headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hop {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

pub(super) fn cases(kind: &str) -> Vec<Case> {
    let text = vectors("ssrf_cases.jsonl");
    let all = lines(&text).into_iter().map(|line| serde_json::from_str::<Case>(line).unwrap());
    all.filter(|case| case.kind == kind).collect()
}

/// Leads every connection to one local server and remembers where it was meant to go.
#[derive(Debug)]
pub(super) struct RecordingDialer {
    pub(super) dialled: Mutex<Vec<SocketAddr>>,
    pub(super) server: Option<SocketAddr>,
}

impl Dial for RecordingDialer {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Dialled>> {
        self.dialled.lock().unwrap().push(address);
        let server = self.server;
        Box::pin(async move {
            // Without a server the address is a black hole.
            let Some(server) = server else { return std::future::pending().await };
            TcpDialer.dial(server).await.map(|dialled| Dialled { peer: address, ..dialled })
        })
    }
}

/// A gateway whose every public address is one scripted TLS server.
pub(super) struct World {
    pub(super) egress: Egress,
    pub(super) dialer: Arc<RecordingDialer>,
    pub(super) resolver: Arc<StubResolver>,
    pub(super) server: Server,
}

impl World {
    pub(super) async fn new(
        answers: &[Vec<String>],
        change: impl FnOnce(&mut EgressConfig),
        script: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new();
        let names: Vec<&str> = std::iter::once(HOST).chain(OTHERS.iter().copied()).collect();
        let server = Server::tls(authority.server(&names), script).await;
        let lists: Vec<Vec<&str>> =
            answers.iter().map(|list| list.iter().map(String::as_str).collect()).collect();
        let lists: Vec<&[&str]> = lists.iter().map(Vec::as_slice).collect();
        let resolver = StubResolver::new(&[
            (HOST, lists.as_slice()),
            (OTHERS[0], &[&[ELSEWHERE]]),
            (OTHERS[1], &[&[ELSEWHERE]]),
        ]);
        let dialer = Arc::new(RecordingDialer { dialled: Mutex::default(), server: Some(server.address) });
        let mut config = EgressConfig {
            extra_root_certificates: vec![authority.pem()],
            ..EgressConfig::with_resolver(resolver.clone())
        };
        change(&mut config);
        let egress = Egress::with_dialer(config, dialer.clone()).unwrap();
        Self { egress, dialer, resolver, server }
    }

    pub(super) async fn fetch(&self, url: &str) -> Result<bytes::Bytes, EgressError> {
        let url = self.egress.check_url(url)?;
        let response = self.egress.send(request(&self.egress, Method::GET, url)).await?;
        response.body.collect_bytes().await
    }

    pub(super) fn dialled(&self) -> Vec<IpAddr> {
        self.dialer.dialled.lock().unwrap().iter().map(SocketAddr::ip).collect()
    }
}

pub(super) fn public() -> Vec<Vec<String>> {
    vec![vec!["93.184.216.34".into()]]
}

/// Ends every connection after one answer, so that each step looks the name up again.
pub(super) fn one_answer_a_connection() -> Vec<Step> {
    vec![answer("200 OK", "connection: close\r\n", "hello"), Step::Close]
}

pub(super) fn assert_refused(outcome: Result<bytes::Bytes, EgressError>, id: &str) {
    assert!(matches!(outcome, Err(EgressError::Refused(_))), "{id}: {outcome:?}");
}
