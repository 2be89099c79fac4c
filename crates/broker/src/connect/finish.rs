//! The browser is back: whose it is is checked before anything is asked, the state is burned before the code is
//! exchanged, and only a listing of the tools makes it `connected`.

use serde_json::json;
use switchboard_domain::{
    AuditEvent, AuditOutcome, AuditPhase, AuditRecord, AuthType, AuthorizationId, Connection, ConnectionId,
    CredentialMode, CredentialOwner, Principal,
};
use switchboard_oauth::{
    Parameters,
    upstream::{AnswerError, AuthorizationAnswer, TokenAnswer},
};
use switchboard_storage::{UpstreamAuthorization, UpstreamAuthorizationStatus};
use switchboard_vault::{TokenHash, parse_opaque};

use super::{
    ConnectFailure,
    client::KnownAs,
    start::{Kept, expired, unknown, wrong_member},
    token_endpoint::TokenRequestError,
};
use crate::{
    Broker, SignedIn, UpstreamTokens, audit,
    manage::{Operation, Target, authorize},
    text,
};

/// At which address of ours a browser turned up.
#[derive(Debug, Clone)]
pub enum Callback {
    Connection(ConnectionId),
    /// Of a client of the operator's, by name.
    Operator(String),
}

/// Whether it can be shown what became of it, and to whom it belongs.
#[derive(Debug)]
pub enum Finished {
    /// Of the person at the browser: its own page says what became of it.
    Known(AuthorizationId),
    /// Nothing of theirs.
    Refused(ConnectFailure),
}

impl Broker {
    /// Takes what a browser brings back from a provider. `browser` is its cookie.
    pub async fn finish_authorization(
        &self,
        callback: &Callback,
        parameters: &Parameters,
        signed_in: Option<&SignedIn>,
        browser: Option<&str>,
    ) -> Finished {
        let (found, connection) = match self.begun_with(parameters).await {
            Ok(begun) => begun,
            Err(failure) => return Finished::Refused(failure),
        };
        let checked = self.check_callback(callback, &found, (signed_in, browser), &connection).await;
        // Shown anywhere but where it belongs, a state is worth nothing from then on.
        let burned = match self.burn(&found).await {
            Ok(burned) => burned,
            Err(failure) => return Finished::Refused(failure),
        };
        let is_theirs = signed_in
            .is_some_and(|it| it.member == found.member && it.principal.organization == found.organization);
        let kept = match checked {
            Ok(_) if !burned => Err(expired()),
            checked => checked,
        };
        let kept = match kept {
            Ok(kept) => kept,
            Err(failure) => {
                return self.refuse(&found, &connection, (signed_in, is_theirs, burned), failure).await;
            }
        };
        let answer = AuthorizationAnswer::parse(
            parameters,
            (!kept.found.by_hand).then_some(kept.found.server.issuer.as_str()),
            kept.found.server.sends_issuer,
        );
        // In a task of its own: when the person closes the window now, what the provider issues is not lost.
        let (broker, id) = (self.clone(), found.id);
        let work = tokio::spawn(async move { broker.settle(found, connection, kept, answer).await });
        match work.await {
            Ok(()) => Finished::Known(id),
            Err(error) => {
                tracing::error!(%error, "a sign-in at a third-party server broke off");
                Finished::Refused(ConnectFailure::unavailable())
            }
        }
    }

    async fn begun_with(
        &self,
        parameters: &Parameters,
    ) -> Result<(UpstreamAuthorization, Connection), ConnectFailure> {
        let state = parameters.get("state").ok_or_else(unknown)?;
        let hash = parse_opaque("", state).map_err(|_| unknown())?;
        let mut tx = self.db().read().await?;
        let found = tx.upstream_authorizations().find_by_state(hash.as_bytes()).await?.ok_or_else(unknown)?;
        let connection = tx.connections().find(found.organization, found.connection).await?;
        Ok((found, connection.ok_or_else(unknown)?))
    }

    /// Everything that has to be true before a token is asked for.
    async fn check_callback(
        &self,
        callback: &Callback,
        found: &UpstreamAuthorization,
        (signed_in, browser): (Option<&SignedIn>, Option<&str>),
        connection: &Connection,
    ) -> Result<Kept, ConnectFailure> {
        let signed_in = signed_in.ok_or_else(|| {
            ConnectFailure::new(
                "signed_out",
                "You are no longer signed in to Switchboard in this browser. Sign in and start again.",
            )
        })?;
        let organization = signed_in.principal.organization;
        if signed_in.member != found.member || organization != found.organization {
            return Err(wrong_member());
        }
        let browser = browser.and_then(|cookie| parse_opaque("", cookie).ok());
        if browser.is_none() || browser != found.browser_hash.map(TokenHash) {
            return Err(ConnectFailure::new(
                "wrong_browser",
                "This sign-in began in another browser, and has to end there. Start again in this one.",
            ));
        }
        if found.expires_at <= self.clock().now() {
            return Err(expired());
        }
        let kept: Kept = serde_json::from_value(found.request.clone()).map_err(|_| unknown())?;
        let at_home = match (callback, &kept.known_as) {
            (Callback::Connection(id), KnownAs::Stored | KnownAs::Document) => *id == found.connection,
            (Callback::Operator(name), KnownAs::Operator(known)) => name == known,
            _ => false,
        };
        if !at_home {
            return Err(ConnectFailure::new(
                "wrong_callback",
                "The provider sent you back to the address of another connection. Nothing was connected.",
            ));
        }
        let moved = connection.url != kept.url
            || connection.auth_type != AuthType::OAuth
            || found.shared != (connection.credential_mode == CredentialMode::Shared)
            || !connection.switches.enabled;
        if moved || !self.may_still_connect(&signed_in.principal, found).await {
            return Err(ConnectFailure::new(
                "connection_changed",
                "The connection, or what you may do with it, was changed while you were away. Start again.",
            ));
        }
        Ok(kept)
    }

    /// Whoever began may no longer be an admin, or no longer be granted the connection.
    async fn may_still_connect(&self, principal: &Principal, found: &UpstreamAuthorization) -> bool {
        let Ok(known) = self.known_connection(found.organization, found.connection).await else {
            return false;
        };
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        let operation = match found.shared {
            true => Operation::StartSharedAuthorization,
            false => Operation::StartOwnAuthorization,
        };
        authorize(principal, operation, target).is_ok()
    }

    /// Whether it was still good.
    async fn burn(&self, found: &UpstreamAuthorization) -> Result<bool, ConnectFailure> {
        let mut tx = self.db().write().await?;
        let now = self.clock().now();
        let burned = tx.upstream_authorizations().burn(found.organization, found.id, now).await?;
        tx.commit().await?;
        Ok(burned)
    }

    async fn refuse(
        &self,
        found: &UpstreamAuthorization,
        connection: &Connection,
        (signed_in, is_theirs, burned): (Option<&SignedIn>, bool, bool),
        failure: ConnectFailure,
    ) -> Finished {
        let member = signed_in.map_or(found.member, |signed_in| signed_in.member);
        if let Err(failure) = self.record_refused_authorization(connection, member, &failure, found.id).await
        {
            return Finished::Refused(failure);
        }
        if burned && let Err(failure) = self.fail(found, &failure).await {
            return Finished::Refused(failure);
        }
        // A second answer to the same state says nothing new about the first.
        if is_theirs && burned { Finished::Known(found.id) } else { Finished::Refused(failure) }
    }

    async fn fail(&self, found: &UpstreamAuthorization, why: &ConnectFailure) -> Result<(), ConnectFailure> {
        let status = UpstreamAuthorizationStatus::Error;
        let why = Some((why.reason, why.message.as_str()));
        let mut tx = self.db().write().await?;
        tx.upstream_authorizations().finish(found.organization, found.id, status, why).await?;
        Ok(tx.commit().await?)
    }

    /// The code becomes tokens, the tokens a connection that works; or it is said why not.
    async fn settle(
        &self,
        found: UpstreamAuthorization,
        connection: Connection,
        kept: Kept,
        answer: Result<AuthorizationAnswer, AnswerError>,
    ) {
        let outcome = self.connect(&found, &connection, &kept, answer).await;
        let (status, why) = match &outcome {
            Ok(()) => (UpstreamAuthorizationStatus::Connected, None),
            Err(failure) => {
                (UpstreamAuthorizationStatus::Error, Some((failure.reason, failure.message.as_str())))
            }
        };
        let recorded = async {
            let mut tx = self.db().write().await?;
            tx.upstream_authorizations().finish(found.organization, found.id, status, why).await?;
            Ok::<_, ConnectFailure>(
                self.commit_recorded(tx, self.settled(&found, &connection, &kept, why)).await?,
            )
        };
        if let Err(failure) = recorded.await {
            tracing::error!(reason = failure.reason, "what became of a sign-in can't be put on record");
        }
        if status == UpstreamAuthorizationStatus::Error {
            tracing::info!(connection = %connection.slug, ?why, "a sign-in at a third-party server failed");
        }
    }

    fn settled(
        &self,
        found: &UpstreamAuthorization,
        connection: &Connection,
        kept: &Kept,
        why: Option<(&str, &str)>,
    ) -> AuditEvent {
        let outcome = if why.is_none() { AuditOutcome::Ok } else { AuditOutcome::Failed };
        let record = AuditRecord {
            actor: Some(json!({ "type": "member", "id": found.member })),
            connection: Some(connection.id.to_string()),
            target: Some(connection.slug.to_string()),
            outcome: Some(outcome),
            code: why.map(|(reason, _)| reason.to_owned()),
            details: Some(json!({
                "authorization": found.id, "issuer": kept.found.server.issuer, "shared": found.shared,
            })),
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        audit::event(found.organization, now, AuditPhase::Event, "authorization.finish", record)
    }

    async fn connect(
        &self,
        found: &UpstreamAuthorization,
        connection: &Connection,
        kept: &Kept,
        answer: Result<AuthorizationAnswer, AnswerError>,
    ) -> Result<(), ConnectFailure> {
        let code = code_of(answer)?;
        let tokens = self.tokens_for_code(found, connection, kept, &code).await?;
        let owner =
            if found.shared { CredentialOwner::Shared } else { CredentialOwner::Member(found.member) };
        self.store_tokens(connection, owner, tokens).await?;
        let diagnosis = self.check(connection.organization, connection.id, Some(owner)).await;
        let diagnosis = diagnosis.map_err(|error| {
            tracing::error!(%error, "a connection can't be checked");
            ConnectFailure::unavailable()
        })?;
        match diagnosis.failed {
            None => Ok(()),
            Some(_) => Err(ConnectFailure::new(
                "signed_in_but_unusable",
                format!("You are signed in, but {}", lower_first(&diagnosis.message)),
            )),
        }
    }

    async fn tokens_for_code(
        &self,
        found: &UpstreamAuthorization,
        connection: &Connection,
        kept: &Kept,
        code: &str,
    ) -> Result<UpstreamTokens, ConnectFailure> {
        let verifier = self.verifier(connection, found).await?;
        let client = self.client_again(connection, (&kept.known_as, &kept.client_id), &kept.found).await?;
        let server = &kept.found.server;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", kept.redirect_uri.as_str()),
            ("code_verifier", verifier.expose()),
            ("resource", kept.found.resource.as_str()),
        ];
        let asked_at = self.clock().now();
        let answer = self.request_tokens(&server.token_endpoint, &client, &fields).await;
        let answer: TokenAnswer = match answer {
            Ok(answer) => answer,
            Err(TokenRequestError::Egress(error)) => {
                return Err(ConnectFailure::egress("the provider's token endpoint", &error));
            }
            Err(TokenRequestError::Answer(error)) => {
                let failure = ConnectFailure::token(&error);
                if failure.reason == "client_rejected" && kept.known_as == KnownAs::Stored {
                    self.forget_registration(connection).await?;
                }
                return Err(failure);
            }
        };
        let lifetime = answer.expires_in.map(std::time::Duration::from_secs);
        Ok(UpstreamTokens {
            access_token: answer.access_token,
            token_type: "Bearer".into(),
            refresh_token: answer.refresh_token,
            scopes: answer.scopes.unwrap_or_else(|| kept.found.scopes.clone()),
            issuer: server.issuer.clone(),
            token_endpoint: server.token_endpoint.clone(),
            revocation_endpoint: server.revocation_endpoint.clone(),
            client,
            resource: Some(kept.found.resource.clone()),
            expires_at: lifetime.map(|lifetime| asked_at.plus(lifetime)),
        })
    }

    /// The provider no longer knows us: the next sign-in registers anew. An admin's client stays.
    async fn forget_registration(&self, connection: &Connection) -> Result<(), ConnectFailure> {
        let row = self.stored_client(connection).await?;
        if row.is_some_and(|row| row.kind == switchboard_storage::UpstreamClientKind::Dynamic) {
            self.drop_client(connection).await?;
        }
        Ok(())
    }
}

fn code_of(answer: Result<AuthorizationAnswer, AnswerError>) -> Result<String, ConnectFailure> {
    match answer {
        Ok(AuthorizationAnswer::Code(code)) => Ok(code),
        Ok(AuthorizationAnswer::Refused { error, .. }) if error == "access_denied" => {
            Err(ConnectFailure::new(
                "declined",
                "You, or the provider for you, did not allow it. Nothing was connected.",
            ))
        }
        Ok(AuthorizationAnswer::Refused { error, description }) => {
            let said = [Some(error), description].into_iter().flatten();
            let said: Vec<_> = said.map(|words| text::one_line(&words, 200)).collect();
            let message = format!("The provider refused, and says: \u{201c}{}\u{201d}.", said.join(": "));
            Err(ConnectFailure::new("provider_refused", message))
        }
        Err(AnswerError::OtherIssuer) => Err(ConnectFailure::new(
            "issuer_mismatch",
            "The answer comes from another authorization server than the one you were sent to. Nothing was connected.",
        )),
        Err(AnswerError::Shape) => Err(ConnectFailure::new(
            "answer_invalid",
            "The provider sent you back without a code. Nothing was connected.",
        )),
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
