//! Connections with what hangs on them: grants, credentials, capabilities, toolkits, rules, the snapshot.

use std::collections::HashMap;

use switchboard_domain::{
    ApiKeyHeader, AuthType, CapabilityKind, CapabilityState, ConnectionId, ConnectionOwner, ConnectionStatus,
    CredentialId, CredentialOwner, Diagnosis, Fingerprint, Grants, OrganizationId, ProtocolEra, Role, Stage,
    Status, TeamId, ToolFilter, ToolkitId,
};
use switchboard_storage::{
    CredentialHealth, CredentialInfo, InsertConnection, InsertTeam, PolicyLayer, PutCredential, Sealed,
    SealedColumn, SealedWith, StoredCredential, Team, Toolkit, ToolkitSurface, UpdateConnection,
};
use switchboard_testkit::{database::TestDatabase, on_both};

use crate::{
    at,
    tenancy::{capability, data_key},
};

async fn version(database: &TestDatabase, organization: OrganizationId) -> i64 {
    let mut tx = database.db.single().await.unwrap();
    let versions = tx.organizations().versions().await.unwrap();
    versions.into_iter().find(|(id, _)| *id == organization).unwrap().1
}

on_both! {
    async fn a_connection_reads_back_as_written(database) {
        let org = database.organization("acme").await.id;
        let ada = database.member(org, "ada@acme.example", Role::Owner).await;
        let mut written = database.new_connection(org, "notes");
        written.owner = ConnectionOwner::Member(ada.id);
        written.name = "Notes \u{1f4d3}, Ada's".into();
        written.auth_type = AuthType::ApiKey;
        written.auth.api_key = Some(ApiKeyHeader { header: "X-Key".into(), scheme: None });
        written.auth.member_headers.insert("X-User".into(), "your name".into());
        written.switches.allow_in_plan_mode = true;
        written.switches.enabled = false;
        written.tools = ToolFilter { allow: vec!["a".into()], deny: vec!["b".into(), "*".into()] };
        written.external_key = Some("terraform/notes".into());
        written.era = Some(ProtocolEra::Modern);
        written.instructions = Some("with a NUL \0 inside".into());
        written.status.diagnosis = Some(Diagnosis {
            reached: Some(Stage::Tls),
            failed: Some(Stage::Http),
            reason: Some("http_502".into()),
            message: "upstream said \0".into(),
            actor: None,
            action: None,
            duration_ms: 12,
        });
        let mut tx = database.db.write().await.unwrap();
        assert!(matches!(tx.connections().insert(&written).await.unwrap(), InsertConnection::Inserted));
        tx.commit().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        let read = tx.connections().find(org, written.id).await.unwrap().unwrap();
        let expected = format!("{written:?}").replace("\\0", "\u{fffd}");
        assert_eq!(format!("{read:?}"), expected, "everything but U+0000, which PostgreSQL can't hold");
        assert!(tx.connections().find_by_slug(org, &written.slug).await.unwrap().is_none(), "it is personal");
        assert!(tx.connections().find_personal_by_slug(org, ada.id, &written.slug).await.unwrap().is_some());
    }

    async fn inserting_again_says_what_is_in_the_way(database) {
        let org = database.organization("acme").await.id;
        let mut first = database.new_connection(org, "linear");
        first.external_key = Some("key".into());
        let mut tx = database.db.write().await.unwrap();
        assert!(matches!(tx.connections().insert(&first).await.unwrap(), InsertConnection::Inserted));
        let taken = tx.connections().insert(&database.new_connection(org, "linear")).await.unwrap();
        assert!(matches!(taken, InsertConnection::SlugTaken), "{taken:?}");
        let mut again = database.new_connection(org, "linear-2");
        again.external_key = Some("key".into());
        match tx.connections().insert(&again).await.unwrap() {
            InsertConnection::ExternalKeyExists(found) => assert_eq!(found.id, first.id),
            other => panic!("{other:?}"),
        }
        // The transaction is still good.
        assert!(tx.connections().find(org, first.id).await.unwrap().is_some());
        tx.commit().await.unwrap();
    }

    async fn of_two_edits_of_one_revision_the_second_is_stale(database) {
        let org = database.organization("acme").await.id;
        let mut seen = database.connection(org, "linear").await;
        database.connection(org, "notion").await;
        seen.name = "Linear".into();
        let mut tx = database.db.write().await.unwrap();
        assert_eq!(tx.connections().update(&seen).await.unwrap(), UpdateConnection::Updated);
        assert_eq!(tx.connections().update(&seen).await.unwrap(), UpdateConnection::Stale);
        seen.revision = 2;
        seen.slug = "notion".parse().unwrap();
        assert_eq!(tx.connections().update(&seen).await.unwrap(), UpdateConnection::SlugTaken);
        tx.commit().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        let read = tx.connections().find(org, seen.id).await.unwrap().unwrap();
        assert_eq!((&*read.name, read.revision), ("Linear", 2));
    }

    async fn the_version_moves_when_callers_would_notice(database) {
        let org = database.organization("acme").await.id;
        let linear = database.connection(org, "linear").await;
        let before = version(&database, org).await;
        let mut checked = linear.status.clone();
        checked.checked_at = Some(at(60));
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.connections().set_status(org, linear.id, &checked).await.unwrap());
        assert!(tx.connections().set_era(org, linear.id, ProtocolEra::Legacy, None).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(version(&database, org).await, before, "still connected: nobody need reload");
        let broken = Status::new(ConnectionStatus::Error, at(61));
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.connections().set_status(org, linear.id, &broken).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(version(&database, org).await, before + 1);
        let mut tx = database.db.write().await.unwrap();
        tx.grants().replace(org, linear.id, &Grants::default()).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(version(&database, org).await, before + 1, "rolled back with the change");
    }

    async fn grants_are_replaced_whole(database) {
        let org = database.organization("acme").await.id;
        let linear = database.connection(org, "linear").await;
        let ada = database.member(org, "ada@acme.example", Role::Member).await;
        let team = Team { id: TeamId::new(&database.clock, &database.random), organization: org, name: "Support".into(), created_at: at(0) };
        let mut tx = database.db.write().await.unwrap();
        assert_eq!(tx.teams().insert(&team).await.unwrap(), InsertTeam::Inserted);
        assert_eq!(tx.grants().for_connection(org, linear.id).await.unwrap(), Grants::default(), "nobody at first");
        let all = Grants { everyone: true, members: vec![ada.id], teams: vec![team.id] };
        tx.grants().replace(org, linear.id, &all).await.unwrap();
        assert_eq!(tx.grants().for_connection(org, linear.id).await.unwrap(), all);
        assert_eq!(tx.grants().all(org).await.unwrap(), HashMap::from([(linear.id, all)]));
        let one = Grants { members: vec![ada.id, ada.id], ..Grants::default() };
        tx.grants().replace(org, linear.id, &one).await.unwrap();
        assert_eq!(tx.grants().for_connection(org, linear.id).await.unwrap().members, [ada.id]);
        tx.teams().delete(org, team.id).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn of_two_refreshes_one_wins(database) {
        let org = database.organization("acme").await.id;
        let linear = database.connection(org, "linear").await;
        let ada = database.member(org, "ada@acme.example", Role::Member).await;
        let key = data_key(&database, org).await;
        let credential = |generation, bytes: &[u8], owner| StoredCredential {
            info: CredentialInfo {
                id: CredentialId::from_uuid(uuid::Uuid::from_u128(if owner == CredentialOwner::Shared { 1 } else { 2 })),
                organization: org,
                connection: linear.id,
                owner,
                data_key: key,
                generation,
                health: CredentialHealth::Healthy,
                expires_at: Some(at(3600)),
                updated_at: at(generation),
            },
            sealed: Sealed(bytes.to_vec()),
        };
        let shared = CredentialOwner::Shared;
        let mut tx = database.db.write().await.unwrap();
        assert_eq!(tx.credentials().put(&credential(1, b"one", shared)).await.unwrap(), PutCredential::Stored);
        assert_eq!(tx.credentials().put(&credential(1, b"again", shared)).await.unwrap(), PutCredential::Stale);
        let own = credential(1, b"hers", CredentialOwner::Member(ada.id));
        assert_eq!(tx.credentials().put(&own).await.unwrap(), PutCredential::Stored);
        tx.commit().await.unwrap();
        let before = version(&database, org).await;
        let mut tx = database.db.write().await.unwrap();
        assert_eq!(tx.credentials().renew(&credential(2, b"two", shared)).await.unwrap(), PutCredential::Stored);
        assert_eq!(tx.credentials().renew(&credential(2, b"late", shared)).await.unwrap(), PutCredential::Stale);
        let old = credential(1, b"", shared).info;
        let failed = CredentialHealth::ReauthRequired;
        assert!(!tx.credentials().set_health(&old, failed, at(9)).await.unwrap(), "a loser marks nothing");
        tx.commit().await.unwrap();
        assert_eq!(version(&database, org).await, before, "a silent refresh makes nobody reload");
        let mut tx = database.db.write().await.unwrap();
        let found = tx.credentials().find(org, linear.id, shared).await.unwrap().unwrap();
        assert_eq!(found, credential(2, b"two", shared));
        assert!(tx.credentials().set_health(&found.info, failed, at(9)).await.unwrap());
        let other = data_key_of(&mut tx, &database, org, key).await;
        let column = SealedColumn::Credential;
        let rest = tx.sealed().not_with(column, org, other, (None, 1)).await.unwrap();
        assert_eq!(rest.len(), 1);
        let next = tx.sealed().not_with(column, org, other, (Some(rest[0].row), 10)).await.unwrap();
        assert_eq!(next.len(), 1, "the batch after it");
        let with = SealedWith { data_key: other, sealed: Sealed(vec![3]) };
        assert!(tx.sealed().swap(column, org, &rest[0], &with).await.unwrap());
        assert!(!tx.sealed().swap(column, org, &rest[0], &with).await.unwrap(), "it was replaced meanwhile");
        assert!(!tx.keys().delete_data_key(org, key).await.unwrap(), "one row still uses it");
        assert_eq!(tx.credentials().delete_all(org, linear.id).await.unwrap(), 2);
        assert!(tx.keys().delete_data_key(org, key).await.unwrap());
        assert!(!tx.credentials().any().await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(version(&database, org).await, before + 3);
    }

    async fn definitions_are_kept_byte_for_byte(database) {
        let org = database.organization("acme").await.id;
        let linear = database.connection(org, "linear").await;
        let odd = r#"{ "b":1.0,"a":"\u0000 \u202e",  "big":123456789012345678901234567890,"é":"\ud83d\ude00","q":"\"\\" }"#;
        let mut first = capability("create_issue", odd);
        first.title = Some("Create \0 'issue'".into());
        let mut nul = capability("odd\0name", "{}");
        nul.state = CapabilityState::Held;
        nul.approved_definition = None;
        nul.approved_fingerprint = None;
        let mut tx = database.db.write().await.unwrap();
        tx.capabilities().apply_listing(org, linear.id, &[first.clone(), nul], &[], at(0)).await.unwrap();
        tx.commit().await.unwrap();
        let kind = CapabilityKind::Tool;
        let mut tx = database.db.write().await.unwrap();
        let found = tx.capabilities().definition(org, linear.id, kind, "create_issue").await.unwrap().unwrap();
        assert_eq!((&*found.listed, found.approved.as_deref()), (odd, Some(odd)));
        assert!(tx.capabilities().definition(org, linear.id, kind, "odd\0name").await.unwrap().is_some());
        assert!(tx.capabilities().definition(org, linear.id, kind, "nothing").await.unwrap().is_none());

        // A later listing: one changed, one gone. What was seen first is remembered.
        first.definition = "{}".into();
        first.fingerprint = Fingerprint([8; 32]);
        first.state = CapabilityState::Held;
        first.first_seen_at = at(100);
        first.updated_at = at(100);
        tx.capabilities().apply_listing(org, linear.id, &[first], &[(kind, "odd\0name")], at(100)).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        let light = tx.capabilities().light_of_connection(org, linear.id).await.unwrap();
        assert_eq!(light.len(), 2);
        assert_eq!((light[0].state, light[0].first_seen_at), (CapabilityState::Held, at(0)));
        assert_eq!(light[0].approved_fingerprint, Some(Fingerprint([7; 32])));
        assert_eq!((light[1].state, light[1].updated_at), (CapabilityState::Gone, at(100)));
        assert_eq!(tx.capabilities().counts(org).await.unwrap(), HashMap::from([(linear.id, 1)]));
        let rest = tx.capabilities().definitions(org, linear.id).await.unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!((&*rest[0].2.listed, rest[0].2.approved.as_deref()), ("{}", Some(odd)));
    }

    async fn capabilities_know_their_place_in_the_list(database) {
        let org = database.organization("acme").await.id;
        let (linear, other) = (database.connection(org, "linear").await, database.connection(org, "other").await);
        let rows = ["b", "a", "c\0"].map(|name| capability(name, "{}"));
        let kind = CapabilityKind::Tool;
        let mut tx = database.db.write().await.unwrap();
        for connection in [&linear, &other] {
            tx.capabilities().apply_listing(org, connection.id, &rows, &[], at(0)).await.unwrap();
        }
        tx.capabilities().set_order(org, linear.id, &[(kind, "c\0"), (kind, "b"), (kind, "nothing")]).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        let mut places = Vec::new();
        for id in [linear.id, other.id] {
            let rows = tx.capabilities().all_definitions(org, id).await.unwrap();
            places.push(rows.iter().map(|(_, _, row)| row.ordinal).collect::<Vec<_>>());
        }
        assert_eq!(places, [vec![0, 2, 1], vec![0, 0, 0]]);
    }

    async fn deleting_a_connection_takes_everything_of_it_along(database) {
        let org = database.organization("acme").await.id;
        let linear = database.connection(org, "linear").await;
        let mut tx = database.db.write().await.unwrap();
        tx.grants().replace(org, linear.id, &Grants { everyone: true, ..Grants::default() }).await.unwrap();
        tx.capabilities().apply_listing(org, linear.id, &[capability("x", "{}")], &[], at(0)).await.unwrap();
        assert!(tx.connections().delete(org, linear.id).await.unwrap());
        assert!(!tx.connections().delete(org, linear.id).await.unwrap());
        assert!(tx.grants().all(org).await.unwrap().is_empty());
        assert!(tx.capabilities().light(org).await.unwrap().is_empty());
        tx.commit().await.unwrap();
    }

    async fn a_snapshot_leaves_out_catalogues_the_caller_has(database) {
        let org = database.organization("acme").await.id;
        let names: Vec<String> = (0..1_000).map(|number| format!("tool_{number}")).collect();
        let rows: Vec<_> = names.iter().map(|name| capability(name, r#"{"description":"does things"}"#)).collect();
        for slug in ["a", "b", "c", "d", "e"] {
            let connection = database.connection(org, slug).await;
            let mut tx = database.db.write().await.unwrap();
            tx.capabilities().apply_listing(org, connection.id, &rows, &[], at(0)).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut tx = database.db.read().await.unwrap();
        let all = tx.snapshot(org, &HashMap::new()).await.unwrap().unwrap();
        drop(tx);
        let count: usize = all.connections.iter().map(|it| it.capabilities.as_ref().unwrap().len()).sum();
        assert_eq!(count, 5_000);
        let known: HashMap<ConnectionId, i64> =
            all.connections.iter().map(|it| (it.cataloged.connection.id, it.cataloged.catalog_version)).collect();
        let changed = all.connections[2].cataloged.connection.id;
        let mut tx = database.db.write().await.unwrap();
        let gone = [(CapabilityKind::Tool, "tool_0")];
        tx.capabilities().apply_listing(org, changed, &[], &gone, at(1)).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        let next = tx.snapshot(org, &known).await.unwrap().unwrap();
        assert!(next.organization.version > all.organization.version);
        for connection in &next.connections {
            let id = connection.cataloged.connection.id;
            assert_eq!(connection.capabilities.as_ref().map(Vec::len), (id == changed).then_some(1_000));
        }
        let nobody = OrganizationId::new(&database.clock, &database.random);
        assert!(tx.snapshot(nobody, &known).await.unwrap().is_none());
    }

    async fn toolkits_and_rules_compare_and_swap(database) {
        let org = database.organization("acme").await.id;
        let mut toolkit = Toolkit {
            id: ToolkitId::new(&database.clock, &database.random),
            organization: org,
            owner: None,
            slug: "support".parse().unwrap(),
            name: "Support".into(),
            surface: ToolkitSurface::Search,
            patterns: vec!["linear.*".into()],
            members: vec![],
            teams: vec![],
            created_at: at(0),
            updated_at: at(0),
            revision: 1,
        };
        let layer = PolicyLayer::Toolkit(toolkit.id);
        let rules = serde_json::json!([{"pattern": "linear.*", "action": "block"}, {"pattern": "*", "action": "allow"}]);
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.toolkits().insert(&toolkit).await.unwrap());
        assert!(!tx.toolkits().insert(&toolkit).await.unwrap(), "taken");
        assert!(tx.policies().put(org, layer, &rules, 0, at(0)).await.unwrap());
        assert!(!tx.policies().put(org, layer, &rules, 0, at(0)).await.unwrap(), "somebody was first");
        assert!(tx.policies().put(org, layer, &rules, 1, at(1)).await.unwrap());
        assert!(!tx.policies().put(org, layer, &rules, 1, at(1)).await.unwrap(), "stale");
        let found = tx.policies().find(org, layer).await.unwrap().unwrap();
        assert_eq!((found.rules, found.revision), (rules, 2));
        toolkit.surface = ToolkitSurface::Direct;
        assert!(tx.toolkits().update(&toolkit).await.unwrap());
        assert!(!tx.toolkits().update(&toolkit).await.unwrap(), "stale");
        toolkit.revision = 2;
        assert_eq!(tx.toolkits().list(org).await.unwrap(), [toolkit.clone()]);
        assert!(tx.toolkits().delete(org, toolkit.id).await.unwrap());
        assert!(tx.policies().all(org).await.unwrap().is_empty(), "its rules went along");
        assert!(tx.toolkits().find(org, toolkit.id).await.unwrap().is_none());
        tx.commit().await.unwrap();
    }
}

/// A second active data key, the first retired: as rotation does it.
async fn data_key_of(
    tx: &mut switchboard_storage::Tx,
    database: &TestDatabase,
    organization: OrganizationId,
    before: switchboard_domain::DataKeyId,
) -> switchboard_domain::DataKeyId {
    let first =
        tx.keys().data_keys(organization).await.unwrap().into_iter().find(|key| key.id == before).unwrap();
    let mut second = first.clone();
    second.id = switchboard_domain::DataKeyId::new(&database.clock, &database.random);
    assert!(!tx.keys().insert_data_key(&second).await.unwrap(), "one active key at a time");
    assert!(tx.keys().retire_active_data_key(organization).await.unwrap());
    assert!(tx.keys().insert_data_key(&second).await.unwrap());
    second.id
}
