//! `/usage/quotas`, `/settings/guardrail`, `/system`: what calls have room for, who is asked about them, and the operator's
//! checks, in the browser.

use serde_json::json;
use switchboard_domain::Role;
use switchboard_server::{Doctor, Finding};
use switchboard_testkit::{
    app::{App, AppOptions},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    connect::Person,
    console::{press, read, takes_own_forms_only},
};

const MIA: &str = "mia@example.test";
const QUOTAS: &str = "/usage/quotas";
const GUARDRAIL: &str = "/settings/guardrail";

fn checked() -> Doctor {
    let found = || vec![Finding::ok("disk", "plenty"), Finding::fail("names", "<b>nobody</b> answers")];
    Doctor::new(move || async move { found() })
}

on_both! {
    async fn quotas_are_added_changed_and_removed_and_their_use_is_shown(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let demo = app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let mia = app.member_with_password(MIA, Role::Member).await;
        assert!(owner.browser.get(QUOTAS).await.text().contains("There is none"));
        let put = async |fields: &[(&str, &str)]| press(&owner.browser, QUOTAS, QUOTAS, fields).await;
        let add = async |kind: &str, which: &str, period: &str, calls: &str| {
            put(&[("what", "add"), ("kind", kind), ("which", which), ("period", period), ("calls", calls)]).await
        };
        let stored = async || read(&app, &owner.token, "/quotas").await["items"].clone();
        let wrong = add("team", "<i>nobody</i>", "day", "many").await;
        assert_eq!(wrong.status.as_u16(), 422);
        let text = wrong.text();
        assert!(text.contains("There is no team") && text.contains("is not a whole number") && !text.contains("<i>nobody"), "{text}");
        assert!(text.contains("id=\"which-error\"") && text.contains("value=\"many\""), "{text}");
        assert_eq!(add("member", "who@example.test", "day", "3").await.status.as_u16(), 422);
        for (kind, which, period, calls) in [("member", MIA, "day", "3"), ("connection", "demo", "month", "2"), ("organization", "", "day", "1000"), ("every_member", "", "day", "7")] {
            let added = add(kind, which, period, calls).await;
            assert_eq!((added.status.as_u16(), added.location()), (303, QUOTAS), "{kind}");
        }
        assert_eq!(stored().await.as_array().unwrap().len(), 4);
        let twice = add("connection", "demo", "month", "9").await;
        assert!(twice.status.as_u16() == 422 && twice.text().contains("already"), "{}", twice.text());

        let client = app.client(&app.token(app.owner, &crate::support::READ_WRITE).await);
        for _ in 0..3 {
            client.execute("demo.echo", json!({ "text": "x" })).await;
        }
        let shown = owner.browser.get(QUOTAS).await.text();
        assert!(shown.contains("2 of 2 calls a month used") && shown.contains("No room left"), "{shown}");
        assert!(shown.contains("2 of 1000 calls a day used") && shown.contains(MIA) && shown.contains("7 calls a day for each"), "{shown}");
        let (of_demo, of_mia) = (demo.to_string(), mia.to_string());
        let set = put(&[("what", "set"), ("subject", &of_demo), ("period", "month"), ("calls", "5")]).await;
        assert_eq!(set.status.as_u16(), 303, "{}", set.text());
        assert!(owner.browser.get(QUOTAS).await.text().contains("2 of 5 calls a month used"));
        let unread = put(&[("what", "set"), ("subject", &of_demo), ("period", "month"), ("calls", "-1")]).await;
        assert!(unread.status.as_u16() == 422 && unread.text().contains("role=\"alert\""), "{}", unread.text());
        put(&[("what", "remove"), ("subject", &of_mia), ("period", "day")]).await;
        let left = stored().await;
        assert!(left.as_array().unwrap().len() == 3 && !left.to_string().contains(&of_mia), "{left}");

        let member = app.signed_in(MIA).await;
        let token = member.get("/tools").await.hidden("form_token");
        let theirs = [("form_token", &*token), ("what", "remove"), ("subject", "organization"), ("period", "day")];
        assert_eq!(member.post(QUOTAS, &theirs).await.status.as_u16(), 404);
        takes_own_forms_only(&owner.browser, QUOTAS, &[("what", "remove"), ("subject", "organization"), ("period", "day")], &token).await;
        assert_eq!(stored().await.as_array().unwrap().len(), 3);
        app.stop().await;
    }

    async fn a_guardrail_is_set_changed_and_removed(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        app.member_with_password(MIA, Role::Member).await;
        assert!(owner.browser.get(GUARDRAIL).await.text().contains("Nobody is asked"));
        let put = async |fields: &[(&str, &str)]| {
            let revision = owner.browser.get(GUARDRAIL).await.hidden("revision");
            let mut all = vec![("what", "save"), ("revision", &*revision)];
            all.extend_from_slice(fields);
            press(&owner.browser, GUARDRAIL, GUARDRAIL, &all).await
        };
        let wrong = put(&[("url", "ftp://guard.example.test/\"><script>"), ("on_failure", "closed")]).await;
        assert_eq!(wrong.status.as_u16(), 422);
        let text = wrong.text();
        assert!(text.contains("id=\"url-error\"") && text.contains("id=\"when-error\"") && !text.contains("<script>\""), "{text}");
        let url = "http://127.0.0.1:4321/ask";
        let made = put(&[("url", url), ("before", "yes"), ("on_failure", "closed")]).await;
        assert!(made.status.as_u16() == 200 && made.text().contains("whsec_"), "{}", made.text());
        let stored = async || read(&app, &owner.token, "/guardrail").await;
        assert_eq!((&stored().await["url"], &stored().await["on_failure"]), (&json!(url), &json!("closed")));
        let old = owner.browser.get(GUARDRAIL).await;
        assert!(!old.text().contains("whsec_") && old.text().contains("In force"), "{}", old.text());
        let changed = put(&[("url", url), ("after", "yes"), ("on_failure", "open")]).await;
        assert_eq!(changed.location(), GUARDRAIL);
        let now = stored().await;
        assert_eq!((&now["before"], &now["after"], &now["on_failure"]), (&json!(false), &json!(true), &json!("open")));
        let token = old.hidden("form_token");
        let stale = [("form_token", &*token), ("what", "save"), ("revision", &*old.hidden("revision")), ("url", url), ("before", "yes")];
        assert_eq!(owner.browser.post(GUARDRAIL, &stale).await.status.as_u16(), 409, "of an older page");
        let member = app.signed_in(MIA).await;
        assert_eq!(member.get(GUARDRAIL).await.status.as_u16(), 404);
        let theirs = member.get("/tools").await.hidden("form_token");
        assert_eq!(member.post(GUARDRAIL, &[("form_token", &theirs), ("what", "delete")]).await.status.as_u16(), 404);
        takes_own_forms_only(&owner.browser, GUARDRAIL, &[("what", "delete")], &theirs).await;
        press(&owner.browser, GUARDRAIL, GUARDRAIL, &[("what", "delete")]).await;
        assert!(owner.browser.get(GUARDRAIL).await.text().contains("Nobody is asked"));
        app.stop().await;
    }

    async fn an_owner_has_the_checks_made(database) {
        let options = AppOptions { configure: |config| config.doctor = Some(checked()), ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        let owner = Person::owner(&app).await;
        app.member_with_password("adm@example.test", Role::Admin).await;
        assert!(owner.browser.get("/system").await.text().contains("Make the checks"));
        let made = press(&owner.browser, "/system", "/system", &[]).await;
        let text = made.text();
        assert!(made.status.as_u16() == 200 && text.contains("plenty") && text.contains("Failing"), "{text}");
        assert!(!text.contains("<b>nobody"), "{text}");
        let admin = app.signed_in("adm@example.test").await;
        let token = admin.get("/tools").await.hidden("form_token");
        assert_eq!(admin.post("/system", &[("form_token", &token)]).await.status.as_u16(), 404, "for owners");
        app.stop().await;
    }

    async fn toolkits_and_clients_are_found_by_name(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        for (slug, name) in [("support", "Customer support"), ("research", "Research & more")] {
            crate::support::api(&app, "POST", "/toolkits", Some(json!({ "slug": slug, "name": name, "patterns": ["*"] }))).await;
            let client = json!({ "name": name, "redirect_uris": ["https://studio.example/callback"] });
            crate::support::api(&app, "POST", "/oauth-clients", Some(client)).await;
        }
        for page in ["/toolkits", "/clients"] {
            let found = owner.browser.get(&format!("{page}?q=CUSTOMER")).await.text();
            assert!(found.contains("Customer support") && !found.contains("Research"), "{page}: {found}");
            let none = owner.browser.get(&format!("{page}?q=%3Cscript%3E")).await.text();
            assert!(none.contains(" fits") && none.contains("Show all") && !none.contains("<script>"), "{page}: {none}");
        }
        app.stop().await;
    }
}
