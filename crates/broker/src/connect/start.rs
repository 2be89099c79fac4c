//! A member begins: everything is found out before their browser is sent away, and what was found is kept until it is
//! back. The state exists only from the moment the browser leaves, and is tied to it by a cookie.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, AuthType, AuthorizationId, Caller, Connection, ConnectionId,
    CredentialMode, MemberId, Principal, SecretValue, Timestamp,
};
use switchboard_oauth::upstream::{AuthorizationUrl, Verifier};
use switchboard_storage::{SentAway, UpstreamAuthorization, UpstreamAuthorizationStatus};
use switchboard_vault::{SealContext, issue_opaque, open, parse_opaque, seal};

use super::{ConnectFailure, client::KnownAs, discovery::Found};
use crate::{
    Broker, SignedIn, audit,
    manage::{Operation, Refusal, Target, authorize, change_of},
};

/// How long a person has at the provider.
const WAITS: Duration = Duration::from_secs(600);

/// What is kept while a browser is away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) found: Found,
    pub(super) client_id: String,
    pub(super) known_as: KnownAs,
    pub(super) redirect_uri: String,
    /// Where the connection led: what was found is of there.
    pub(super) url: String,
}

/// A sign-in that was begun.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StartedAuthorization)]
pub struct StartedAuthorization {
    /// A page of ours to open in the browser of whoever began: it checks who they are and leads to the provider.
    pub authorization_url: String,
    /// For `GET /authorizations/{id}`.
    #[schema(value_type = String)]
    pub state_id: AuthorizationId,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// What became of a sign-in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Authorization)]
pub struct AuthorizationView {
    #[schema(value_type = String)]
    pub state_id: AuthorizationId,
    #[schema(value_type = String)]
    pub connection: ConnectionId,
    /// `pending`, `connected` or `error`.
    pub status: &'static str,
    /// With `error`: a stable code.
    pub reason: Option<String>,
    pub message: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl Broker {
    /// Begins signing in at the provider: the shared account (admins), or the caller's own.
    pub async fn start_authorization(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<StartedAuthorization, Refusal> {
        let known = self.known_connection(principal.organization, id).await?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let connection = &*known.connection;
        let operation = match connection.credential_mode {
            CredentialMode::Shared => Operation::StartSharedAuthorization,
            CredentialMode::PerMember => Operation::StartOwnAuthorization,
        };
        let allowed = authorize(principal, operation, target)?;
        check_can_start(connection)?;
        let member = principal.member().ok_or_else(|| {
            Refusal::invalid(
                "no_person",
                "A person has to sign in at the provider, which a service account can't. A member with the same rights \
                 can start it.",
            )
        })?;
        let kept = match self.prepared(connection).await {
            Ok(kept) => kept,
            Err(failure) => {
                if known.credentials.is_empty() || failure.reason == "authorization_server_changed" {
                    self.note_failure(connection, &failure).await?;
                }
                return Err(failure.into());
            }
        };
        let now = self.clock().now();
        let begun = UpstreamAuthorization {
            organization: principal.organization,
            id: AuthorizationId::new(self.clock(), self.random()),
            connection: id,
            member,
            shared: connection.credential_mode == CredentialMode::Shared,
            status: UpstreamAuthorizationStatus::Pending,
            reason: None,
            message: None,
            browser_hash: None,
            created_at: now,
            expires_at: now.plus(WAITS),
            used_at: None,
            request: serde_json::to_value(&kept).map_err(|_| Refusal::unavailable())?,
            sealed: None,
        };
        let mut tx = self.db().write().await?;
        tx.upstream_authorizations().insert(&begun).await?;
        let details = json!({
            "authorization": begun.id, "issuer": kept.found.server.issuer, "scopes": kept.found.scopes,
            "shared": begun.shared,
        });
        self.commit_change(&allowed, tx, change_of(connection, details)).await?;
        Ok(StartedAuthorization {
            authorization_url: format!("{}/connect/{}", self.issuer(), begun.id),
            state_id: begun.id,
            expires_at: begun.expires_at,
        })
    }

    /// Everything that has to be known before a person is sent away.
    async fn prepared(&self, connection: &Connection) -> Result<Kept, ConnectFailure> {
        let found = self.discover(connection).await?;
        let ready = self.client_for(connection, &found).await?;
        self.remember_issuer(connection, &found).await?;
        Ok(Kept {
            client_id: ready.client.id,
            known_as: ready.known_as,
            redirect_uri: ready.redirect_uri,
            url: connection.url.clone(),
            found,
        })
    }

    /// What became of it; for whoever began, and for admins.
    pub async fn read_authorization(
        &self,
        principal: &Principal,
        id: AuthorizationId,
    ) -> Result<AuthorizationView, Refusal> {
        let mut reader = self.db().single().await?;
        let found = reader.upstream_authorizations().find(principal.organization, id).await?;
        let found = found.ok_or_else(Refusal::not_found)?;
        let target = Target::Of(Caller::Member(found.member));
        let _allowed = authorize(principal, Operation::ReadAuthorization, target)?;
        Ok(self.authorization_view(&found))
    }

    /// For the page of whoever is at the browser: their own only.
    pub async fn own_authorization(
        &self,
        signed_in: &SignedIn,
        id: AuthorizationId,
    ) -> Result<Option<(AuthorizationView, String)>, Refusal> {
        let organization = signed_in.principal.organization;
        let mut tx = self.db().read().await?;
        let found = tx.upstream_authorizations().find(organization, id).await?;
        let Some(found) = found.filter(|found| found.member == signed_in.member) else { return Ok(None) };
        let connection = tx.connections().find(organization, found.connection).await?;
        let name = connection.map(|connection| connection.name).unwrap_or_default();
        Ok(Some((self.authorization_view(&found), name)))
    }

    fn authorization_view(&self, found: &UpstreamAuthorization) -> AuthorizationView {
        let waits = found.status == UpstreamAuthorizationStatus::Pending;
        let late = waits && found.used_at.is_none() && found.expires_at <= self.clock().now();
        let (status, reason, message) = if late {
            ("error", Some("expired".to_owned()), Some(EXPIRED.to_owned()))
        } else {
            (found.status.as_str(), found.reason.clone(), found.message.clone())
        };
        let (state_id, connection) = (found.id, found.connection);
        AuthorizationView { state_id, connection, status, reason, message, expires_at: found.expires_at }
    }

    /// The browser is here and leaves for the provider: where to. Only whoever began may go.
    pub async fn send_away(
        &self,
        signed_in: &SignedIn,
        id: AuthorizationId,
        browser: &str,
    ) -> Result<String, ConnectFailure> {
        let organization = signed_in.principal.organization;
        let mut tx = self.db().read().await?;
        let found = tx.upstream_authorizations().find(organization, id).await?.ok_or_else(unknown)?;
        let connection = tx.connections().find(organization, found.connection).await?.ok_or_else(unknown)?;
        drop(tx);
        if found.member != signed_in.member {
            let failure = wrong_member();
            self.record_refused_authorization(&connection, signed_in.member, &failure, found.id).await?;
            return Err(failure);
        }
        if found.used_at.is_some() || found.expires_at <= self.clock().now() {
            return Err(expired());
        }
        let kept: Kept = serde_json::from_value(found.request).map_err(|_| unknown())?;
        let state = issue_opaque("", self.random());
        let verifier = Verifier::new(self.random());
        let browser = parse_opaque("", browser).map_err(|_| ConnectFailure::unavailable())?;
        let key = self.0.keys.active(organization).await?;
        let context = verifier_context(&connection, found.id);
        let sealed = seal(&key.key, &context, verifier.secret().expose().as_bytes(), self.random());
        let sent = SentAway {
            state_hash: state.hash.as_bytes(),
            browser_hash: browser.as_bytes(),
            data_key: key.id,
            sealed: &sealed,
        };
        let mut tx = self.db().write().await?;
        if !tx.upstream_authorizations().send_away(organization, id, sent, self.clock().now()).await? {
            return Err(expired());
        }
        tx.commit().await?;
        let config = connection.auth.oauth.clone().unwrap_or_default();
        let url = AuthorizationUrl {
            endpoint: &kept.found.server.authorization_endpoint,
            client_id: &kept.client_id,
            redirect_uri: &kept.redirect_uri,
            state: state.secret.expose(),
            code_challenge: &verifier.challenge(),
            scopes: &kept.found.scopes,
            resource: &kept.found.resource,
            more: &config.authorization_parameters,
        };
        url.build().ok_or_else(unknown)
    }

    pub(super) async fn verifier(
        &self,
        connection: &Connection,
        found: &UpstreamAuthorization,
    ) -> Result<SecretValue, ConnectFailure> {
        let (key, sealed) = found.sealed.as_ref().ok_or_else(unknown)?;
        let key = self.0.keys.by_id(found.organization, *key).await?.ok_or_else(unknown)?;
        let plain = open(&key.key, &verifier_context(connection, found.id), sealed).map_err(|_| unknown())?;
        std::str::from_utf8(&plain).map(SecretValue::new).map_err(|_| unknown())
    }

    /// Somebody or something else than it should be turned up: on record, and nothing else happened.
    pub(super) async fn record_refused_authorization(
        &self,
        connection: &Connection,
        member: MemberId,
        failure: &ConnectFailure,
        authorization: AuthorizationId,
    ) -> Result<(), ConnectFailure> {
        let record = AuditRecord {
            actor: Some(json!({ "type": "member", "id": member })),
            connection: Some(connection.id.to_string()),
            target: Some(connection.slug.to_string()),
            outcome: Some(AuditOutcome::Refused),
            code: Some(failure.reason.to_owned()),
            details: Some(json!({ "authorization": authorization })),
            ..AuditRecord::default()
        };
        let (organization, now) = (connection.organization, self.clock().now());
        let event = audit::event(organization, now, AuditPhase::Event, "authorization.finish", record);
        let tx = self.db().write().await?;
        Ok(self.commit_recorded(tx, event).await?)
    }
}

fn check_can_start(connection: &Connection) -> Result<(), Refusal> {
    let name = &connection.name;
    if connection.auth_type != AuthType::OAuth {
        let word = connection.auth_type.as_str();
        return Err(Refusal::conflict(
            "no_sign_in",
            format!(
                "{name} has `auth_type: {word}`: nobody signs in there. Only `oauth` connections are authorized."
            ),
        ));
    }
    if !connection.switches.enabled {
        return Err(Refusal::conflict(
            "connection_disabled",
            format!("{name} is switched off. Switch it on (`enabled: true`), then sign in."),
        ));
    }
    Ok(())
}

fn verifier_context(connection: &Connection, id: AuthorizationId) -> SealContext {
    SealContext {
        organization: connection.organization,
        table: "upstream_authorization",
        row: id.as_uuid(),
        owner: None,
        field: "verifier",
        version: 1,
    }
}

const EXPIRED: &str = "This sign-in is over: it was used already, or ten minutes have passed. Start again.";

pub(super) fn expired() -> ConnectFailure {
    ConnectFailure::new("expired", EXPIRED)
}

pub(super) fn unknown() -> ConnectFailure {
    ConnectFailure::new("unknown_authorization", "There is no such sign-in. Start again where you began.")
}

pub(super) fn wrong_member() -> ConnectFailure {
    ConnectFailure::new(
        "wrong_member",
        "Somebody else began this sign-in, and only they can finish it. If a person sent you this link, don't sign in: \
         your account would become theirs to use.",
    )
}
