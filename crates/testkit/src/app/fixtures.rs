//! What a test puts into the database of its instance: people, tokens, connections, grants.

use switchboard_broker::NewSecret;
use switchboard_domain::{
    ApiKeyHeader, AuthConfig, AuthType, Caller, Connection, ConnectionId, ConnectionOwner, ConnectionStatus,
    CredentialMode, CredentialOwner, Grants, MemberId, OrganizationId, Random, Role, Scope, SecretValue,
    Status, Switches, SystemClock, Timestamp, TokenId, ToolFilter, Transport,
};
use switchboard_storage::{
    Db, InsertConnection, InsertMember, Member, MemberStatus, Organization, StoredToken, TokenKind,
};

use super::{App, Browser, PASSWORD};

impl App {
    pub async fn member(&self, email: &str, role: Role) -> MemberId {
        add_member(&self.db, &*self.random, self.organization, email, role).await
    }

    /// A member who can sign in with [`PASSWORD`].
    pub async fn member_with_password(&self, email: &str, role: Role) -> MemberId {
        let id = self.member(email, role).await;
        self.give_password(id).await;
        id
    }

    pub async fn give_password(&self, member: MemberId) {
        self.give_password_in(self.organization, member).await;
    }

    async fn give_password_in(&self, organization: OrganizationId, member: MemberId) {
        crate::canary::remember(PASSWORD);
        let hash =
            switchboard_vault::hash_password(&SecretValue::new(PASSWORD), &*self.random).expect("a hash");
        let mut tx = self.db.write().await.expect("a transaction");
        tx.members()
            .set_password(organization, member, &hash, self.broker.clock().now())
            .await
            .expect("a password");
        tx.commit().await.expect("committed");
    }

    /// A token of a member, with these scopes, for every resource.
    pub async fn token(&self, member: MemberId, scopes: &[Scope]) -> String {
        self.token_for(member, scopes, None, None).await.0
    }

    pub async fn token_for(
        &self,
        member: MemberId,
        scopes: &[Scope],
        resource: Option<&str>,
        expires_at: Option<Timestamp>,
    ) -> (String, TokenId) {
        self.token_in(self.organization, member, scopes, resource, expires_at).await
    }

    async fn token_in(
        &self,
        organization: OrganizationId,
        member: MemberId,
        scopes: &[Scope],
        resource: Option<&str>,
        expires_at: Option<Timestamp>,
    ) -> (String, TokenId) {
        let issued = switchboard_vault::issue(switchboard_vault::TokenKind::Personal, &*self.random);
        let id = TokenId::new(&SystemClock, &*self.random);
        let mut tx = self.db.write().await.expect("a transaction");
        tx.tokens()
            .insert(&StoredToken {
                id,
                organization,
                kind: TokenKind::Personal,
                caller: Caller::Member(member),
                name: "test".into(),
                hash: *issued.hash.as_bytes(),
                prefix: issued.prefix,
                last_four: issued.last_four,
                scopes: scopes.iter().copied().collect(),
                resource: resource.map(str::to_owned),
                expires_at,
                last_used_at: None,
                revoked_at: None,
                grant: None,
                created_at: self.broker.clock().now(),
            })
            .await
            .expect("a token");
        tx.commit().await.expect("committed");
        crate::canary::remember(issued.secret.expose());
        (issued.secret.expose().to_owned(), id)
    }

    /// Another organization in the same database, with an owner and a token of theirs.
    pub async fn stranger(&self, scopes: &[Scope]) -> (OrganizationId, MemberId, String) {
        let id = OrganizationId::new(&SystemClock, &*self.random);
        let mut tx = self.db.write().await.expect("a transaction");
        tx.organizations()
            .insert(&Organization {
                id,
                slug: "elsewhere".parse().expect("a slug"),
                name: "Elsewhere".into(),
                settings: serde_json::json!({}),
                version: 1,
                created_at: Timestamp::from_micros(1),
            })
            .await
            .expect("an organization");
        tx.commit().await.expect("committed");
        let owner = add_member(&self.db, &*self.random, id, "stranger@example.test", Role::Owner).await;
        let (token, _) = self.token_in(id, owner, scopes, None, None).await;
        self.broker.refresh_snapshots().await.expect("refreshed");
        (id, owner, token)
    }

    /// The browser of another organization's owner.
    pub async fn stranger_signed_in(&self) -> Browser {
        let (organization, owner, _) = self.stranger(&[]).await;
        self.give_password_in(organization, owner).await;
        self.signed_in("stranger@example.test").await
    }

    pub async fn revoke(&self, token: TokenId) {
        let mut tx = self.db.write().await.expect("a transaction");
        tx.tokens().revoke(self.organization, token, self.broker.clock().now()).await.expect("revoked");
        tx.commit().await.expect("committed");
    }

    /// Adds a connection of authentication type `none`; it is neither granted nor checked yet.
    pub async fn add(&self, slug: &str, url: &str) -> ConnectionId {
        self.add_with(slug, url, |_| {}).await
    }

    pub async fn add_with(
        &self,
        slug: &str,
        url: &str,
        change: impl FnOnce(&mut Connection),
    ) -> ConnectionId {
        let now = self.broker.clock().now();
        let mut connection = Connection {
            id: ConnectionId::new(&SystemClock, &*self.random),
            organization: self.organization,
            owner: ConnectionOwner::Organization,
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            url: url.to_owned(),
            transport: Transport::StreamableHttp,
            auth_type: AuthType::None,
            auth: AuthConfig::default(),
            credential_mode: CredentialMode::Shared,
            switches: Switches::default(),
            tools: ToolFilter::default(),
            external_key: None,
            status: Status::new(ConnectionStatus::SetupIncomplete, now),
            era: None,
            instructions: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        change(&mut connection);
        let mut tx = self.db.write().await.expect("a transaction");
        let inserted = tx.connections().insert(&connection).await.expect("inserted");
        assert!(matches!(inserted, InsertConnection::Inserted), "{inserted:?}");
        tx.commit().await.expect("committed");
        connection.id
    }

    /// Adds, grants to everyone, checks: ready for calls.
    pub async fn connect(&self, slug: &str, url: &str) -> ConnectionId {
        let id = self.add(slug, url).await;
        self.grant_everyone(id).await;
        let diagnosis = self.broker.check(self.organization, id, None).await.expect("a check");
        assert!(diagnosis.failed.is_none(), "{diagnosis:?}");
        id
    }

    /// Adds a connection that sends an API key as bearer.
    pub async fn add_with_key(&self, slug: &str, url: &str, key: &str) -> ConnectionId {
        crate::canary::remember(key);
        let id = self
            .add_with(slug, url, |connection| {
                connection.auth_type = AuthType::ApiKey;
                connection.auth.api_key = Some(ApiKeyHeader::default());
            })
            .await;
        self.broker
            .put_credential(
                self.organization,
                id,
                CredentialOwner::Shared,
                NewSecret::ApiKey(SecretValue::new(key)),
            )
            .await
            .expect("a credential");
        id
    }

    pub async fn grant(&self, connection: ConnectionId, grants: Grants) {
        let mut tx = self.db.write().await.expect("a transaction");
        tx.grants().replace(self.organization, connection, &grants).await.expect("granted");
        tx.commit().await.expect("committed");
        self.broker.refresh_snapshots().await.expect("refreshed");
    }

    pub async fn grant_everyone(&self, connection: ConnectionId) {
        self.grant(connection, Grants { everyone: true, ..Grants::default() }).await;
    }
}

pub(super) async fn first_owner(db: &Db, random: &dyn Random) -> (OrganizationId, MemberId) {
    let known = db.single().await.expect("a reader").organizations().list().await.expect("read");
    if let Some(first) = known.first() {
        let mut tx = db.read().await.expect("a transaction");
        let owner = tx.members().find_by_email(first.id, "owner@example.test").await.expect("read");
        return (first.id, owner.expect("an owner").id);
    }
    let id = OrganizationId::new(&SystemClock, random);
    let mut tx = db.write().await.expect("a transaction");
    tx.organizations()
        .insert(&Organization {
            id,
            slug: "acme".parse().expect("a slug"),
            name: "Acme".into(),
            settings: serde_json::json!({}),
            version: 1,
            created_at: Timestamp::from_micros(1),
        })
        .await
        .expect("an organization");
    tx.commit().await.expect("committed");
    (id, add_member(db, random, id, "owner@example.test", Role::Owner).await)
}

async fn add_member(
    db: &Db,
    random: &dyn Random,
    organization: OrganizationId,
    email: &str,
    role: Role,
) -> MemberId {
    let id = MemberId::new(&SystemClock, random);
    let now = switchboard_domain::Clock::now(&SystemClock);
    let mut tx = db.write().await.expect("a transaction");
    let inserted = tx
        .members()
        .insert(
            &Member {
                id,
                organization,
                email: email.into(),
                display_name: email.into(),
                role,
                status: MemberStatus::Active,
                created_at: now,
                updated_at: now,
            },
            None,
        )
        .await
        .expect("inserted");
    assert_eq!(inserted, InsertMember::Inserted);
    tx.commit().await.expect("committed");
    id
}
