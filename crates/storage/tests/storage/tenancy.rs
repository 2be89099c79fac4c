//! Two organizations: neither sees, changes or refers to what is the other's.

use std::collections::HashMap;

use switchboard_domain::{
    CapabilityKind, CapabilityState, ConnectionStatus, CredentialId, CredentialOwner, DataKeyId, Fingerprint,
    Grants, KeyEncryptionKeyId, Role, Status,
};
use switchboard_storage::{
    CapabilityRow, CredentialHealth, CredentialInfo, DataKey, KeyEncryptionKey, KeyState, MemberStatus,
    PolicyLayer, PutCredential, Sealed, StorageError, StoredCredential, UpdateConnection,
};
use switchboard_testkit::{database::TestDatabase, on_both};

use crate::at;

/// An active data key for an organization.
pub(crate) async fn data_key(
    database: &TestDatabase,
    organization: switchboard_domain::OrganizationId,
) -> DataKeyId {
    let kek = KeyEncryptionKeyId::new(&database.clock, &database.random);
    let key = DataKey {
        id: DataKeyId::new(&database.clock, &database.random),
        organization,
        key_encryption_key: kek,
        wrapped: Sealed(vec![1; 48]),
        state: KeyState::Active,
        created_at: at(0),
    };
    let row = KeyEncryptionKey {
        id: kek,
        sentinel: Sealed(vec![2; 48]),
        state: KeyState::Active,
        created_at: at(0),
    };
    let mut tx = database.db.write().await.unwrap();
    assert!(tx.keys().insert_key_encryption_key(&row).await.unwrap());
    assert!(tx.keys().insert_data_key(&key).await.unwrap());
    tx.commit().await.unwrap();
    key.id
}

pub(crate) fn capability(name: &str, definition: &str) -> CapabilityRow {
    CapabilityRow {
        kind: CapabilityKind::Tool,
        name: name.into(),
        state: CapabilityState::Approved,
        fingerprint: Fingerprint([7; 32]),
        approved_fingerprint: Some(Fingerprint([7; 32])),
        title: None,
        summary: "{}".into(),
        definition: definition.into(),
        approved_definition: Some(definition.into()),
        first_seen_at: at(0),
        updated_at: at(0),
    }
}

on_both! {
    async fn nothing_of_one_is_found_by_the_other(database) {
        let (one, other) = (database.organization("one").await, database.organization("other").await);
        let ada = database.member(one.id, "ada@one.example", Role::Owner).await;
        let linear = database.connection(one.id, "linear").await;
        let key = data_key(&database, one.id).await;
        let credential = StoredCredential {
            info: CredentialInfo {
                id: CredentialId::new(&database.clock, &database.random),
                organization: one.id,
                connection: linear.id,
                owner: CredentialOwner::Shared,
                data_key: key,
                generation: 1,
                health: CredentialHealth::Healthy,
                expires_at: None,
                updated_at: at(0),
            },
            sealed: Sealed(vec![9; 80]),
        };
        let mut tx = database.db.write().await.unwrap();
        tx.grants().replace(one.id, linear.id, &Grants { everyone: true, ..Grants::default() }).await.unwrap();
        assert_eq!(tx.credentials().put(&credential).await.unwrap(), PutCredential::Stored);
        let rows = [capability("create_issue", "{}")];
        tx.capabilities().apply_listing(one.id, linear.id, &rows, &[], at(0)).await.unwrap();
        assert!(tx.policies().put(one.id, PolicyLayer::Organization, &serde_json::json!([]), 0, at(0)).await.unwrap());
        tx.commit().await.unwrap();

        // Every read, with the right ids and the other organization.
        let mut tx = database.db.read().await.unwrap();
        assert!(tx.members().find(other.id, ada.id).await.unwrap().is_none());
        assert!(tx.members().find_by_email(other.id, &ada.email).await.unwrap().is_none());
        assert!(tx.members().list(other.id, None, 100).await.unwrap().is_empty());
        assert!(tx.connections().find(other.id, linear.id).await.unwrap().is_none());
        assert!(tx.connections().find_by_slug(other.id, &linear.slug).await.unwrap().is_none());
        assert!(tx.connections().list(other.id).await.unwrap().is_empty());
        assert!(tx.grants().all(other.id).await.unwrap().is_empty());
        assert_eq!(tx.grants().for_connection(other.id, linear.id).await.unwrap(), Grants::default());
        assert!(tx.credentials().find(other.id, linear.id, CredentialOwner::Shared).await.unwrap().is_none());
        assert!(tx.credentials().list(other.id).await.unwrap().is_empty());
        let kind = CapabilityKind::Tool;
        assert!(tx.capabilities().definition(other.id, linear.id, kind, "create_issue").await.unwrap().is_none());
        assert!(tx.capabilities().light(other.id).await.unwrap().is_empty());
        assert!(tx.capabilities().light_of_connection(other.id, linear.id).await.unwrap().is_empty());
        assert!(tx.keys().data_keys(other.id).await.unwrap().is_empty());
        assert!(tx.policies().all(other.id).await.unwrap().is_empty());
        let snapshot = tx.snapshot(other.id, &HashMap::new()).await.unwrap().unwrap();
        assert!(snapshot.connections.is_empty() && snapshot.grants.is_empty() && snapshot.credentials.is_empty());
        assert!(tx.connections().find(one.id, linear.id).await.unwrap().is_some(), "the owner does find it");
        drop(tx);

        // Every change, likewise.
        let mut tx = database.db.write().await.unwrap();
        let mut stolen = linear.clone();
        stolen.organization = other.id;
        assert_eq!(tx.connections().update(&stolen).await.unwrap(), UpdateConnection::Stale);
        let error = Status::new(ConnectionStatus::Error, at(1));
        assert!(!tx.connections().set_status(other.id, linear.id, &error).await.unwrap());
        assert!(!tx.connections().delete(other.id, linear.id).await.unwrap());
        assert!(!tx.members().set_role(other.id, ada.id, Role::Member, at(1)).await.unwrap());
        assert!(!tx.members().set_status(other.id, ada.id, MemberStatus::Removed, at(1)).await.unwrap());
        assert!(!tx.credentials().delete(other.id, linear.id, CredentialOwner::Shared).await.unwrap());
        assert!(!tx.keys().delete_data_key(other.id, key).await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        let found = tx.connections().find(one.id, linear.id).await.unwrap().unwrap();
        assert_eq!(found.status.status, ConnectionStatus::Connected);
        assert_eq!(tx.members().find(one.id, ada.id).await.unwrap().unwrap().role, Role::Owner);
        assert!(tx.credentials().find(one.id, linear.id, CredentialOwner::Shared).await.unwrap().is_some());
    }

    async fn no_row_refers_to_another_organizations_row(database) {
        let (one, other) = (database.organization("one").await, database.organization("other").await);
        let ada = database.member(one.id, "ada@one.example", Role::Owner).await;
        let linear = database.connection(one.id, "linear").await;
        let notion = database.connection(other.id, "notion").await;

        let mut tx = database.db.write().await.unwrap();
        let grants = Grants { members: vec![ada.id], ..Grants::default() };
        let refused = tx.grants().replace(other.id, notion.id, &grants).await;
        assert!(matches!(refused, Err(StorageError::Reference)), "a member of another: {refused:?}");
        drop(tx);

        let mut tx = database.db.write().await.unwrap();
        let everyone = Grants { everyone: true, ..Grants::default() };
        let refused = tx.grants().replace(other.id, linear.id, &everyone).await;
        assert!(matches!(refused, Err(StorageError::Reference)), "a connection of another: {refused:?}");
        drop(tx);

        let mut tx = database.db.write().await.unwrap();
        let rows = [capability("x", "{}")];
        let refused = tx.capabilities().apply_listing(other.id, linear.id, &rows, &[], at(0)).await;
        assert!(matches!(refused, Err(StorageError::Reference)), "a connection of another: {refused:?}");
        drop(tx);

        let key = data_key(&database, one.id).await;
        let mut tx = database.db.write().await.unwrap();
        let info = CredentialInfo {
            id: CredentialId::new(&database.clock, &database.random),
            organization: other.id,
            connection: notion.id,
            owner: CredentialOwner::Shared,
            data_key: key,
            generation: 1,
            health: CredentialHealth::Healthy,
            expires_at: None,
            updated_at: at(0),
        };
        let refused = tx.credentials().put(&StoredCredential { info, sealed: Sealed(vec![1]) }).await;
        assert!(matches!(refused, Err(StorageError::Reference)), "a key of another: {refused:?}");
    }

    async fn the_same_slug_and_address_in_two_organizations(database) {
        let (one, other) = (database.organization("one").await, database.organization("other").await);
        for organization in [&one, &other] {
            database.member(organization.id, "ada@example.org", Role::Owner).await;
            database.connection(organization.id, "linear").await;
        }
        let mut tx = database.db.read().await.unwrap();
        assert_eq!(tx.members().find_everywhere("ADA@example.org").await.unwrap().len(), 2);
        assert_eq!(tx.connections().list(one.id).await.unwrap().len(), 1);
    }

    async fn a_read_transaction_can_not_write(database) {
        let one = database.organization("one").await;
        for tx in [database.db.read().await.unwrap(), database.db.single().await.unwrap()] {
            let mut tx = tx;
            assert!(tx.organizations().touch(one.id).await.is_err());
        }
        let mut tx = database.db.single().await.unwrap();
        assert_eq!(tx.organizations().versions().await.unwrap(), [(one.id, 1)]);
    }
}
