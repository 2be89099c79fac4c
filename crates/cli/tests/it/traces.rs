//! Traces, as a collector receives them: OTLP over HTTP, protobuf
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).

use std::{
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use switchboard_testkit::upstream::{Script, ScriptedUpstream};

use crate::program::{PASSWORD, Place};

const COLLECTOR_KEY: &str = "key-of-the-collector";
const UPSTREAM_KEY: &str = "key-of-the-upstream";
const ARGUMENT: &str = "what the agent says";

/// A collector: takes every export and answers as the specification wants.
struct Collector {
    url: String,
    heard: Arc<Mutex<Vec<Export>>>,
}

struct Export {
    head: String,
    body: Vec<u8>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                while let Some(export) = Export::read(&mut reader) {
                    hears.lock().expect("nobody panicked").push(export);
                    let body = ExportTraceServiceResponse::default().encode_to_vec();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    stream.write_all(&[head.as_bytes(), &body].concat()).expect("the answer is sent");
                }
            }
        });
        Self { url, heard }
    }

    /// Everything that was sent: as read, and as raw bytes.
    fn spans(&self) -> (Vec<Span>, Vec<u8>) {
        let (mut spans, mut raw) = (Vec::new(), Vec::new());
        for export in self.heard.lock().expect("nobody panicked").iter() {
            assert!(export.head.starts_with("POST /v1/traces HTTP/1.1"), "{}", export.head);
            let head = export.head.to_lowercase();
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            assert!(head.contains(&format!("x-collector-key: {COLLECTOR_KEY}")), "{head}");
            let request = ExportTraceServiceRequest::decode(&*export.body).expect("protobuf");
            for resource in request.resource_spans {
                let attributes = resource.resource.unwrap_or_default().attributes;
                assert_eq!(text(&attributes, "service.name"), Some("switchboard"));
                spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
            raw.extend_from_slice(&export.body);
        }
        (spans, raw)
    }
}

impl Export {
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.to_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length:").and_then(|length| length.trim().parse().ok())
        });
        let mut body = vec![0; length.expect("its length")];
        reader.read_exact(&mut body).ok()?;
        Some(Self { head, body })
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn holds(raw: &[u8], text: &str) -> bool {
    raw.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_request_arrives_at_the_collector_under_its_id_and_without_a_secret() {
    let collector = Collector::start();
    let place = Place::sqlite();
    let traced = [
        ("SWITCHBOARD_OTLP_ENDPOINT", collector.url.as_str()),
        ("SWITCHBOARD_OTLP_HEADERS", &format!("x-collector-key={COLLECTOR_KEY}")),
        // All there is to say, so that nothing said more quietly holds a secret either.
        ("SWITCHBOARD_LOG", "trace"),
    ];
    let mut server = place.start_with(&["serve", "--allow-private-networks"], &traced);
    let link = server.line_with("/setup/").trim().to_owned();
    let setup_token = link.rsplit('/').next().unwrap().to_owned();
    let host = server.url.trim_start_matches("http://").to_owned();
    let path = link.strip_prefix(&server.url).expect("a link to this server");
    assert!(crate::serving::ask(&host, "GET", path, "").starts_with("HTTP/1.1 200"));
    place.create_owner();
    let token = place.create_token("api,mcp:read,mcp:write");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = runtime.block_on(ScriptedUpstream::start(Script::new()));
    std::fs::write(place.path("key"), UPSTREAM_KEY).unwrap();
    let add = ["connection", "add", "notes", upstream.url(), "--api-key-file", "key", "--everyone"];
    server.client(&place, &token, &add).ok();
    server.client(&place, &token, &["call", "notes.echo", &format!(r#"{{"text": "{ARGUMENT}"}}"#)]).ok();
    assert_eq!(upstream.executions("echo"), 1);
    let answer = crate::serving::ask(&host, "GET", "/livez", "");
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("its id").to_owned();
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");

    let (spans, raw) = collector.spans();
    let of_request = |id: &str| spans.iter().find(|span| text(&span.attributes, "id") == Some(id));
    let span = of_request(&id).expect("the span of the request");
    assert_eq!(span.name, "request");
    assert_eq!(text(&span.attributes, "path"), Some("/livez"));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
    let paths: Vec<_> = spans.iter().filter_map(|span| text(&span.attributes, "path")).collect();
    for path in ["/mcp", "/api/v1/connections", "/setup/…"] {
        assert!(paths.contains(&path), "{path} is missing: {paths:?}");
    }
    for secret in [&*token, &setup_token, UPSTREAM_KEY, COLLECTOR_KEY, PASSWORD, ARGUMENT] {
        assert!(!holds(&raw, secret), "`{secret}` is in a trace");
        assert!(!log.contains(secret), "`{secret}` is in the log: {log}");
    }
}
