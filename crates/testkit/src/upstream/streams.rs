//! Server-to-client streams that are open: `GET` of a session, `subscriptions/listen`, HTTP+SSE.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::body::streamed;
use super::listener::ResponseBody;

#[derive(Debug, Default)]
pub(super) struct Streams {
    sessions: Mutex<HashSet<String>>,
    open: Mutex<Vec<OpenStream>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct OpenStream {
    /// The session it belongs to, or the id of the listen request as JSON text.
    key: String,
    listens: bool,
    sender: mpsc::UnboundedSender<Bytes>,
}

fn event(name: Option<&str>, data: &str) -> Bytes {
    let name = name.map_or_else(String::new, |name| format!("event: {name}\n"));
    Bytes::from(format!("{name}data: {data}\n\n"))
}

impl Streams {
    pub(super) fn new_session(&self) -> String {
        let session = format!("session-{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.sessions.lock().insert(session.clone());
        session
    }

    pub(super) fn knows(&self, session: &str) -> bool {
        self.sessions.lock().contains(session)
    }

    pub(super) fn end(&self, session: &str) {
        self.sessions.lock().remove(session);
        self.open.lock().retain(|stream| stream.key != session);
    }

    pub(super) fn expire(&self) {
        self.sessions.lock().clear();
        self.open.lock().retain(|stream| stream.listens);
    }

    /// Ends every open stream; sessions stay.
    pub(super) fn cut(&self) {
        self.open.lock().clear();
    }

    pub(super) fn count(&self) -> usize {
        let mut open = self.open.lock();
        open.retain(|stream| !stream.sender.is_closed());
        open.len()
    }

    /// A stream for a session, beginning with these events.
    pub(super) fn open(&self, key: &str, listens: bool, first: &[(Option<&str>, String)]) -> ResponseBody {
        let (sender, receiver) = mpsc::unbounded_channel();
        for (name, data) in first {
            drop(sender.send(event(*name, data)));
        }
        self.open.lock().push(OpenStream { key: key.to_owned(), listens, sender });
        streamed(
            stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|chunk| (chunk, receiver))
            })
            .boxed(),
        )
    }

    /// Sends to the stream of one session; `false` when it has none.
    pub(super) fn send(&self, key: &str, message: &str) -> bool {
        let open = self.open.lock();
        open.iter()
            .any(|stream| stream.key == key && stream.sender.send(event(Some("message"), message)).is_ok())
    }

    /// Sends a notification to every open stream, tagged where it is a subscription. Returns how many heard it.
    pub(super) fn notify(&self, method: &str) -> usize {
        let open = self.open.lock();
        open.iter()
            .filter(|stream| {
                let params = if stream.listens {
                    format!(
                        r#","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{}}}}}"#,
                        stream.key
                    )
                } else {
                    String::new()
                };
                let message = format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params}}}"#);
                stream.sender.send(event(Some("message"), &message)).is_ok()
            })
            .count()
    }

    /// Sends one message, as it is, to every open stream. Returns how many heard it.
    pub(super) fn broadcast(&self, message: &str) -> usize {
        let open = self.open.lock();
        open.iter().filter(|stream| stream.sender.send(event(Some("message"), message)).is_ok()).count()
    }
}
