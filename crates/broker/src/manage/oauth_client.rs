//! AI clients, for admins: which of them members signed in with, which are kept out, and those an admin makes for
//! clients that can neither register nor publish a document about themselves.

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{OauthClientId, OrganizationId, Principal, SecretValue, Timestamp};
use switchboard_oauth::{RedirectUri, fingerprint};
use switchboard_storage::{OauthClient, OauthClientKind, SeenClient, Tx};
use switchboard_vault::{TokenKind, issue};

use super::{
    Operation, Page, PageRequest, Refusal, Target, authorize, connection_input::check_name, page::is_in,
    record::Change, refusal::Violations,
};
use crate::Broker;

const MAX_REDIRECT_URIS: usize = 50;

/// An AI client, without its secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OauthClient)]
pub struct OauthClientView {
    #[schema(value_type = String)]
    pub id: OauthClientId,
    /// What it calls itself at `/oauth/authorize`: an id of ours, or the address of its document.
    pub client_id: String,
    /// `dynamic` (it registered itself), `document`, `static` (an admin made it), `first_party` (the command line).
    pub kind: &'static str,
    /// What it says its name is; nobody checked that of one that registered.
    pub name: String,
    pub redirect_uris: Vec<String>,
    /// Whether it has a secret.
    pub confidential: bool,
    pub enabled: bool,
    /// How many times members allow it right now.
    pub grants: i64,
    /// By a member of this organization.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A client to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOauthClient {
    pub name: String,
    /// Where a browser may be sent with a code: compared character by character, the port of loopback addresses aside.
    #[schema(example = json!(["http://127.0.0.1/callback"]))]
    pub redirect_uris: Vec<String>,
    /// Whether it can keep a secret, as a program on a server can.
    #[serde(default)]
    pub confidential: bool,
}

/// What to change of a client; an absent one stays. Name and redirect URIs are an admin's for static clients only.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OauthClientEdit {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub redirect_uris: Option<Vec<String>>,
    /// `false` keeps it out of the organization and ends all it was given.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// A client with a new secret, which is shown this once.
#[derive(Debug)]
pub struct CreatedOauthClient {
    pub client: OauthClientView,
    pub secret: Option<SecretValue>,
}

impl From<SeenClient> for OauthClientView {
    fn from(seen: SeenClient) -> Self {
        Self {
            id: seen.client.id,
            client_id: seen.client.client_id,
            kind: seen.client.kind.as_str(),
            name: seen.client.name,
            redirect_uris: seen.client.redirect_uris,
            confidential: seen.client.secret_hash.is_some(),
            enabled: !seen.disabled,
            grants: seen.grants,
            last_used_at: seen.last_used_at,
            created_at: seen.client.created_at,
        }
    }
}

fn checked_uris(given: &[String], violations: &mut Violations) -> Vec<String> {
    if given.is_empty() || given.len() > MAX_REDIRECT_URIS {
        violations.add("redirect_uris", format!("Name 1 to {MAX_REDIRECT_URIS}."));
    }
    let mut uris = Vec::new();
    for (index, text) in given.iter().take(MAX_REDIRECT_URIS).enumerate() {
        match RedirectUri::parse(text) {
            Ok(uri) => uris.push(uri.as_str().to_owned()),
            Err(error) => violations.add(format!("redirect_uris[{index}]"), format!("{error}.")),
        }
    }
    uris
}

fn not_ours() -> Refusal {
    Refusal::conflict(
        "not_a_static_client",
        "Only a client that an admin made here can be given another name, other redirect URIs or a secret. Others say \
         themselves what they are; you can disable or remove them.",
    )
}

impl Broker {
    pub async fn list_oauth_clients(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<OauthClientView>, Refusal> {
        self.find_oauth_clients(principal, "", page).await
    }

    /// Those with this text in their name or their identifier, which is an address of theirs for some.
    pub async fn find_oauth_clients(
        &self,
        principal: &Principal,
        text: &str,
        page: &PageRequest,
    ) -> Result<Page<OauthClientView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListOauthClients, Target::Organization)?;
        let now = self.clock().now();
        let mut seen = self.db().read().await?.seen_clients().list(principal.organization, now).await?;
        seen.retain(|seen| is_in(text, &[&seen.client.name, &seen.client.client_id]));
        let key = |seen: &SeenClient| format!("{:032x}", u128::MAX - seen.client.id.as_uuid().as_u128());
        Ok(page.cut(seen, key)?.map(OauthClientView::from))
    }

    pub async fn read_oauth_client(
        &self,
        principal: &Principal,
        id: OauthClientId,
    ) -> Result<OauthClientView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadOauthClient, Target::Organization)?;
        let mut tx = self.db().read().await?;
        Ok(self.seen_client(&mut tx, principal.organization, id).await?.into())
    }

    async fn seen_client(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        id: OauthClientId,
    ) -> Result<SeenClient, Refusal> {
        let found = tx.seen_clients().find(organization, id, self.clock().now()).await?;
        found.ok_or_else(Refusal::not_found)
    }

    pub async fn create_oauth_client(
        &self,
        principal: &Principal,
        new: NewOauthClient,
    ) -> Result<CreatedOauthClient, Refusal> {
        let allowed = authorize(principal, Operation::CreateOauthClient, Target::Organization)?;
        let mut violations = Violations::default();
        check_name(&new.name, &mut violations);
        let redirect_uris = checked_uris(&new.redirect_uris, &mut violations);
        violations.into_result()?;
        let id = OauthClientId::new(self.clock(), self.random());
        let issued = new.confidential.then(|| issue(TokenKind::ClientSecret, self.random()));
        let client_id = id.to_string();
        let client = OauthClient {
            id,
            kind: OauthClientKind::Static,
            owner: Some(principal.organization),
            name: new.name.trim().to_owned(),
            redirect_uris,
            secret_hash: issued.as_ref().map(|issued| issued.hash.0),
            // An admin vouches for it: what they change of it later asks nobody to allow it again.
            fingerprint: fingerprint(&client_id, &[], &[]),
            client_id,
            created_at: self.clock().now(),
            fresh_until: None,
            last_used_at: None,
            expires_at: None,
            disabled_at: None,
            source: None,
            scopes: None,
        };
        let mut tx = self.db().write().await?;
        tx.oauth_clients().insert(&client).await?;
        let details = json!({
            "name": client.name, "redirect_uris": client.redirect_uris, "confidential": new.confidential,
        });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        let client = self.read_oauth_client(principal, id).await?;
        Ok(CreatedOauthClient { client, secret: issued.map(|issued| issued.secret) })
    }

    pub async fn update_oauth_client(
        &self,
        principal: &Principal,
        id: OauthClientId,
        edit: OauthClientEdit,
    ) -> Result<OauthClientView, Refusal> {
        let allowed = authorize(principal, Operation::UpdateOauthClient, Target::Organization)?;
        let mut violations = Violations::default();
        if let Some(name) = &edit.name {
            check_name(name, &mut violations);
        }
        let redirect_uris = edit.redirect_uris.as_ref().map(|uris| checked_uris(uris, &mut violations));
        violations.into_result()?;
        let organization = principal.organization;
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let before = self.seen_client(&mut tx, organization, id).await?;
        let facts = |client: &OauthClient, disabled: bool| json!({ "name": client.name, "redirect_uris": client.redirect_uris, "enabled": !disabled });
        let mut client = before.client.clone();
        if edit.name.is_some() || redirect_uris.is_some() {
            if let Some(name) = &edit.name {
                name.trim().clone_into(&mut client.name);
            }
            client.redirect_uris = redirect_uris.unwrap_or(client.redirect_uris);
            if !tx.seen_clients().update(organization, &client, now).await? {
                return Err(not_ours());
            }
        }
        let disabled = edit.enabled.map_or(before.disabled, |enabled| !enabled);
        if disabled != before.disabled {
            tx.seen_clients().set_disabled(organization, &client, disabled, now).await?;
        }
        let details = json!({
            "client": client.client_id,
            "before": facts(&before.client, before.disabled),
            "after": facts(&client, disabled),
        });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.read_oauth_client(principal, id).await
    }

    /// With all it was given here; in force on every replica within a second.
    pub async fn remove_oauth_client(&self, principal: &Principal, id: OauthClientId) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::RemoveOauthClient, Target::Organization)?;
        let organization = principal.organization;
        let mut tx = self.db().write().await?;
        let before = self.seen_client(&mut tx, organization, id).await?;
        tx.seen_clients().delete(organization, &before.client, self.clock().now()).await?;
        let details = json!({
            "client": before.client.client_id, "name": before.client.name, "grants": before.grants,
        });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await
    }

    /// Another secret; the one before is of no use any more. Whoever is signed in stays, the client refreshes with the
    /// new one.
    pub async fn rotate_oauth_client_secret(
        &self,
        principal: &Principal,
        id: OauthClientId,
    ) -> Result<CreatedOauthClient, Refusal> {
        let allowed = authorize(principal, Operation::RotateOauthClientSecret, Target::Organization)?;
        let mut tx = self.db().write().await?;
        let found = self.seen_client(&mut tx, principal.organization, id).await?.client;
        if found.owner != Some(principal.organization) {
            return Err(not_ours());
        }
        if found.secret_hash.is_none() {
            return Err(Refusal::conflict(
                "public_client",
                "This client has no secret: it can't keep one. Make a confidential client instead.",
            ));
        }
        let issued = issue(TokenKind::ClientSecret, self.random());
        let now = self.clock().now();
        tx.oauth_clients().set_secret(id, &issued.hash.0, found.scopes, now).await?;
        self.commit_change(&allowed, tx, Change::of(id).with(json!({ "name": found.name }))).await?;
        let client = self.read_oauth_client(principal, id).await?;
        Ok(CreatedOauthClient { client, secret: Some(issued.secret) })
    }
}
