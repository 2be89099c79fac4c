//! Tasks that a client hears of on its stream: with `taskIds` in the newer generation, `notifications/tasks/status` in the
//! older one.
//!
//! What an upstream says of a task is not passed on as it is: it is asked anew, as if the client had asked, so that the same
//! rules hold, both generations read the same, and it is on record.

use serde_json::value::RawValue;
use switchboard_broker::{CallContext, Side, TaskStep};
use switchboard_domain::ConnectionId;
use switchboard_mcp::{RawObject, Request, RequestId};

use super::{Filter, Listener, LiveSession, Watched, talk};
use crate::ServerState;

pub(super) const CHANGED: &str = "notifications/tasks";
const CHANGED_LEGACY: &str = "notifications/tasks/status";

/// Begins to hear of the tasks that this client may ask about; the rest is left out of what is acknowledged. What already
/// has something to say is returned, as members: whoever waits only for news would wait for ever.
pub(super) async fn begin(
    state: &ServerState,
    context: &CallContext,
    (filter, watched): (&mut Filter, &mut Watched),
    side: Option<&Side>,
) -> Vec<String> {
    let mut told = Vec::new();
    let wanted: Vec<String> = filter.task_ids.drain().take(state.config.max_watched).collect();
    for id in wanted {
        let begins = TaskStep::Listen { begins: true };
        let Ok(Some(_)) = state.broker.ask_about_task(context, &id, begins, side.cloned()).await else {
            continue;
        };
        watched.hear_of(&id);
        let Some(task) = now(state, context, &id, side).await else { continue };
        if !task.is_working {
            told.push(task.members);
        }
        filter.task_ids.insert(id);
    }
    told
}

/// A task as its client would be told of it, as members.
struct Now {
    members: String,
    is_working: bool,
}

async fn now(state: &ServerState, context: &CallContext, id: &str, side: Option<&Side>) -> Option<Now> {
    let asked = state.broker.ask_about_task(context, id, TaskStep::Get, side.cloned()).await;
    let done = asked.ok().flatten()?;
    let mut task: RawObject<'_> = serde_json::from_slice(&done.result).ok()?;
    task.remove("resultType");
    task.remove("_meta");
    let is_working = task.get("status").map(RawValue::get) == Some("\"working\"");
    let mut out = Vec::with_capacity(done.result.len());
    task.write(&mut out);
    let text = String::from_utf8(out).ok()?;
    let members = text.strip_prefix('{')?.strip_suffix('}')?.to_owned();
    Some(Now { members, is_working })
}

/// What a session's client can be asked, for the upstream session that its tasks run on.
pub(super) fn side_of_session(context: &CallContext, session: &LiveSession) -> Option<Side> {
    let request = Request { id: RequestId::Number(0), method: "tasks/get".into(), params: None };
    talk::side_of(context, &request, Some(session), None).map(|(side, _)| side)
}

impl Listener {
    /// An upstream says that something changed about a task.
    pub(super) async fn task_changed(&mut self, connection: ConnectionId, upstream_id: &str) {
        if self.session.is_none() && self.filter.task_ids.is_empty() {
            return;
        }
        let broker = &self.state.broker;
        let Ok(Some(id)) = broker.task_of_upstream(&self.context, connection, upstream_id).await else {
            return;
        };
        let id = id.to_string();
        if self.session.is_some() || self.filter.task_ids.contains(&id) {
            self.tell_of_task(&id).await;
        }
    }

    pub(super) async fn all_tasks_may_have_changed(&mut self) {
        let ids: Vec<String> = self.filter.task_ids.iter().cloned().collect();
        for id in ids {
            self.tell_of_task(&id).await;
        }
    }

    async fn tell_of_task(&mut self, id: &str) {
        let Some(task) = now(&self.state, &self.context, id, self.side.as_ref()).await else { return };
        let method = if self.session.is_some() { CHANGED_LEGACY } else { CHANGED };
        self.say(method, &task.members);
    }
}
