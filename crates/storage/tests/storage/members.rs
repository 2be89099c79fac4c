//! Organizations, members, teams, tokens and setup links.

use switchboard_domain::{
    Caller, OrganizationId, Role, Scope, Scopes, ServiceAccountId, SetupLinkId, TeamId, TokenId,
};
use switchboard_storage::{
    InsertMember, InsertOrganization, InsertTeam, MemberStatus, ServiceAccount, StorageError, StoredToken,
    Team, TokenKind, TokenOrigin,
};
use switchboard_testkit::{database::TestDatabase, on_both};

use crate::at;

fn token(database: &TestDatabase, organization: OrganizationId, caller: Caller, hash: u8) -> StoredToken {
    StoredToken {
        id: TokenId::new(&database.clock, &database.random),
        organization,
        kind: match caller {
            Caller::Member(_) => TokenKind::Personal,
            Caller::ServiceAccount(_) => TokenKind::Service,
        },
        caller,
        name: "laptop".into(),
        hash: [hash; 32],
        prefix: "swb_pat_".into(),
        last_four: "w9Xz".into(),
        scopes: [Scope::McpRead, Scope::McpWrite].into_iter().collect::<Scopes>(),
        resource: Some("/mcp/toolkits/support".into()),
        expires_at: Some(at(86_400)),
        last_used_at: None,
        revoked_at: None,
        grant: None,
        created_at: at(0),
    }
}

on_both! {
    async fn an_organization_reads_back_and_its_slug_is_taken(database) {
        let mut acme = database.organization("acme").await;
        let mut tx = database.db.write().await.unwrap();
        let mut again = acme.clone();
        again.id = OrganizationId::new(&database.clock, &database.random);
        assert_eq!(tx.organizations().insert(&again).await.unwrap(), InsertOrganization::SlugTaken);
        assert_eq!(tx.organizations().find_by_slug(&acme.slug).await.unwrap(), Some(acme.clone()));
        let settings = serde_json::json!({"hold_destructive": true});
        assert!(tx.organizations().update(acme.id, "Acme", &settings, 1).await.unwrap());
        assert!(!tx.organizations().update(acme.id, "Acme", &settings, 1).await.unwrap(), "stale");
        (acme.name, acme.settings, acme.version) = ("Acme".into(), settings, 2);
        assert_eq!(tx.organizations().list().await.unwrap(), [acme]);
        tx.commit().await.unwrap();
    }

    async fn a_token_knows_with_which_its_line_began(database) {
        let org = database.organization("acme").await.id;
        let other = database.organization("other").await.id;
        let ada = Caller::Member(database.member(org, "ada@acme.example", Role::Member).await.id);
        let [first, child, grandchild, by_hand] = [1, 2, 3, 4].map(|hash| token(&database, org, ada, hash));
        let mut tx = database.db.write().await.unwrap();
        tx.tokens().insert(&first).await.unwrap();
        tx.tokens().insert_child(&child, first.id).await.unwrap();
        tx.tokens().insert_child(&grandchild, child.id).await.unwrap();
        tx.tokens().insert_through(&by_hand, "switchboard-cli").await.unwrap();
        for of in [&first, &child, &grandchild] {
            let origin = TokenOrigin { token: first.id, client: None };
            assert_eq!(tx.tokens().origin(org, of.id).await.unwrap(), Some(origin));
        }
        let origin = TokenOrigin { token: by_hand.id, client: Some("switchboard-cli".into()) };
        assert_eq!(tx.tokens().origin(org, by_hand.id).await.unwrap(), Some(origin));
        assert_eq!(tx.tokens().origin(other, child.id).await.unwrap(), None);
        assert_eq!(tx.tokens().find(org, by_hand.id).await.unwrap().unwrap().grant, None, "it is under no grant");
    }

    async fn an_address_is_one_member_whatever_its_capitals(database) {
        let org = database.organization("acme").await.id;
        let ada = database.member(org, "Ädä@Acme.example", Role::Owner).await;
        let mut twin = ada.clone();
        twin.id = switchboard_domain::MemberId::new(&database.clock, &database.random);
        twin.email = " äDÄ@aCME.EXAMPLE ".into();
        let mut tx = database.db.write().await.unwrap();
        assert_eq!(tx.members().insert(&twin, None).await.unwrap(), InsertMember::EmailTaken);
        assert_eq!(tx.members().find_by_email(org, "ädä@acme.example").await.unwrap(), Some(ada.clone()));
        assert_eq!(tx.members().find(org, ada.id).await.unwrap(), Some(ada));
        tx.commit().await.unwrap();
    }

    async fn members_are_paged_by_address(database) {
        let org = database.organization("acme").await.id;
        for name in ["carl", "ada", "Eve", "bob", "dan"] {
            database.member(org, &format!("{name}@acme.example"), Role::Member).await;
        }
        let mut tx = database.db.read().await.unwrap();
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = tx.members().list(org, after.as_deref(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.email.clone());
            seen.extend(page.into_iter().map(|member| member.display_name));
        }
        assert_eq!(seen, ["ada", "bob", "carl", "dan", "Eve"]);
    }

    async fn owners_passwords_roles(database) {
        let mut tx = database.db.single().await.unwrap();
        assert!(!tx.members().owners_exist().await.unwrap());
        drop(tx);
        let org = database.organization("acme").await.id;
        let ada = database.member(org, "ada@acme.example", Role::Owner).await;
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.members().owners_exist().await.unwrap());
        assert_eq!(tx.members().count_owners(org).await.unwrap(), 1);
        assert_eq!(tx.members().password_hash(org, ada.id).await.unwrap(), None);
        assert!(tx.members().set_password(org, ada.id, "$argon2id$…", at(1)).await.unwrap());
        assert_eq!(tx.members().password_hash(org, ada.id).await.unwrap().as_deref(), Some("$argon2id$…"));
        assert!(tx.members().set_role(org, ada.id, Role::Admin, at(2)).await.unwrap());
        assert!(!tx.members().owners_exist().await.unwrap());
        assert!(tx.members().set_status(org, ada.id, MemberStatus::Suspended, at(3)).await.unwrap());
        let read = tx.members().find(org, ada.id).await.unwrap().unwrap();
        assert_eq!((read.role, read.status, read.updated_at), (Role::Admin, MemberStatus::Suspended, at(3)));
        tx.commit().await.unwrap();
    }

    async fn a_token_is_found_with_its_owner_and_teams(database) {
        let org = database.organization("acme").await.id;
        let ada = database.member(org, "ada@acme.example", Role::Admin).await;
        let mut tx = database.db.write().await.unwrap();
        let mut teams = Vec::new();
        for name in ["Support", "Sales"] {
            let team = Team { id: TeamId::new(&database.clock, &database.random), organization: org, name: name.into(), created_at: at(0) };
            assert_eq!(tx.teams().insert(&team).await.unwrap(), InsertTeam::Inserted);
            tx.teams().add_member(org, team.id, ada.id).await.unwrap();
            tx.teams().add_member(org, team.id, ada.id).await.unwrap();
            teams.push(team.id);
        }
        let mut twin = Team { id: TeamId::new(&database.clock, &database.random), organization: org, name: "Sales".into(), created_at: at(0) };
        assert_eq!(tx.teams().insert(&twin).await.unwrap(), InsertTeam::NameTaken);
        twin.name = "Other".into();
        let personal = token(&database, org, Caller::Member(ada.id), 1);
        tx.tokens().insert(&personal).await.unwrap();
        let bot = ServiceAccount {
            id: ServiceAccountId::new(&database.clock, &database.random),
            organization: org,
            name: "bot".into(),
            role: Role::Member,
            status: MemberStatus::Active,
            created_at: at(0),
        };
        assert!(tx.service_accounts().insert(&bot).await.unwrap());
        let service = token(&database, org, Caller::ServiceAccount(bot.id), 2);
        tx.tokens().insert(&service).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = database.db.single().await.unwrap();
        let mut found = tx.tokens().find_by_hash(&[1; 32]).await.unwrap().unwrap();
        found.teams.sort();
        teams.sort();
        assert_eq!(found.token, personal);
        assert_eq!((found.role, found.status, found.teams), (Role::Admin, MemberStatus::Active, teams));
        let found = tx.tokens().find_by_hash(&[2; 32]).await.unwrap().unwrap();
        assert_eq!(found.token, service);
        assert!(found.teams.is_empty() && found.role == Role::Member);
        assert!(tx.tokens().find_by_hash(&[3; 32]).await.unwrap().is_none());
        assert_eq!(tx.tokens().list(org, Some(ada.id)).await.unwrap(), std::slice::from_ref(&personal));
        assert_eq!(tx.tokens().list(org, None).await.unwrap().len(), 2);
        assert_eq!(tx.teams().memberships(org).await.unwrap().len(), 2);
    }

    async fn a_token_is_revoked_once_and_everybody_hears_of_it(database) {
        let org = database.organization("acme").await;
        let ada = database.member(org.id, "ada@acme.example", Role::Admin).await;
        let mine = token(&database, org.id, Caller::Member(ada.id), 1);
        let mut tx = database.db.write().await.unwrap();
        tx.tokens().insert(&mine).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.db.write().await.unwrap();
        assert!(matches!(tx.tokens().insert(&mine).await, Err(StorageError::Duplicate)));
        drop(tx);
        let mut tx = database.db.write().await.unwrap();
        let used = [(org.id, mine.id, at(5)), (org.id, TokenId::new(&database.clock, &database.random), at(5))];
        tx.tokens().touch_last_used(&used).await.unwrap();
        tx.tokens().touch_last_used(&[(org.id, mine.id, at(3))]).await.unwrap();
        assert_eq!(tx.organizations().versions().await.unwrap(), [(org.id, 1)], "using a token changes nothing");
        assert!(tx.tokens().revoke(org.id, mine.id, at(9)).await.unwrap());
        assert!(!tx.tokens().revoke(org.id, mine.id, at(10)).await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = database.db.single().await.unwrap();
        let found = tx.tokens().find(org.id, mine.id).await.unwrap().unwrap();
        assert_eq!((found.last_used_at, found.revoked_at), (Some(at(5)), Some(at(9))));
        assert_eq!(tx.organizations().versions().await.unwrap(), [(org.id, 2)]);
    }

    async fn a_setup_link_is_redeemed_once_however_many_try(database) {
        let hash = [5; 32];
        let mut tx = database.db.write().await.unwrap();
        let id = SetupLinkId::new(&database.clock, &database.random);
        tx.setup_links().insert(id, &hash, at(0), at(600)).await.unwrap();
        tx.commit().await.unwrap();
        let tries = (0..8).map(|_| {
            let db = database.db.clone();
            tokio::spawn(async move {
                let mut tx = db.write().await.unwrap();
                let redeemed = tx.setup_links().redeem(&hash, at(1)).await.unwrap();
                tx.commit().await.unwrap();
                redeemed
            })
        });
        let mut redeemed = 0;
        for attempt in tries.collect::<Vec<_>>() {
            redeemed += usize::from(attempt.await.unwrap());
        }
        assert_eq!(redeemed, 1);
        let late = [6; 32];
        let mut tx = database.db.write().await.unwrap();
        let id = SetupLinkId::new(&database.clock, &database.random);
        tx.setup_links().insert(id, &late, at(0), at(600)).await.unwrap();
        assert!(!tx.setup_links().redeem(&late, at(600)).await.unwrap(), "expired");
        assert_eq!(tx.setup_links().forget_unused(at(601)).await.unwrap(), 2);
        tx.commit().await.unwrap();
    }
}
