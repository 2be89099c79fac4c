//! `/connections/{id}/activity`, and staging in the console.

use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, McpClient},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    connect::Person,
    console::{press, read, takes_own_forms_only},
};

const MIA: &str = "mia@example.test";

/// A client of this person.
async fn caller(app: &App, owner: &Person, email: &str) -> McpClient {
    let members = read(app, &owner.token, "/members").await;
    let found = members["items"].as_array().unwrap().iter().find(|member| member["email"] == email).unwrap();
    let id = found["id"].as_str().unwrap().parse().unwrap();
    app.client(&app.token(id, &[Scope::McpRead, Scope::McpWrite]).await)
}

/// The page, once it shows this.
async fn until_shown(person: &Person, page: &str, part: &str) -> String {
    let mut shown = String::new();
    for _ in 0..200 {
        shown = person.browser.get(page).await.text();
        if shown.contains(part) {
            return shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("no {part}: {shown}");
}

on_both! {
    async fn everybody_sees_their_own_calls_and_admins_all(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        app.connect("demo-two", &upstream.url()).await;
        let (owner, mia) = (Person::owner(&app).await, Person::member(&app, MIA).await);
        let page = format!("/connections/{id}/activity");
        assert!(mia.browser.get(&page).await.text().contains("No call in the last 30 days"));
        let (hers, his) = (caller(&app, &owner, MIA).await, caller(&app, &owner, "owner@example.test").await);
        hers.execute("demo.echo", json!({ "text": "x" })).await;
        hers.execute("demo-two.echo", json!({ "text": "x" })).await;
        his.execute("demo.fail", json!({})).await;
        let all = until_shown(&owner, &page, "<bdi>fail</bdi>").await;
        let all = if all.contains("<bdi>echo</bdi>") { all } else { until_shown(&owner, &page, "<bdi>echo</bdi>").await };
        assert!(all.contains(MIA) && all.contains("The server&#39;s error") && all.matches("<bdi>echo</bdi>").count() == 1, "{all}");
        let own = until_shown(&mia, &page, "<bdi>echo</bdi>").await;
        assert!(own.contains("Your calls") && !own.contains("<bdi>fail</bdi>") && !own.contains("owner@example.test"), "{own}");
        let went_well = owner.browser.get(&format!("{page}?outcome=ok")).await.text();
        assert!(went_well.contains("<bdi>echo</bdi>") && !went_well.contains("<bdi>fail</bdi>"), "{went_well}");
        assert!(owner.browser.get(&format!("{page}?outcome=refused")).await.text().contains("No call fits"));
        app.stop().await;
    }

    async fn what_is_staged_is_published_and_taken_back_from_the_list(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        let (owner, mia) = (Person::owner(&app).await, Person::member(&app, MIA).await);
        app.member_with_password("adm@example.test", Role::Admin).await;
        let admin = app.signed_in("adm@example.test").await;
        let settings = format!("/connections/{id}/settings");
        let rollout = async || read(&app, &owner.token, &format!("/connections/{id}")).await["rollout"].clone();
        let save = async |more: &[(&str, &str)]| {
            let revision = owner.browser.get(&settings).await.hidden("revision");
            let url = upstream.url();
            let mut edit = vec![("name", "Demo"), ("url", &*url), ("enabled", "yes"), ("availability", "default_on"), ("revision", &*revision)];
            edit.extend_from_slice(more);
            assert_eq!(press(&owner.browser, &settings, &settings, &edit).await.status.as_u16(), 303);
        };
        save(&[("staged", "yes")]).await;
        assert_eq!(rollout().await, "staged");
        assert_eq!(mia.browser.get(&format!("/connections/{id}")).await.status.as_u16(), 404);
        let shown = owner.browser.get("/connections").await.text();
        assert!(shown.contains("1 connection is staged") && shown.contains("class=\"badge\">staged"), "{shown}");
        let path = "/connections/rollout";
        let token = mia.browser.get("/").await.hidden("form_token");
        assert_eq!(mia.browser.post(path, &[("change", "publish"), ("form_token", &token)]).await.status.as_u16(), 404);
        takes_own_forms_only(&admin, path, &[("change", "publish")], &token).await;
        assert_eq!(rollout().await, "staged");
        assert_eq!(press(&owner.browser, "/connections", path, &[("change", "publish")]).await.location(), "/connections");
        assert_eq!(rollout().await, "published");
        assert_eq!(mia.browser.get(&format!("/connections/{id}")).await.status.as_u16(), 200);
        save(&[]).await;
        assert_eq!(rollout().await, "published", "saving other settings keeps what can be taken back");
        press(&owner.browser, "/connections", path, &[("change", "take_back")]).await;
        assert_eq!(rollout().await, "staged");
        let entry: Value = read(&app, &owner.token, "/audit?action=rollout.take_back&limit=1").await["items"][0].clone();
        assert_eq!(entry["outcome"], "ok", "{entry}");
        app.stop().await;
    }
}
