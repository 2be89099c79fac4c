//! AI clients as one organization sees them: those its members allowed, those its admins made or don't let in.

use switchboard_domain::{OauthClientId, OrganizationId, Timestamp};

use crate::{
    OauthClient, StorageError, Tx, oauth_client,
    row::{document, text},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A client with what this organization has to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenClient {
    pub client: OauthClient,
    /// How many times it is allowed right now.
    pub grants: i64,
    /// By a member of this organization, as far as tokens remember.
    pub last_used_at: Option<Timestamp>,
    pub disabled: bool,
}

macro_rules! seen {
    ($more:literal) => {
        concat!(
            "SELECT c.id, c.client_id, c.kind, c.owner_organization_id, c.name, c.redirect_uris, c.secret_hash, c.fingerprint, c.created_at, c.fresh_until, c.last_used_at, c.expires_at, c.disabled_at, c.source, c.metadata, coalesce(u.grants, 0) AS grants, u.granted_at, t.token_used_at, d.created_at AS disabled_here_at FROM oauth_client c ",
            "LEFT JOIN (SELECT oauth_client_id, count(CASE WHEN revoked_at IS NULL AND expires_at > $2 THEN 1 END) AS grants, max(coalesce(last_used_at, created_at)) AS granted_at FROM oauth_grant WHERE organization_id = $1 GROUP BY oauth_client_id) u ON u.oauth_client_id = c.id ",
            "LEFT JOIN (SELECT client, max(last_used_at) AS token_used_at FROM token WHERE organization_id = $1 AND oauth_grant_id IS NOT NULL GROUP BY client) t ON t.client = c.client_id ",
            "LEFT JOIN disabled_oauth_client d ON d.organization_id = $1 AND d.oauth_client_id = c.id ",
            "WHERE c.kind <> 'service_account' AND (c.owner_organization_id = $1 OR (c.owner_organization_id IS NULL AND (u.oauth_client_id IS NOT NULL OR d.oauth_client_id IS NOT NULL)))",
            $more
        )
    };
}

statements! {
    LIST = (seen!(" ORDER BY c.id DESC"));
    FIND = (seen!(" AND c.id = $3"));
    UPDATE = "UPDATE oauth_client SET name = $3, redirect_uris = $4, updated_at = $5 WHERE id = $1 AND owner_organization_id = $2";
    SET_DISABLED = "UPDATE oauth_client SET disabled_at = $3, updated_at = $4 WHERE id = $1 AND owner_organization_id = $2";
    DISABLE_HERE = "INSERT INTO disabled_oauth_client (organization_id, oauth_client_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    ENABLE_HERE = "DELETE FROM disabled_oauth_client WHERE organization_id = $1 AND oauth_client_id = $2";
    IS_DISABLED_HERE = "SELECT created_at FROM disabled_oauth_client WHERE organization_id = $1 AND oauth_client_id = $2";
    FORGET_GRANTS = "DELETE FROM oauth_grant WHERE organization_id = $1 AND oauth_client_id = $2";
    /// Whether another organization knows it too: then it is not forgotten for everybody.
    FIND_ELSEWHERE = "SELECT 1 FROM oauth_grant WHERE oauth_client_id = $2 AND organization_id <> $1 UNION ALL SELECT 1 FROM disabled_oauth_client WHERE oauth_client_id = $2 AND organization_id <> $1 LIMIT 1";
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    client: oauth_client::Row,
    grants: i64,
    granted_at: Option<i64>,
    token_used_at: Option<i64>,
    disabled_here_at: Option<i64>,
}

impl TryFrom<Row> for SeenClient {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let client = OauthClient::try_from(row.client)?;
        Ok(Self {
            disabled: row.disabled_here_at.is_some() || client.disabled_at.is_some(),
            grants: row.grants,
            last_used_at: row.granted_at.max(row.token_used_at).map(Timestamp::from_micros),
            client,
        })
    }
}

impl Tx {
    pub fn seen_clients(&mut self) -> SeenClients<'_> {
        SeenClients { tx: self }
    }
}

/// See [`Tx::seen_clients`].
#[derive(Debug)]
pub struct SeenClients<'t> {
    tx: &'t mut Tx,
}

impl SeenClients<'_> {
    /// Newest first.
    pub async fn list(
        self,
        organization: OrganizationId,
        now: Timestamp,
    ) -> Result<Vec<SeenClient>, StorageError> {
        let rows = fetch_all!(self.tx, LIST => Row, organization.as_uuid(), now.as_micros())?;
        rows.into_iter().map(Row::try_into).collect()
    }

    /// `None` for what this organization has nothing to do with, too.
    pub async fn find(
        self,
        organization: OrganizationId,
        id: OauthClientId,
        now: Timestamp,
    ) -> Result<Option<SeenClient>, StorageError> {
        let org = organization.as_uuid();
        let row = fetch_optional!(self.tx, FIND => Row, org, now.as_micros(), id.as_uuid())?;
        row.map(Row::try_into).transpose()
    }

    /// Name and redirect URIs of a client that this organization made.
    pub async fn update(
        self,
        organization: OrganizationId,
        client: &OauthClient,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let redirect_uris = document(&client.redirect_uris, "redirect URIs")?;
        let (id, org) = (client.id.as_uuid(), organization.as_uuid());
        let updated =
            execute!(self.tx, UPDATE, id, org, text(&client.name), &redirect_uris, now.as_micros())?;
        Ok(updated == 1)
    }

    /// Keeps it out of this organization, with all it was given here, or lets it in again; one that the organization
    /// made is then out altogether.
    pub async fn set_disabled(
        self,
        organization: OrganizationId,
        client: &OauthClient,
        disabled: bool,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (id, org, at) = (client.id.as_uuid(), organization.as_uuid(), now.as_micros());
        match (client.owner == Some(organization), disabled) {
            (true, _) => execute!(self.tx, SET_DISABLED, id, org, disabled.then_some(at), at)?,
            (false, true) => execute!(self.tx, DISABLE_HERE, org, id, at)?,
            (false, false) => execute!(self.tx, ENABLE_HERE, org, id)?,
        };
        if disabled {
            self.tx.oauth_grants().revoke_of_client(organization, client.id, "client", now).await?;
        }
        Ok(())
    }

    /// Whether this organization's admins keep it out.
    pub async fn keeps_out(
        self,
        organization: OrganizationId,
        client: OauthClientId,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), client.as_uuid());
        let found = fetch_optional!(self.tx, IS_DISABLED_HERE => (i64,), org, id)?;
        Ok(found.is_some())
    }

    /// Forgets it with all it was given here; for everybody, unless another organization knows it too.
    pub async fn delete(
        self,
        organization: OrganizationId,
        client: &OauthClient,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (org, id) = (organization.as_uuid(), client.id.as_uuid());
        self.tx.oauth_grants().revoke_of_client(organization, client.id, "client", now).await?;
        execute!(self.tx, FORGET_GRANTS, org, id)?;
        execute!(self.tx, ENABLE_HERE, org, id)?;
        let elsewhere = fetch_optional!(self.tx, FIND_ELSEWHERE => (i32,), org, id)?;
        if client.owner == Some(organization) || elsewhere.is_none() {
            self.tx.oauth_clients().delete(client.id).await?;
        }
        Ok(())
    }
}
