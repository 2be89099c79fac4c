//! `/members` in a browser: who is here, who is asked in, teams; what others may not, and the last owner.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{FixedClock, MemberId, Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions, Browser, McpReply, PASSWORD},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::connect::{Person, api};

const MIA: &str = "mia@example.test";

async fn press(browser: &Browser, page: &str, fields: &[(&str, &str)]) -> McpReply {
    let token = browser.get(page).await.hidden("form_token");
    let mut fields = fields.to_vec();
    fields.push(("form_token", &token));
    let action = if page.contains("/mem_") { format!("{page}/change") } else { page.to_owned() };
    browser.post(&action, &fields).await
}

async fn read(app: &App, token: &str, path: &str) -> Value {
    api(app, token, Method::GET, path, None).await.json()
}

/// What is on record of an action, the newest first.
async fn recorded(app: &App, token: &str, action: &str) -> Vec<Value> {
    read(app, token, &format!("/audit?action={action}")).await["items"].as_array().unwrap().clone()
}

on_both! {
    async fn members_are_found_and_told_where_they_still_have_to_sign_in(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let owner = Person::owner(&app).await;
        let keyed = json!({ "slug": "keyed", "name": "The keyed one", "url": upstream.url(), "auth_type": "api_key", "credential_mode": "per_member" });
        let made = api(&app, &owner.token, Method::POST, "/connections", Some(keyed)).await.json();
        let id = made["id"].as_str().unwrap();
        let mia = app.member_with_password(MIA, Role::Member).await;
        let nobody_yet = owner.browser.get(&format!("/members/{mia}")).await.text();
        assert!(nobody_yet.contains("Nowhere: every connection"), "{nobody_yet}");
        api(&app, &owner.token, Method::PUT, &format!("/connections/{id}/grants"), Some(json!({ "members": [mia] }))).await;
        let shown = owner.browser.get(&format!("/members/{mia}")).await.text();
        assert!(shown.contains("The keyed one") && shown.contains("not known"), "{shown}");
        for number in 0..60 {
            app.member(&format!("keeper-{number:02}@example.test"), Role::Member).await;
        }
        let first = owner.browser.get("/members").await.text();
        assert!(first.contains("keeper-49") && !first.contains("keeper-50"), "{first}");
        let next = first.split("<a href=\"/members?cursor=").nth(1).unwrap().split('"').next().unwrap();
        let second = owner.browser.get(&format!("/members?cursor={next}")).await.text();
        assert!(second.contains("keeper-50") && second.contains(MIA) && second.contains("1 connection") && !second.contains("keeper-49"));
        let named = owner.browser.get("/members?q=KEEPER-3").await.text();
        assert!(named.contains("keeper-31") && !named.contains("keeper-29"));
        let none = owner.browser.get("/members?q=%25").await.text();
        assert!(none.contains("Nobody fits"), "a sign of patterns is a sign like others: {none}");
        let owners = owner.browser.get("/members?role=owner&status=active").await.text();
        assert!(owners.contains("owner@example.test") && !owners.contains("keeper-"));
        app.signed_in(MIA).await.get("/").await;
        assert!(owner.browser.get("/members?q=mia").await.text().contains("just now"));
        app.stop().await;
    }

    async fn an_invitation_is_shown_once_and_can_be_taken_back(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let page = "/members/invitations";
        let team = api(&app, &owner.token, Method::POST, "/teams", Some(json!({ "name": "Keepers" }))).await.json();
        let team = team["id"].as_str().unwrap();
        let wrong = press(&owner.browser, page, &[("what", "invite"), ("email", "no address"), ("role", "member"), ("team", team)]).await;
        let text = wrong.text();
        assert!(wrong.status.as_u16() == 422 && text.contains("value=\"no address\"") && text.contains("checked"), "{text}");
        let made = press(&owner.browser, page, &[("what", "invite"), ("email", MIA), ("role", "admin"), ("team", team)]).await.text();
        let link = made.split("<pre data-copy=\"link\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let path = link.strip_prefix(&app.url("")).unwrap().to_owned();
        assert!(!owner.browser.get(page).await.text().contains("swb_"), "once");
        let listed = read(&app, &owner.token, "/invitations").await;
        assert_eq!((&listed["items"][0]["email"], &listed["items"][0]["role"], &listed["items"][0]["teams"]), (&json!(MIA), &json!("admin"), &json!([team])));
        let id = listed["items"][0]["id"].as_str().unwrap();
        assert!(made.contains("Only this machine can open it"), "its address is a loopback one: {made}");
        let opened = app.browser().get(&path).await.text();
        assert!(opened.contains(MIA) && !opened.contains("You are signed in as"), "{opened}");
        let theirs = owner.browser.get(&path).await.text();
        assert!(theirs.contains("You are signed in as <bdi>owner@example.test</bdi>"), "who tries it out is warned: {theirs}");
        assert_eq!(press(&owner.browser, page, &[("what", "revoke"), ("id", id)]).await.location(), page);
        assert!(!app.browser().get(&path).await.text().contains("Password"), "the link is over");
        assert!(owner.browser.get(page).await.text().contains("Revoked"));
        assert_eq!(recorded(&app, &owner.token, "invitation.revoke").await.len(), 1);
        app.stop().await;
    }

    async fn a_role_a_status_and_the_last_owner(database) {
        let clock = std::sync::Arc::new(FixedClock::at_micros(1_795_000_000_000_000));
        let app = App::start_with(database.db.clone(), AppOptions { clock: Some(clock.clone()), ..AppOptions::default() }).await;
        let owner = Person::owner(&app).await;
        let mia = app.member_with_password(MIA, Role::Member).await;
        let page = format!("/members/{mia}");
        let stored = async || read(&app, &owner.token, &page).await;
        assert_eq!(press(&owner.browser, &page, &[("what", "role"), ("role", "admin")]).await.location(), page);
        assert_eq!(stored().await["role"], "admin");
        let admin = app.signed_in(MIA).await;
        let owners = format!("/members/{}", app.owner);
        assert!(admin.get(&owners).await.text().contains("last owner"));
        let refused = press(&admin, &owners, &[("what", "suspend")]).await;
        assert!(refused.status.as_u16() == 409 && refused.text().contains("Only an owner can make"), "{}", refused.text());
        let last = press(&owner.browser, &owners, &[("what", "remove")]).await;
        assert!(last.status.as_u16() == 409 && last.text().contains("last owner"), "{}", last.text());
        assert_eq!(recorded(&app, &owner.token, "member.remove").await[0]["outcome"], "refused");
        assert_eq!(press(&owner.browser, &page, &[("what", "suspend")]).await.location(), page);
        assert_eq!(stored().await["status"], "suspended");
        assert!(admin.get("/members").await.location().starts_with("/sign-in"), "they are out at once");
        assert!(owner.browser.get("/members?status=suspended").await.text().contains(MIA));
        assert_eq!(press(&owner.browser, &page, &[("what", "reactivate")]).await.location(), page);

        clock.advance(Duration::from_secs(3_600));
        let asked = press(&owner.browser, &page, &[("what", "remove")]).await;
        assert_eq!(asked.location(), format!("/reauthenticate?return_to={}", page.replace('/', "%2F")));
        assert_eq!(stored().await["status"], "active");
        let token = owner.browser.get(asked.location()).await.hidden("form_token");
        let proof = [("password", PASSWORD), ("return_to", &*page), ("form_token", &token)];
        assert_eq!(owner.browser.post("/reauthenticate", &proof).await.location(), page);
        assert_eq!(press(&owner.browser, &page, &[("what", "remove")]).await.location(), "/members");
        assert_eq!(owner.browser.get(&page).await.status.as_u16(), 404);
        app.stop().await;
    }

    async fn a_team_is_made_filled_renamed_and_deleted(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let mia = app.member_with_password(MIA, Role::Member).await;
        let made = press(&owner.browser, "/members/teams", &[("name", "Keepers")]).await;
        let page = made.location().to_owned();
        let id = page.strip_prefix("/members/teams/").unwrap().to_owned();
        let again = press(&owner.browser, "/members/teams", &[("name", "Keepers")]).await;
        assert!(again.status.as_u16() == 409 && again.text().contains("There is a team"), "{}", again.text());
        let unknown = press(&owner.browser, &page, &[("what", "add"), ("email", "who@example.test")]).await;
        assert!(unknown.status.as_u16() == 422 && unknown.text().contains("value=\"who@example.test\""));
        assert_eq!(press(&owner.browser, &page, &[("what", "add"), ("email", MIA)]).await.location(), page);
        let stored = async || read(&app, &owner.token, "/teams").await["items"].clone();
        assert_eq!(stored().await[0]["members"], json!([mia]));
        press(&owner.browser, "/members/teams", &[("name", "Others")]).await;
        let taken = press(&owner.browser, &page, &[("what", "rename"), ("name", "Others")]).await;
        assert!(taken.status.as_u16() == 409 && taken.text().contains("value=\"Others\""), "{}", taken.text());
        assert_eq!(press(&owner.browser, &page, &[("what", "rename"), ("name", "Watch")]).await.location(), page);
        assert_eq!(stored().await[1]["name"], "Watch");
        assert_eq!(recorded(&app, &owner.token, "team.update").await[0]["details"]["after"], "Watch");
        press(&owner.browser, &page, &[("what", "remove"), ("member", &mia.to_string())]).await;
        assert_eq!(stored().await[1]["members"], json!([]));
        assert_eq!(press(&owner.browser, &page, &[("what", "delete")]).await.location(), "/members/teams");
        assert!(!stored().await.to_string().contains(&id));
        app.stop().await;
    }

    async fn what_members_and_strangers_get(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, MIA).await;
        let team = api(&app, &owner.token, Method::POST, "/teams", Some(json!({ "name": "Keepers" }))).await.json();
        let team = format!("/members/teams/{}", team["id"].as_str().unwrap());
        let (_, stranger, _) = app.stranger(&[Scope::Api]).await;
        let theirs = format!("/members/{stranger}");
        let ours = format!("/members/{}", app.owner);
        let unknown = owner.browser.get("/members/mem_00000000000000000000000000").await;
        assert_eq!((unknown.status.as_u16(), owner.browser.get(&theirs).await.text()), (404, unknown.text()));
        let token = mia.browser.get("/").await.hidden("form_token");
        // With the menu of whoever looks.
        let unknown = mia.browser.get("/members/mem_00000000000000000000000000").await;
        for page in ["/members", "/members/invitations", "/members/teams", &*ours, &*team] {
            assert!(app.browser().get(page).await.location().starts_with("/sign-in?return_to="), "{page}");
            assert_eq!(mia.browser.get(page).await.text(), unknown.text(), "{page}");
        }
        let forms = [
            ("/members/invitations", vec![("what", "invite"), ("email", "x@example.test"), ("role", "admin")]),
            ("/members/teams", vec![("name", "Mine")]),
            (&*team, vec![("what", "delete")]),
            (&*team, vec![("what", "add"), ("email", MIA)]),
            (&*format!("{ours}/change"), vec![("what", "remove")]),
            (&*format!("{theirs}/change"), vec![("what", "remove")]),
        ]
        .map(|(path, fields)| (path.to_owned(), fields));
        let state = async || {
            let parts = ["/members", "/teams", "/invitations"].map(|path| read(&app, &owner.token, path));
            let [members, teams, invitations] = parts;
            format!("{} {} {}", members.await, teams.await, invitations.await)
        };
        let before = state().await;
        for (path, mut fields) in forms {
            fields.push(("form_token", &token));
            assert_eq!(mia.browser.post(&path, &fields).await.status.as_u16(), 404, "{path}");
            let forged = owner.browser.post(&path, &fields).await.status.as_u16();
            assert!([400, 403].contains(&forged), "another's token at {path}: {forged}");
        }
        assert_eq!(before, state().await);
        let here: MemberId = app.owner;
        assert!(owner.browser.get(&format!("/members/{here}")).await.text().contains("this is you"));
        app.stop().await;
    }
}
