//! A person decides: the request waits under an address only their browser was told, tied to a cookie of that
//! browser, and is decided once, by whoever is signed in there (THREATS S1, S8).

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};
use switchboard_domain::{Caller, OauthGrantId, OrganizationId, Resource, Scopes, SecretValue, ToolkitId};
use switchboard_oauth::{
    Audience, AuthorizationRequest, ErrorCode, OauthError, RedirectUri, ResourceIndicator, well_known_client,
};
use switchboard_storage::{OauthClient, OauthClientKind, OauthCode, OauthGrant, OauthRequest, Tx};
use switchboard_vault::{TokenHash, TokenKind, issue, issue_opaque, parse_opaque};

use super::{AuthorizationError, first_party::audience, record::Step, settings::check};
use crate::{Broker, session::SignedIn, surface};

/// How long a person has to decide.
const WAITS: Duration = Duration::from_secs(600);

/// What is kept of a request while it waits.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    client_id: String,
    /// Of the client as the person is shown it.
    fingerprint: String,
    redirect_uri: String,
    scopes: Scopes,
    resource: String,
    challenge: String,
    state: Option<String>,
}

/// A request that was found in order, with who brought it.
#[derive(Debug)]
pub struct Asked<'a> {
    pub client: &'a OauthClient,
    pub redirect_uri: &'a RedirectUri,
    pub request: &'a AuthorizationRequest,
    /// The browser's cookie.
    pub browser: &'a str,
    pub source: Option<IpAddr>,
}

/// A request that waits for a person's word.
#[derive(Debug)]
pub struct PendingAuthorization {
    pub client: OauthClient,
    pub redirect_uri: RedirectUri,
    pub scopes: Scopes,
    pub resource: ResourceIndicator,
    hash: [u8; 32],
    challenge: String,
    state: Option<String>,
}

/// A toolkit that a person may narrow a client to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolkitChoice {
    pub id: ToolkitId,
    pub name: String,
    pub slug: String,
}

impl Broker {
    /// A secret for a browser that has none: what ties a request to it.
    pub fn new_browser_secret(&self) -> SecretValue {
        issue_opaque("", self.random()).secret
    }

    /// Puts a request down and says under which name the person finds it.
    pub async fn begin_authorization(&self, asked: Asked<'_>) -> Result<SecretValue, AuthorizationError> {
        check(&self.0.authorization_limits.requests, asked.source, "oauth.requests_per_minute")?;
        let browser_hash = hash_of(asked.browser)?;
        let handle = issue_opaque("", self.random());
        let now = self.clock().now();
        let kept = Kept {
            client_id: asked.client.client_id.clone(),
            fingerprint: hex::encode(asked.client.fingerprint),
            redirect_uri: asked.redirect_uri.as_str().to_owned(),
            scopes: asked.request.scopes,
            resource: asked.request.resource.path(),
            challenge: asked.request.challenge.as_str().to_owned(),
            state: asked.request.state.clone(),
        };
        let request = OauthRequest {
            hash: handle.hash.0,
            client: asked.client.id,
            browser_hash: browser_hash.0,
            created_at: now,
            expires_at: now.plus(WAITS),
            decided_at: None,
            request: serde_json::to_value(&kept).map_err(|_| expired())?,
        };
        let mut tx = self.db().write().await?;
        tx.oauth_requests().insert(&request).await?;
        tx.commit().await?;
        Ok(handle.secret)
    }

    /// The request of this name, for the browser that brought it and for no other.
    pub async fn pending_authorization(
        &self,
        handle: &str,
        browser: &str,
    ) -> Result<PendingAuthorization, AuthorizationError> {
        let (hash, browser) = (hash_of(handle)?, hash_of(browser)?);
        let mut tx = self.db().read().await?;
        let found = tx.oauth_requests().find(hash.as_bytes()).await?.ok_or_else(expired)?;
        let over = found.decided_at.is_some() || found.expires_at <= self.clock().now();
        if over || TokenHash(found.browser_hash) != browser {
            return Err(expired());
        }
        let kept: Kept = serde_json::from_value(found.request).map_err(|_| expired())?;
        let client = tx.oauth_clients().find(&kept.client_id).await?.ok_or_else(expired)?;
        // What the client says of itself changed since: the person would allow another.
        if client.disabled_at.is_some() || hex::encode(client.fingerprint) != kept.fingerprint {
            return Err(expired());
        }
        Ok(PendingAuthorization {
            client,
            redirect_uri: RedirectUri::parse(&kept.redirect_uri).map_err(|_| expired())?,
            scopes: kept.scopes,
            resource: ResourceIndicator::from_path(&kept.resource).ok_or_else(expired)?,
            hash: found.hash,
            challenge: kept.challenge,
            state: kept.state,
        })
    }

    /// Whether a browser may be sent to this client without anybody's word: when somebody in the organization of who is
    /// signed in allowed it. Otherwise whoever registers a client, or writes a document of one, could have our address
    /// lead to any page (RFC 9700 section 4.11.2).
    pub async fn may_lead_back(&self, client: &OauthClient, person: Option<&SignedIn>) -> bool {
        match client.kind {
            OauthClientKind::Static | OauthClientKind::FirstParty | OauthClientKind::ServiceAccount => {
                return true;
            }
            OauthClientKind::Document if well_known_client(&client.client_id).is_some() => return true,
            OauthClientKind::Document | OauthClientKind::Dynamic => {}
        }
        let Some(person) = person else { return false };
        let allowed = async {
            let mut tx = self.db().single().await?;
            tx.oauth_grants().any_of_client(person.principal.organization, client.id).await
        };
        // When it can't be looked up, a page does as well.
        allowed.await.unwrap_or(false)
    }

    /// Whether the endpoint asked for is one of this person's organization.
    pub fn is_of_organization(&self, pending: &PendingAuthorization, signed_in: &SignedIn) -> bool {
        pending.resource.organization.as_ref().is_none_or(|slug| {
            self.0.snapshots.organization_by_slug(slug) == Some(signed_in.principal.organization)
        })
    }

    /// Whether this person's organization lets the client in: it may be another's, or kept out by its admins.
    pub async fn is_let_in(
        &self,
        pending: &PendingAuthorization,
        signed_in: &SignedIn,
    ) -> Result<bool, AuthorizationError> {
        let mut tx = self.db().single().await?;
        let is_let_in = is_let_in(&mut tx, &pending.client, signed_in.principal.organization).await?;
        drop(tx);
        if !is_let_in {
            let grant = self.grant(pending, signed_in);
            let step = Step::done("oauth.consent", &grant, &pending.client);
            self.record_refused_step(step.refused("client_kept_out")).await;
        }
        Ok(is_let_in)
    }

    /// The toolkits this person may use, by name: what a client for `/mcp` can be narrowed to. Every other endpoint
    /// is as narrow as it is.
    pub fn toolkit_choices(
        &self,
        pending: &PendingAuthorization,
        signed_in: &SignedIn,
    ) -> Vec<ToolkitChoice> {
        if pending.resource.resource != Resource::Default {
            return Vec::new();
        }
        let Some(snapshot) = self.snapshot(signed_in.principal.organization) else { return Vec::new() };
        let admitted = snapshot.toolkits.values().filter(|it| surface::admits(it, &signed_in.principal));
        let mut choices: Vec<ToolkitChoice> = admitted
            .map(|it| ToolkitChoice { id: it.id, name: it.name.clone(), slug: it.slug.to_string() })
            .collect();
        choices.sort_by(|left, right| (&left.name, &left.slug).cmp(&(&right.name, &right.slug)));
        choices
    }

    /// The person allows it, for everything they may use or (`toolkits`) for what some toolkits show of it: where the
    /// browser takes the code.
    pub async fn allow_authorization(
        &self,
        pending: &PendingAuthorization,
        signed_in: &SignedIn,
        toolkits: Option<BTreeSet<ToolkitId>>,
    ) -> Result<String, AuthorizationError> {
        let for_agents = audience(&pending.client) == Audience::Agent;
        let of_no_agent = for_agents && pending.resource.resource == Resource::Api;
        if !self.is_of_organization(pending, signed_in) || of_no_agent {
            return Err(expired());
        }
        if let Some(chosen) = &toolkits {
            let choices = self.toolkit_choices(pending, signed_in);
            let is_choice = |id: &ToolkitId| choices.iter().any(|choice| choice.id == *id);
            if chosen.is_empty() || !chosen.iter().all(is_choice) {
                let text = "a toolkit that was chosen is not there for you: load the page again and choose";
                return Err(OauthError::invalid_request(text).into());
            }
        }
        let now = self.clock().now();
        let toolkits = toolkits.map(|chosen| chosen.into_iter().collect());
        let grant = OauthGrant { toolkits, ..self.grant(pending, signed_in) };
        let code = issue(TokenKind::AuthorizationCode, self.random());
        let stored = OauthCode {
            hash: code.hash.0,
            redirect_uri: grant.redirect_uri.clone(),
            code_challenge: pending.challenge.clone(),
            expires_at: now.plus(self.settings().authorization.code_lifetime),
            used_at: None,
        };
        self.prepare_record(grant.organization).await?;
        let mut tx = self.db().write().await?;
        let let_in = is_let_in(&mut tx, &pending.client, grant.organization).await?;
        if !let_in || !tx.oauth_requests().decide(&pending.hash, now).await? {
            return Err(expired());
        }
        tx.oauth_grants().insert(&grant).await?;
        tx.oauth_grants().insert_code(&grant, &stored, now).await?;
        tx.oauth_clients().used(pending.client.id, now).await?;
        self.commit_step(tx, Step::done("oauth.consent", &grant, &pending.client)).await?;
        Ok(self.answer(&pending.redirect_uri, pending.state.as_deref(), &[("code", code.secret.expose())]))
    }

    /// The person does not: what the client is told.
    pub async fn deny_authorization(
        &self,
        pending: &PendingAuthorization,
        signed_in: &SignedIn,
    ) -> Result<String, AuthorizationError> {
        let grant = self.grant(pending, signed_in);
        self.prepare_record(grant.organization).await?;
        let mut tx = self.db().write().await?;
        if !tx.oauth_requests().decide(&pending.hash, self.clock().now()).await? {
            return Err(expired());
        }
        let step = Step::done("oauth.deny", &grant, &pending.client).refused("access_denied");
        self.commit_step(tx, step).await?;
        let denied = OauthError::new(ErrorCode::AccessDenied, "the person did not allow it");
        Ok(self.error_answer(&pending.redirect_uri, pending.state.as_deref(), &denied))
    }

    fn grant(&self, pending: &PendingAuthorization, signed_in: &SignedIn) -> OauthGrant {
        let now = self.clock().now();
        OauthGrant {
            id: OauthGrantId::new(self.clock(), self.random()),
            organization: signed_in.principal.organization,
            caller: Caller::Member(signed_in.member),
            client: pending.client.id,
            client_fingerprint: pending.client.fingerprint,
            resource: pending.resource.path(),
            scopes: pending.scopes,
            toolkits: None,
            redirect_uri: pending.redirect_uri.as_str().to_owned(),
            created_at: now,
            expires_at: now.plus(self.settings().authorization.refresh_token_lifetime),
            revoked_at: None,
        }
    }

    /// An error for the client, by way of the browser.
    pub fn error_answer(&self, to: &RedirectUri, state: Option<&str>, error: &OauthError) -> String {
        let told = [("error", error.code.as_str()), ("error_description", error.description.as_str())];
        self.answer(to, state, &told)
    }

    /// With `state` as it came and `iss`, so that no client takes the answer for another server's (RFC 9207).
    fn answer(&self, to: &RedirectUri, state: Option<&str>, told: &[(&str, &str)]) -> String {
        let mut parameters = told.to_vec();
        parameters.extend(state.map(|state| ("state", state)));
        parameters.push(("iss", self.issuer()));
        to.with(&parameters)
    }
}

async fn is_let_in(
    tx: &mut Tx,
    client: &OauthClient,
    organization: OrganizationId,
) -> Result<bool, AuthorizationError> {
    let is_others = client.owner.is_some_and(|owner| owner != organization);
    Ok(!is_others && !tx.seen_clients().keeps_out(organization, client.id).await?)
}

fn hash_of(secret: &str) -> Result<TokenHash, AuthorizationError> {
    parse_opaque("", secret).map_err(|_| expired())
}

fn expired() -> AuthorizationError {
    OauthError::invalid_request("this request is over, or was begun in another browser: start again").into()
}
