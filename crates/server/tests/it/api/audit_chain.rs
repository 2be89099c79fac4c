//! Whoever changes the audit log by hand is found out: what was altered, removed or cut off has a name.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_domain::{Clock as _, FixedClock, Role};
use switchboard_testkit::{
    app::{App, AppOptions},
    database::TestDatabase,
    on_both,
};

use super::rest::{Expect as _, Rest, app};

/// The very first change makes the organization's key, and so stands in the chain of calls; those after it have one of
/// their own.
async fn owner(app: &App) -> Rest<'_> {
    let owner = Rest::owner(app).await;
    owner.patch("/organization", &json!({ "name": "Acme" })).await.ok(200);
    owner
}

/// A team's name is in the text of the entry of its making; the first team is the first entry of the chain of changes.
async fn teams(owner: &Rest<'_>, names: &[&str]) {
    for name in names {
        owner.post("/teams", &json!({ "name": name })).await.ok(201);
    }
}

async fn verified(owner: &Rest<'_>, heads: &Value) -> Value {
    owner.post("/audit/verify", &json!({ "heads": heads })).await.ok(200)
}

async fn signed(owner: &Rest<'_>) -> Value {
    owner.post("/audit/heads", &json!({})).await.ok(200)["items"].clone()
}

/// A log of five changes, what it was changed to by `sql`, and what is said of it; the heads were signed before.
async fn after(database: &TestDatabase, sql: &'static str) -> Value {
    let app = app(database).await;
    let owner = owner(&app).await;
    teams(&owner, &["one", "two", "three", "four", "five"]).await;
    let heads = signed(&owner).await;
    let whole = verified(&owner, &heads).await;
    assert_eq!((&whole["ok"], &whole["first_bad"]), (&json!(true), &Value::Null), "{whole}");
    assert!(whole["entries"].as_u64().unwrap() >= 5, "{whole}");
    database.execute(sql).await;
    let report = verified(&owner, &heads).await;
    assert_eq!((&report["ok"], &report["bad"].as_array().unwrap().len()), (&json!(false), &1), "{report}");
    app.stop().await;
    report["first_bad"].clone()
}

on_both! {
    async fn an_altered_entry_is_named(database) {
        let bad = after(&database, "UPDATE audit_entry SET body = replace(body, 'ok', 'no') WHERE action = 'team.create' AND seq = 3").await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(3), &json!("altered")), "{bad}");
    }

    async fn an_entry_that_is_found_by_something_else_is_named(database) {
        let bad = after(&database, "UPDATE audit_entry SET target = 'innocent' WHERE action = 'team.create' AND seq = 2").await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(2), &json!("altered")), "{bad}");
    }

    async fn an_entry_that_is_gone_from_the_middle_is_named(database) {
        let bad = after(&database, "DELETE FROM audit_entry WHERE action = 'team.create' AND seq = 4").await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(4), &json!("missing")), "{bad}");
    }

    async fn a_front_that_is_gone_without_a_checkpoint_is_named(database) {
        let bad = after(&database, "DELETE FROM audit_entry WHERE action = 'team.create' AND seq <= 2").await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(1), &json!("missing")), "{bad}");
    }

    async fn an_end_that_is_cut_off_is_named(database) {
        let bad = after(&database, "DELETE FROM audit_entry WHERE action = 'team.create' AND seq >= 4").await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(4), &json!("truncated")), "{bad}");
    }

    async fn a_whole_chain_that_is_gone_is_named(database) {
        let bad = after(&database, "DELETE FROM audit_entry WHERE action = 'team.create'").await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(1), &json!("truncated")), "{bad}");
    }

    async fn a_swapped_pair_is_named(database) {
        let bad = after(
            &database,
            "UPDATE audit_entry SET seq = 9 WHERE action = 'team.create' AND seq = 2;
             UPDATE audit_entry SET seq = 2 WHERE action = 'team.create' AND seq = 3;
             UPDATE audit_entry SET seq = 3 WHERE action = 'team.create' AND seq = 9",
        )
        .await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(2), &json!("altered")), "{bad}");
    }

    async fn a_head_that_was_changed_with_the_log_is_named(database) {
        let bad = after(&database, "UPDATE audit_head SET seq = 3 WHERE seq = 5; DELETE FROM audit_entry WHERE action = 'team.create' AND seq > 3").await;
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(3), &json!("bad_signature")), "{bad}");
    }
}

on_both! {
    async fn heads_that_were_kept_elsewhere_show_what_the_database_no_longer_does(database) {
        let app = app(&database).await;
        let owner = owner(&app).await;
        teams(&owner, &["one", "two", "three"]).await;
        let kept = signed(&owner).await;
        database.execute("DELETE FROM audit_entry WHERE action = 'team.create' AND seq > 1; DELETE FROM audit_head").await;
        assert_eq!(verified(&owner, &json!([])).await["ok"], true, "nothing there says otherwise");
        let bad = verified(&owner, &kept).await["first_bad"].clone();
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(2), &json!("truncated")), "{bad}");

        let mut forged = kept.clone();
        let last = forged.as_array_mut().unwrap().iter_mut().find(|head| head["seq"] == 3).unwrap();
        last["seq"] = json!(1);
        assert_eq!(verified(&owner, &forged).await["first_bad"]["fault"], "bad_signature");
        forged[0]["signature"] = json!("00");
        owner.post("/audit/verify", &json!({ "heads": forged })).await.refused(422, "validation_failed");
        forged = kept;
        forged[0]["organization"] = json!("org_01jb2m3x8ye0bvnr8z3h2q5c7d");
        owner.post("/audit/verify", &json!({ "heads": forged })).await.refused(422, "validation_failed");
        let (ana, _) = Rest::member(&app, "ana", Role::Member).await;
        ana.post("/audit/verify", &json!({})).await.refused(403, "role_required");
        ana.get("/audit/heads").await.refused(403, "role_required");
        app.stop().await;
    }

    async fn a_process_signs_what_it_wrote_by_itself(database) {
        let app = app(&database).await;
        let owner = owner(&app).await;
        teams(&owner, &["one", "two"]).await;
        app.broker.sign_own_heads().await.unwrap();
        let stored = owner.get("/audit/heads").await.ok(200)["items"].clone();
        assert!(stored.as_array().unwrap().iter().any(|head| head["seq"] == 2), "{stored}");
        teams(&owner, &["three"]).await;
        app.stop().await;
        let mut tx = database.db.read().await.unwrap();
        let organization = tx.organizations().list().await.unwrap()[0].id;
        let heads = tx.audit_heads().list(organization).await.unwrap();
        assert!(heads.iter().any(|head| head.statement.seq == 3), "also what it wrote last: {heads:?}");
    }

    async fn what_is_old_goes_and_the_rest_still_verifies(database) {
        let clock = std::sync::Arc::new(FixedClock::at_micros(database.clock.now().as_micros()));
        let options = || AppOptions { clock: Some(clock.clone()), ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options()).await;
        let owner = owner(&app).await;
        teams(&owner, &["one", "two", "three"]).await;
        let kept = signed(&owner).await;
        clock.advance(Duration::from_secs(20 * 24 * 3600));
        teams(&owner, &["four"]).await;
        app.broker.forget_old_entries().await.unwrap();
        assert_eq!(verified(&owner, &kept).await["ok"], true);
        let before = verified(&owner, &kept).await["entries"].as_u64().unwrap();

        owner.patch("/organization", &json!({ "settings": { "audit_retention_days": 36_501 } })).await.refused(422, "validation_failed");
        owner.patch("/organization", &json!({ "settings": { "audit_retention_days": 7 } })).await.ok(200);
        app.broker.forget_old_entries().await.unwrap();
        let report = verified(&owner, &kept).await;
        assert_eq!(report["ok"], true, "heads of what went by itself still hold: {report}");
        assert_eq!(report["entries"].as_u64().unwrap(), before - 4 + 4, "four went; the refused setting, the setting and two goings came: {report}");
        let gone = owner.get("/audit?action=audit.delete_expired").await.ok(200);
        let counts = gone["items"].as_array().unwrap().iter().map(|entry| entry["details"]["deleted"].as_u64().unwrap());
        assert_eq!(counts.sum::<u64>(), 4, "of both chains: {gone}");
        let teams_left = owner.get("/audit?action=team.create").await.ok(200);
        assert_eq!(teams_left["items"].as_array().unwrap().len(), 1);

        database.execute("DELETE FROM audit_entry WHERE action = 'team.create' AND seq = 4").await;
        let bad = verified(&owner, &json!([])).await["first_bad"].clone();
        assert_eq!((&bad["seq"], &bad["fault"]), (&json!(4), &json!("missing")), "the checkpoint is where it begins: {bad}");
        database.execute("UPDATE audit_head SET seq = 4 WHERE kind = 'checkpoint'").await;
        assert_eq!(verified(&owner, &json!([])).await["first_bad"]["fault"], "bad_signature");
        app.stop().await;
    }

    async fn a_chain_goes_on_after_all_of_it_went(database) {
        let clock = std::sync::Arc::new(FixedClock::at_micros(database.clock.now().as_micros()));
        let options = AppOptions { clock: Some(clock.clone()), ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        let owner = owner(&app).await;
        owner.patch("/organization", &json!({ "settings": { "audit_retention_days": 7 } })).await.ok(200);
        clock.advance(Duration::from_secs(20 * 24 * 3600));
        app.broker.forget_old_entries().await.unwrap();
        teams(&owner, &["later"]).await;
        let report = verified(&owner, &json!([])).await;
        assert_eq!((&report["ok"], &report["entries"]), (&json!(true), &json!(3)), "the going of two chains, and the team: {report}");
        app.stop().await;
    }
}
