//! A connection that nobody has signed in to yet: how far it is, found out without signing in.

use switchboard_domain::{Action, ActionType, Actor, Connection, ConnectionStatus, Diagnosis, Stage, Status};
use switchboard_storage::StorageError;

use super::{ConnectFailure, discovery::Found};
use crate::Broker;

impl Broker {
    /// Asks the server whose tokens it takes, and says whether a person can sign in now.
    pub(crate) async fn check_without_tokens(
        &self,
        connection: &Connection,
    ) -> Result<Diagnosis, StorageError> {
        let started = tokio::time::Instant::now();
        let prepared = match self.discover(connection).await {
            Ok(found) => self.can_be_known(connection, &found).await,
            Err(failure) => Err(failure),
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, diagnosis) = self.verdict_without_tokens(connection, prepared, duration_ms);
        self.note_prepared(connection, status, &diagnosis).await?;
        Ok(diagnosis)
    }

    /// Whether a sign-in could begin, without registering for it.
    async fn can_be_known(&self, connection: &Connection, found: &Found) -> Result<(), ConnectFailure> {
        use switchboard_domain::ClientRegistration as R;
        let config = connection.auth.oauth.clone().unwrap_or_default();
        let registers = matches!(config.registration, R::Auto | R::Dynamic)
            && found.server.registration_endpoint.is_some();
        if config.client_id.is_none() && registers {
            return Ok(());
        }
        self.client_for(connection, found).await.map(drop)
    }

    fn verdict_without_tokens(
        &self,
        connection: &Connection,
        prepared: Result<(), ConnectFailure>,
        duration_ms: u64,
    ) -> (ConnectionStatus, Diagnosis) {
        let name = &connection.name;
        let url = self.connection_page(connection.id);
        let failure = match prepared {
            Ok(()) => {
                let mut nobody = ConnectFailure::new(
                    "credential_missing",
                    format!("{name} is ready: sign in there to use it."),
                )
                .by(Actor::Member, ActionType::Connect);
                nobody.status = ConnectionStatus::NeedsConnection;
                nobody
            }
            Err(failure) => failure,
        };
        let label = match failure.action {
            ActionType::Connect => format!("Connect {name}"),
            ActionType::Retry => format!("Check {name} again"),
            ActionType::Review => format!("Review the authorization server of {name}"),
            ActionType::Contact => format!("Ask who runs {name}"),
            _ => format!("Set up how {name} signs in"),
        };
        let diagnosis = Diagnosis {
            reached: Some(Stage::Http),
            failed: Some(Stage::Auth),
            reason: Some(failure.reason.to_owned()),
            message: failure.message,
            actor: Some(failure.actor),
            action: Some(Action { kind: failure.action, label, url }),
            duration_ms,
        };
        (failure.status, diagnosis)
    }

    /// Says of the connection what stopped a sign-in, unless somebody is connected to it.
    pub(super) async fn note_failure(
        &self,
        connection: &Connection,
        failure: &ConnectFailure,
    ) -> Result<(), StorageError> {
        if failure.reason == "unavailable" {
            return Ok(());
        }
        let (status, diagnosis) = self.verdict_without_tokens(connection, Err(failure.clone()), 0);
        self.note_prepared(connection, status, &diagnosis).await
    }

    async fn note_prepared(
        &self,
        connection: &Connection,
        status: ConnectionStatus,
        diagnosis: &Diagnosis,
    ) -> Result<(), StorageError> {
        let now = self.clock().now();
        let since = if connection.status.status == status { connection.status.since } else { now };
        let stored = Status {
            status,
            reason: diagnosis.reason.clone(),
            message: Some(diagnosis.message.clone()),
            since,
            checked_at: Some(now),
            diagnosis: Some(diagnosis.clone()),
        };
        let mut tx = self.db().write().await?;
        tx.connections().set_status(connection.organization, connection.id, &stored).await?;
        tx.commit().await?;
        self.refresh_snapshots().await
    }
}
