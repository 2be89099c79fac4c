//! The stream on which an upstream tells of changes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, header};
use switchboard_egress::{Deadlines, EgressError, Response};
use switchboard_mcp::{Incoming, SseDecoder, TASKS, parse_upstream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        side::Asked,
        wire::{modern_meta_with, params},
    },
    Ask, HttpWire, Subject,
};

/// Between two tries of a listening stream that ended.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);
/// A listening stream may be silent for as long as nothing changes.
const LISTEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// When to open another stream.
enum Again {
    Now,
    Later,
    Never,
}

impl HttpWire {
    /// Keeps a stream open on which the upstream tells of changes: a GET in the legacy generation,
    /// `subscriptions/listen` in the modern one. A server that offers none is not asked again.
    ///
    /// What comes back is told when the stream is there, or will not be: what a server asks on it before that is lost.
    pub(crate) fn listen(self: &Arc<Self>, stop: CancellationToken) -> oneshot::Receiver<()> {
        let wire = Arc::downgrade(self);
        let (opened, told) = oneshot::channel();
        let mut opened = Some(opened);
        tokio::spawn(async move {
            loop {
                let Some(wire) = wire.upgrade() else { return };
                let again = tokio::select! {
                    () = stop.cancelled() => return,
                    again = wire.stream_of_changes(&mut opened) => again,
                };
                drop(wire);
                let pause = match again {
                    Again::Now => Duration::ZERO,
                    Again::Later => LISTEN_AGAIN,
                    Again::Never => return,
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        told
    }

    /// One such stream, until it ends; when to open another.
    async fn stream_of_changes(&self, opened: &mut Option<oneshot::Sender<()>>) -> Again {
        let mut watched = self.watched.subscribe();
        watched.borrow_and_update();
        let response = self.open_stream_of_changes().await;
        if let Some(opened) = opened.take() {
            // Nobody waits for it on a session that many share.
            let _ = opened.send(());
        }
        let Ok(response) = response else { return Again::Later };
        let kind = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !response.status.is_success() || !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return if response.status.is_server_error() { Again::Later } else { Again::Never };
        }
        let mut decoder = SseDecoder::new(self.limits.max_event_bytes);
        let mut body = response.body;
        loop {
            let piece = tokio::select! {
                piece = body.next_piece() => piece,
                // Other resources are watched now: another stream says so.
                Ok(()) = watched.changed() => return Again::Now,
            };
            let Some(Ok(piece)) = piece else { return Again::Later };
            decoder.push(&piece);
            loop {
                match decoder.next_event() {
                    Ok(Some(event)) => self.heard(&event.data).await,
                    Ok(None) => break,
                    Err(_) => return Again::Never,
                }
            }
        }
    }

    /// What no request of ours asked for. A question is for whoever this session is of.
    async fn heard(&self, data: &Bytes) {
        match parse_upstream(data) {
            Ok(Incoming::Request(request)) => {
                let asked = Asked::of(&request);
                self.reply(asked, None, &self.listening()).await;
            }
            _ => drop(self.event(data, None).await),
        }
    }

    /// What the modern generation is asked to tell of, and the metadata of that request.
    fn wanted_changes(&self) -> (String, String) {
        let watched = self.watched.borrow();
        let (mut resources, mut tasks) = (Vec::new(), Vec::new());
        for subject in &*watched {
            match subject {
                Subject::Resource(uri) => resources.push(uri),
                Subject::Task(id) => tasks.push(id),
            }
        }
        let mut further = String::new();
        for (name, subjects) in [("resourceSubscriptions", resources), ("taskIds", tasks.clone())] {
            if !subjects.is_empty() {
                further.push_str(&format!(",\"{name}\":{}", serde_json::json!(subjects)));
            }
        }
        let members = format!(
            "\"notifications\":{{\"toolsListChanged\":true,\"promptsListChanged\":true,\
             \"resourcesListChanged\":true{further}}}"
        );
        let meta = match tasks.is_empty() {
            true => self.modern_meta.clone(),
            false => modern_meta_with(&format!("{{\"extensions\":{{\"{TASKS}\":{{}}}}}}")),
        };
        (members, meta)
    }

    fn listening(&self) -> Ask<'static> {
        Ask {
            method: "subscriptions/listen",
            members: "",
            name: None,
            params: &[],
            identity: None,
            deadline: LISTEN_LIFE,
            deadline_name: "upstream.open_timeout",
            max_bytes: u64::MAX,
            side: None,
        }
    }

    async fn open_stream_of_changes(&self) -> Result<Response, EgressError> {
        let listen = self.listening();
        let headers = self.headers(&listen);
        let is_modern = self.legacy.read().is_none();
        let (method, body) = if is_modern {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let (members, meta) = self.wanted_changes();
            let params = params(&members, Some(&meta));
            (Method::POST, switchboard_mcp::request(id, listen.method, params.as_deref()))
        } else {
            (Method::GET, Bytes::new())
        };
        let mut request = self.exchange(method, headers, body, LISTEN_LIFE, u64::MAX);
        request.deadlines =
            Deadlines { total: LISTEN_LIFE, first_byte: self.limits.first_byte, idle: LISTEN_LIFE };
        self.egress.send(request).await
    }
}
