//! Held calls: each step is made once, in time, by whom it is for.

use switchboard_domain::{ApprovalId, ApprovalStatus, Caller, CapabilityKind, Fingerprint, Role, TokenId};
use switchboard_storage::{Approval, Sealed};
use switchboard_testkit::{database::TestDatabase, on_both};

use crate::{at, tenancy::data_key};

async fn held(database: &TestDatabase) -> Approval {
    let organization = database.organization("one").await;
    let mia = database.member(organization.id, "mia@one.example", Role::Member).await;
    let linear = database.connection(organization.id, "linear").await;
    let approval = Approval {
        id: ApprovalId::new(&database.clock, &database.random),
        organization: organization.id,
        requested_by: Caller::Member(mia.id),
        token: Some(TokenId::new(&database.clock, &database.random)),
        oauth_client: None,
        client: "agent 1".into(),
        resource: "/mcp".into(),
        connection: linear.id,
        capability: "linear.delete_issue".into(),
        kind: CapabilityKind::Tool,
        fingerprint: Fingerprint([7; 32]),
        arguments_digest: [8; 32],
        rule: Some("organization/1".into()),
        requirement: serde_json::json!({ "admin": false, "teams": [], "second_person": false }),
        status: ApprovalStatus::Pending,
        created_at: at(0),
        expires_at: at(100),
        decided_by: None,
        decided_at: None,
        used_at: None,
        data_key: data_key(database, organization.id).await,
        sealed: Sealed(vec![1, 2, 3]),
    };
    let mut tx = database.db.write().await.unwrap();
    tx.approvals().insert(&approval).await.unwrap();
    tx.commit().await.unwrap();
    approval
}

fn member_of(approval: &Approval) -> switchboard_domain::MemberId {
    match approval.requested_by {
        Caller::Member(id) => id,
        Caller::ServiceAccount(_) => unreachable!("a member asked"),
    }
}

on_both! {
    async fn approved_once_is_used_once_and_in_time(database) {
        let held = held(&database).await;
        let (org, by) = (held.organization, member_of(&held));
        let mut tx = database.db.write().await.unwrap();
        assert!(!tx.approvals().use_up(&held, at(1)).await.unwrap(), "it only waits");
        assert!(!tx.approvals().approve(org, held.id, by, at(100)).await.unwrap(), "too late");
        assert!(tx.approvals().approve(org, held.id, by, at(1)).await.unwrap());
        assert!(!tx.approvals().approve(org, held.id, by, at(1)).await.unwrap(), "decided once");
        assert!(!tx.approvals().use_up(&held, at(100)).await.unwrap(), "over");
        let other = Approval { arguments_digest: [9; 32], ..held.clone() };
        assert!(!tx.approvals().use_up(&other, at(2)).await.unwrap(), "other arguments");
        let other = Approval { fingerprint: Fingerprint([9; 32]), ..held.clone() };
        assert!(!tx.approvals().use_up(&other, at(2)).await.unwrap(), "another definition");
        assert!(tx.approvals().use_up(&held, at(2)).await.unwrap());
        assert!(!tx.approvals().use_up(&held, at(2)).await.unwrap(), "once");
        assert!(!tx.approvals().decline(org, held.id, by, at(2)).await.unwrap(), "too late");
        tx.commit().await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        let found = tx.approvals().find(org, held.id).await.unwrap().unwrap();
        let expected = Approval {
            status: ApprovalStatus::Used, decided_by: Some(by), decided_at: Some(at(1)), used_at: Some(at(2)), ..held
        };
        assert_eq!(found, expected);
    }

    async fn a_declined_one_stays_declined(database) {
        let held = held(&database).await;
        let (org, by) = (held.organization, member_of(&held));
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.approvals().approve(org, held.id, by, at(1)).await.unwrap());
        assert!(tx.approvals().decline(org, held.id, by, at(2)).await.unwrap(), "until it is used");
        assert!(!tx.approvals().use_up(&held, at(3)).await.unwrap());
        assert!(!tx.approvals().approve(org, held.id, by, at(3)).await.unwrap());
        assert_eq!(tx.approvals().find(org, held.id).await.unwrap().unwrap().status_at(at(200)), ApprovalStatus::Declined);
    }

    async fn the_same_call_is_found_while_it_is_open(database) {
        let held = held(&database).await;
        let (org, asked) = (held.organization, held.requested_by);
        let other = database.organization("other").await;
        let mut tx = database.db.write().await.unwrap();
        let again = |now| Approval { created_at: now, ..held.clone() };
        let listed = Approval { sealed: Sealed(Vec::new()), ..held.clone() };
        assert_eq!(tx.approvals().find_same(&again(at(1))).await.unwrap(), std::slice::from_ref(&listed));
        assert_eq!(tx.approvals().find_same(&again(at(100))).await.unwrap(), [], "over");
        let through_another = Approval { client: "other 1".into(), ..again(at(1)) };
        assert_eq!(tx.approvals().find_same(&through_another).await.unwrap(), []);
        assert_eq!(tx.approvals().count_waiting(org, asked, at(1)).await.unwrap(), 1);
        assert_eq!(tx.approvals().count_waiting(org, asked, at(100)).await.unwrap(), 0);
        assert_eq!(tx.approvals().waiting(org, at(1), 10).await.unwrap().len(), 1);
        assert!(tx.approvals().waiting(org, at(100), 10).await.unwrap().is_empty());
        assert_eq!(tx.approvals().find(other.id, held.id).await.unwrap(), None);
        assert!(tx.approvals().list(other.id, 10).await.unwrap().is_empty());
        let theirs = Approval { organization: other.id, ..held.clone() };
        assert!(tx.approvals().insert(&theirs).await.is_err(), "nothing of one refers to the other");
        drop(tx);
        let mut tx = database.db.write().await.unwrap();
        assert_eq!(tx.approvals().forget(other.id, at(500)).await.unwrap(), 0);
        assert_eq!(tx.approvals().forget(org, at(100)).await.unwrap(), 0);
        assert_eq!(tx.approvals().forget(org, at(101)).await.unwrap(), 1);
    }
}
