//! What `switchboard demo` has beside its owner: a second member, and a server that both connect accounts of their own to.

use switchboard_domain::{
    AuthConfig, AuthType, Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialMode,
    Grants, MemberId, Role, Status, Switches, ToolFilter, Transport,
};
use switchboard_storage::{InsertMember, Member, MemberStatus, Organization};

use super::Operator;
use crate::{failure::Failure, sample::vendor};

impl Operator {
    /// The server is on another port each time, so its connection is made anew. The member's next password.
    pub(crate) async fn prepare_demo(
        &self,
        organization: &Organization,
        email: &str,
        name: &str,
        url: &str,
    ) -> Result<String, Failure> {
        let now = self.clock.now();
        let member = Member {
            id: MemberId::new(&*self.clock, &*self.random),
            organization: organization.id,
            email: email.into(),
            display_name: name.into(),
            role: Role::Member,
            status: MemberStatus::Active,
            created_at: now,
            updated_at: now,
        };
        let slug = vendor::SLUG.parse().map_err(|_| Failure::failed("the sample's slug is none"))?;
        let mut tx = self.db.write().await?;
        // There already, of an earlier start on the same data.
        if tx.members().insert(&member, None).await? == InsertMember::EmailTaken {
            tracing::debug!(email, "the second member of the demo is there");
        }
        if let Some(before) = tx.connections().find_by_slug(organization.id, &slug).await? {
            tx.connections().delete(organization.id, before.id).await?;
        }
        let connection = Connection {
            id: ConnectionId::new(&*self.clock, &*self.random),
            organization: organization.id,
            owner: ConnectionOwner::Organization,
            slug,
            name: "Demo Mail".into(),
            url: url.into(),
            transport: Transport::StreamableHttp,
            auth_type: AuthType::OAuth,
            auth: AuthConfig::default(),
            credential_mode: CredentialMode::PerMember,
            switches: Switches::default(),
            tools: ToolFilter::default(),
            external_key: None,
            status: Status::new(ConnectionStatus::NeedsConnection, now),
            era: None,
            instructions: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        tx.connections().insert(&connection).await?;
        let everyone = Grants { everyone: true, ..Grants::default() };
        tx.grants().replace(organization.id, connection.id, &everyone).await?;
        tx.commit().await?;
        Ok((*self.random).bytes::<12>().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
