//! A call under way, and what happens before its answer.

use futures_util::future::BoxFuture;
use switchboard_broker::SideEvent;
use switchboard_mcp::ProtocolError;
use tokio::sync::mpsc;

use super::{Running, cancelled, direct};

pub(super) struct Conversation {
    pub(super) work: BoxFuture<'static, Result<direct::Outcome, ProtocolError>>,
    pub(super) events: mpsc::Receiver<SideEvent>,
    pub(super) outcome: Option<Result<direct::Outcome, ProtocolError>>,
    pub(super) ended: bool,
    /// What a client of the legacy generation can cancel.
    pub(super) running: Option<Running>,
}

pub(super) enum Step {
    Told(SideEvent),
    Ended(Result<direct::Outcome, ProtocolError>),
}

impl Conversation {
    /// What happens next; what was said before the answer comes before it.
    pub(super) async fn step(&mut self) -> Option<Step> {
        if self.ended {
            return None;
        }
        if self.outcome.is_none() {
            tokio::select! {
                biased;
                () = async {
                    match &self.running {
                        Some(running) => running.cancelled.cancelled().await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.ended = true;
                    return Some(Step::Ended(Err(cancelled())));
                }
                Some(event) = self.events.recv() => return Some(Step::Told(event)),
                outcome = &mut self.work => self.outcome = Some(outcome),
            }
        }
        if let Ok(event) = self.events.try_recv() {
            return Some(Step::Told(event));
        }
        self.ended = true;
        self.outcome.take().map(Step::Ended)
    }
}
