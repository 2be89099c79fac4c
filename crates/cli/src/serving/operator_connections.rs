//! Keeps the operator's connections in every organization, also in those made while the server runs.

use std::time::Duration;

use switchboard_broker::Broker;
use switchboard_domain::Transport;

use crate::{
    config::Config,
    operator::{OperatorConnection, insert_missing},
};

/// How soon a new organization has them.
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn wanted(config: &Config, with_sample: bool) -> Vec<OperatorConnection> {
    let stdio = config.stdio.iter().filter_map(|entry| {
        Some(OperatorConnection {
            slug: entry.slug.parse().ok()?,
            name: entry.slug.clone(),
            transport: Transport::Stdio,
            for_everyone: false,
        })
    });
    stdio.chain(with_sample.then(super::sample_connection)).collect()
}

/// Makes what is missing now, and goes on looking for as long as the broker lives.
pub(super) async fn keep(broker: &Broker, wanted: Vec<OperatorConnection>) {
    if wanted.is_empty() {
        return;
    }
    make(broker, &wanted).await;
    let broker = broker.clone();
    tokio::spawn(async move {
        let mut seen = count(&broker).await;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = count(&broker).await;
            if now != seen {
                make(&broker, &wanted).await;
                seen = now;
            }
        }
    });
}

async fn count(broker: &Broker) -> Option<usize> {
    let mut tx = broker.db().single().await.ok()?;
    tx.organizations().versions().await.ok().map(|versions| versions.len())
}

async fn make(broker: &Broker, wanted: &[OperatorConnection]) {
    let made = match insert_missing(broker.db(), wanted, broker.clock(), broker.random()).await {
        Ok(made) => made,
        Err(error) => {
            tracing::error!(%error, "the operator's connections can't be made");
            return;
        }
    };
    for (organization, connection) in made {
        if let Err(error) = broker.check(organization, connection, None).await {
            tracing::warn!(%error, %connection, "a new connection could not be checked");
        }
    }
}
