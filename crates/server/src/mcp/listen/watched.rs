//! Resources that a stream of the modern generation asks to be told of (`resourceSubscriptions`).

use std::collections::HashSet;

use switchboard_broker::CallContext;

use super::Filter;
use crate::ServerState;

/// Resources that one stream watches at most.
const MOST_WATCHED: usize = 100;

/// Watches what may be watched; the rest is left out of what is acknowledged.
pub(super) async fn watch(state: &ServerState, context: &CallContext, filter: &mut Filter) -> Watched {
    let mut resources = Vec::new();
    let mut accepted = HashSet::new();
    for uri in filter.resource_subscriptions.drain().take(MOST_WATCHED) {
        let Some(capability) = state.broker.direct_resource(context, &uri) else { continue };
        if state.broker.watch_resource(context, &capability, true).await.is_ok() {
            resources.push(capability);
            accepted.insert(uri);
        }
    }
    filter.resource_subscriptions = accepted;
    Watched { whose: Some((state.clone(), context.clone())), resources }
}

/// Resources that a stream watches; no longer when it ends.
#[derive(Default)]
pub(super) struct Watched {
    whose: Option<(ServerState, CallContext)>,
    resources: Vec<Box<str>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some((state, context)) = self.whose.take().filter(|_| !self.resources.is_empty()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let resources = std::mem::take(&mut self.resources);
        runtime.spawn(async move {
            for capability in resources {
                // A resource that may no longer be watched is not watched either.
                let _ = state.broker.watch_resource(&context, &capability, false).await;
            }
        });
    }
}
