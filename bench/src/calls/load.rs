//! The load: a number of clients, each with one kept connection, each sending its next request when the
//! answer to the last one is complete. One thread, so that the load itself leaves a core to what it measures.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use memchr::memmem::Finder;
use tokio::net::TcpStream;

use super::wire::{Ask, Era, MARKER, Prepared, Target};

const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How far into an answer the marker is looked for, and how much of its end is checked for an error.
const EDGE: usize = 4096;

/// What one measurement saw.
#[derive(Debug, Default)]
pub struct Sample {
    pub elapsed: Duration,
    /// Of successful calls that ended inside the window.
    pub latencies: Vec<Duration>,
    pub errors: u64,
    pub first_error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warming,
    Measuring,
    Done,
}

struct Check {
    marker: Finder<'static>,
    failed: Finder<'static>,
    bytes: usize,
    tools: Option<usize>,
}

impl Check {
    fn new(ask: &Ask) -> Self {
        let tools = match ask {
            Ask::List { tools } => Some(*tools),
            Ask::Tool { .. } | Ask::Capability { .. } => None,
        };
        Self {
            marker: Finder::new(MARKER),
            failed: Finder::new("\"isError\":true"),
            bytes: ask.expected_bytes(),
            tools,
        }
    }

    fn judge(&self, status: http::StatusCode, body: &[u8]) -> Result<(), String> {
        let head = &body[..body.len().min(EDGE)];
        let tail = &body[body.len().saturating_sub(EDGE)..];
        let right = match self.tools {
            // Proxies add tools of their own.
            Some(tools) => count_tools(body) >= tools,
            None => {
                self.marker.find(head).is_some()
                    && self.failed.find(head).is_none()
                    && self.failed.find(tail).is_none()
            }
        };
        if status == http::StatusCode::OK && right && body.len() >= self.bytes {
            return Ok(());
        }
        Err(format!(
            "{status}, {} bytes: {}",
            body.len(),
            String::from_utf8_lossy(&head[..head.len().min(600)])
        ))
    }
}

fn count_tools(body: &[u8]) -> usize {
    memchr::memmem::find_iter(body, "\"inputSchema\"").count()
}

struct Client {
    sender: SendRequest<Full<Bytes>>,
    request: Prepared,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load is a client of its own; there is no egress to go through"
)]
async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(authority).await.map_err(|error| format!("{authority}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    prepared: &Prepared,
) -> Result<(http::response::Parts, Bytes), String> {
    let mut request = http::Request::new(Full::new(prepared.body.clone()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = prepared.uri.clone();
    *request.headers_mut() = prepared.headers.clone();
    sender.ready().await.map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((parts, body))
}

impl Client {
    async fn open(target: &Target, era: Era) -> Result<Self, String> {
        let mut sender = connect(target.authority()?).await?;
        let mut session = None;
        if era == Era::Legacy {
            let (parts, body) = exchange(&mut sender, &target.initialize()?).await?;
            if !parts.status.is_success() {
                return Err(format!("initialize: {} {}", parts.status, String::from_utf8_lossy(&body)));
            }
            session =
                parts.headers.get("mcp-session-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
            exchange(&mut sender, &target.initialized(session.as_deref())?).await?;
        }
        let request = target.request(era, session.as_deref())?;
        Ok(Self { sender, request })
    }

    async fn call(&mut self, check: &Check) -> Result<(), String> {
        let (parts, body) = tokio::time::timeout(CALL_DEADLINE, exchange(&mut self.sender, &self.request))
            .await
            .map_err(|_| format!("no answer within {} s", CALL_DEADLINE.as_secs()))??;
        check.judge(parts.status, &body)
    }

    async fn run(mut self, target: Rc<Target>, era: Era, phase: Rc<Cell<Phase>>) -> Sample {
        let check = Check::new(&target.ask);
        let mut sample = Sample::default();
        while phase.get() != Phase::Done {
            let began = Instant::now();
            let begun_in = phase.get();
            let outcome = self.call(&check).await;
            match outcome {
                Ok(()) if phase.get() == Phase::Measuring && begun_in == Phase::Measuring => {
                    sample.latencies.push(began.elapsed());
                }
                Ok(()) => {}
                Err(error) => {
                    sample.errors += 1;
                    sample.first_error.get_or_insert(error);
                    // A connection that broke is replaced; one that cannot be is the end of this client.
                    if self.sender.is_closed() {
                        match Self::open(&target, era).await {
                            Ok(fresh) => self = fresh,
                            Err(_) => break,
                        }
                    }
                }
            }
        }
        sample
    }
}

/// The name under which a proxy lists a tool: proxies put their own prefixes in front.
pub async fn find_tool(target: &Target, era: Era, suffix: &str) -> Result<String, String> {
    let mut client = Client::open(target, era).await?;
    let (parts, body) = tokio::time::timeout(CALL_DEADLINE, exchange(&mut client.sender, &client.request))
        .await
        .map_err(|_| "tools/list was not answered".to_owned())??;
    let text = String::from_utf8_lossy(&body);
    let messages = text.lines().filter_map(|line| {
        let json = line.strip_prefix("data:").unwrap_or(line);
        serde_json::from_str::<serde_json::Value>(json).ok()
    });
    let tools = messages.filter_map(|message| message.pointer("/result/tools").cloned()).next();
    let names = tools.iter().flat_map(|tools| tools.as_array().into_iter().flatten());
    let found = names.filter_map(|tool| tool["name"].as_str()).find(|name| name.ends_with(suffix));
    found.map(str::to_owned).ok_or_else(|| format!("no tool ends in {suffix}: {} {text}", parts.status))
}

/// Runs the load and calls `at_edge` when the measured window begins and when it ends.
pub async fn run(
    target: &Target,
    era: Era,
    clients: usize,
    warm_up: Duration,
    window: Duration,
    mut at_edge: impl FnMut(),
) -> Result<Sample, String> {
    let target = Rc::new(target.clone());
    let phase = Rc::new(Cell::new(Phase::Warming));
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let client = Client::open(&target, era).await.map_err(|error| format!("{}: {error}", target.name))?;
        tasks.push(tokio::task::spawn_local(client.run(target.clone(), era, phase.clone())));
    }
    tokio::time::sleep(warm_up).await;
    at_edge();
    let began = Instant::now();
    phase.set(Phase::Measuring);
    tokio::time::sleep(window).await;
    phase.set(Phase::Done);
    let elapsed = began.elapsed();
    at_edge();
    let mut whole = Sample { elapsed, ..Sample::default() };
    for task in tasks {
        let sample = task.await.map_err(|error| format!("a client stopped: {error}"))?;
        whole.latencies.extend(sample.latencies);
        whole.errors += sample.errors;
        whole.first_error = whole.first_error.or(sample.first_error);
    }
    Ok(whole)
}
