//! The rows nearly every test starts from.

use switchboard_domain::{
    AuthConfig, AuthType, Clock as _, Connection, ConnectionId, ConnectionOwner, ConnectionStatus,
    CredentialMode, MemberId, OrganizationId, Role, Status, Switches, ToolFilter, Transport,
};
use switchboard_storage::{
    InsertConnection, InsertMember, InsertOrganization, Member, MemberStatus, Organization,
};

use super::TestDatabase;

impl TestDatabase {
    /// A new organization.
    pub async fn organization(&self, slug: &str) -> Organization {
        let organization = Organization {
            id: OrganizationId::new(&self.clock, &self.random),
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            settings: serde_json::json!({}),
            version: 1,
            created_at: self.clock.now(),
        };
        let mut tx = self.db.write().await.expect("a transaction");
        let inserted = tx.organizations().insert(&organization).await.expect("an organization");
        assert_eq!(inserted, InsertOrganization::Inserted);
        tx.commit().await.expect("committed");
        organization
    }

    /// A new active member without a password.
    pub async fn member(&self, organization: OrganizationId, email: &str, role: Role) -> Member {
        let member = Member {
            id: MemberId::new(&self.clock, &self.random),
            organization,
            email: email.to_owned(),
            display_name: email.split('@').next().unwrap_or_default().to_owned(),
            role,
            status: MemberStatus::Active,
            created_at: self.clock.now(),
            updated_at: self.clock.now(),
        };
        let mut tx = self.db.write().await.expect("a transaction");
        assert_eq!(tx.members().insert(&member, None).await.expect("a member"), InsertMember::Inserted);
        tx.commit().await.expect("committed");
        member
    }

    /// A connection that is not stored yet.
    pub fn new_connection(&self, organization: OrganizationId, slug: &str) -> Connection {
        let now = self.clock.now();
        Connection {
            id: ConnectionId::new(&self.clock, &self.random),
            organization,
            owner: ConnectionOwner::Organization,
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            url: format!("https://{slug}.example/mcp"),
            transport: Transport::StreamableHttp,
            auth_type: AuthType::None,
            auth: AuthConfig::default(),
            credential_mode: CredentialMode::Shared,
            switches: Switches::default(),
            tools: ToolFilter::default(),
            external_key: None,
            status: Status::new(ConnectionStatus::Connected, now),
            era: None,
            instructions: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        }
    }

    /// A stored connection, granted to nobody.
    pub async fn connection(&self, organization: OrganizationId, slug: &str) -> Connection {
        let connection = self.new_connection(organization, slug);
        let mut tx = self.db.write().await.expect("a transaction");
        let inserted = tx.connections().insert(&connection).await.expect("a connection");
        assert!(matches!(inserted, InsertConnection::Inserted), "{inserted:?}");
        tx.commit().await.expect("committed");
        connection
    }
}
