//! `/toolkits` and what is below it: made in a browser, pointed at by a client, and nobody else's.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{Grants, Role, Scope};
use switchboard_testkit::{
    app::{App, McpReply},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    connect::{Person, api},
    console::{looks_like_nothing, press, read, takes_own_forms_only},
};

const MIA: &str = "mia@example.test";
const NEW: &str = "/toolkits/new";

async fn make(person: &Person, fields: &[(&str, &str)]) -> McpReply {
    let mut all = vec![("step", "create")];
    all.extend_from_slice(fields);
    press(&person.browser, NEW, NEW, &all).await
}

/// The newest entry of the audit log with this action.
async fn recorded(app: &App, action: &str) -> Value {
    let token = app.token(app.owner, &[Scope::Api]).await;
    read(app, &token, &format!("/audit?action={action}&limit=1")).await["items"][0].clone()
}

on_both! {
    async fn a_toolkit_is_made_in_a_browser_and_found_by_a_client(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        app.connect("other", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let empty = owner.browser.get("/toolkits").await.text();
        assert!(empty.contains("No toolkit yet") && empty.contains("href=\"/toolkits/new\""), "{empty}");

        let preview = press(&owner.browser, NEW, NEW, &[("step", "preview"), ("name", "Customer support"), ("pattern", "demo.echo"), ("patterns", "*.add\nnothing.here")]).await.text();
        for part in ["It shows 3 tools", "value=\"Customer support\"", "demo.echo", "other.add", "nothing that you can see: <code>nothing.here</code>"] {
            assert!(preview.contains(part), "{part}: {preview}");
        }
        assert!(preview.contains(">*.add\nnothing.here</textarea>"), "what no box stands for stays text: {preview}");
        assert_eq!(read(&app, &owner.token, "/toolkits").await["items"], json!([]), "looking makes nothing");

        let made = make(&owner, &[("name", "Customer support"), ("pattern", "demo.echo"), ("patterns", "*.add")]).await;
        assert_eq!(made.status.as_u16(), 303, "{}", made.text());
        let page = made.location().to_owned();
        let stored = read(&app, &owner.token, &page).await;
        assert_eq!((&stored["slug"], &stored["owner"], &stored["surface"], &stored["patterns"]),
            (&json!("customer-support"), &json!("organization"), &json!("search"), &json!(["demo.echo", "*.add"])));
        let entry = recorded(&app, "toolkit.create").await;
        assert_eq!((&entry["target"], &entry["outcome"]), (&json!("customer-support"), &json!("ok")), "{entry}");

        let token = app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await;
        let client = app.client_at("/mcp/toolkits/customer-support", Some(&token));
        let ran = async |name: &str| client.execute(name, json!({ "text": "x", "a": 1, "b": 2 })).await["isError"].clone();
        assert_eq!((ran("demo.echo").await, ran("other.echo").await, ran("demo.content").await), (json!(false), json!(true), json!(true)));

        let shown = owner.browser.get(&page).await.text();
        assert!(shown.contains(stored["url"].as_str().unwrap()) && shown.contains("It shows 3 tools"), "{shown}");
        let tools = format!("{page}/tools");
        let form = owner.browser.get(&tools).await;
        assert!(form.text().contains("value=\"demo.echo\" checked") && form.text().contains(">*.add</textarea>"), "{}", form.text());
        let revision = form.hidden("revision");
        let all = [("step", "save"), ("revision", &*revision), ("pattern", "demo.*"), ("patterns", "")];
        assert_eq!(press(&owner.browser, &tools, &tools, &all).await.location(), page);
        assert_eq!((ran("demo.content").await, ran("other.add").await), (json!(false), json!(true)));
        assert_eq!(press(&owner.browser, &tools, &tools, &all).await.status.as_u16(), 409, "of an older page");

        let settings = format!("{page}/settings");
        let revision = owner.browser.get(&settings).await.hidden("revision");
        let edit = [("revision", &*revision), ("name", "Desk"), ("surface", "direct")];
        assert_eq!(press(&owner.browser, &settings, &settings, &edit).await.status.as_u16(), 303);
        let listed = client.modern("tools/list", json!({})).await.result();
        assert!(listed["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "demo__echo"), "{listed}");
        let cards = owner.browser.get("/toolkits").await.text();
        assert!(cards.contains("<bdi>Desk</bdi>") && cards.contains("listed one to one"), "{cards}");

        let gone = format!("{page}/delete");
        assert_eq!(press(&owner.browser, &settings, &gone, &[("slug", "desk")]).await.status.as_u16(), 422);
        assert_eq!(press(&owner.browser, &settings, &gone, &[("slug", "customer-support")]).await.location(), "/toolkits");
        assert_eq!(owner.browser.get(&page).await.status.as_u16(), 404);
        assert_eq!(recorded(&app, "toolkit.delete").await["target"], "customer-support");
        app.stop().await;
    }

    async fn what_is_typed_wrong_is_said_beside_its_field_and_kept(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let bad = make(&owner, &[("name", "<b>Mine"), ("slug", "Not a slug"), ("pattern", "demo.echo"), ("patterns", "demo.ec*")]).await;
        assert_eq!(bad.status.as_u16(), 422);
        let text = bad.text();
        for part in ["id=\"patterns-error\"><code>demo.ec*</code> is not a pattern", "id=\"slug-error\">", "value=\"demo.echo\" checked", ">demo.ec*</textarea>", "value=\"&#60;b&#62;Mine\"", "value=\"Not a slug\""] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let none = make(&owner, &[("name", "None")]).await;
        assert!(none.status.as_u16() == 422 && none.text().contains("id=\"patterns-error\">Choose at least one tool"), "{}", none.text());
        assert_eq!(make(&owner, &[("name", "One"), ("pattern", "demo.*")]).await.status.as_u16(), 303);
        let again = make(&owner, &[("name", "One"), ("pattern", "demo.*")]).await;
        assert!(again.status.as_u16() == 409 && again.text().contains("id=\"slug-error\">There is a toolkit <code>one</code> already"), "{}", again.text());
        assert_eq!(recorded(&app, "toolkit.create").await["outcome"], "refused");
        app.stop().await;
    }

    async fn a_rule_that_applies_stands_beside_each_tool(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let rules = json!([{ "pattern": "demo.add", "action": "block" }, { "pattern": "demo.echo", "action": "require_approval" }]);
        api(&app, &owner.token, Method::PUT, "/policies", Some(rules)).await;
        let page = make(&owner, &[("name", "All"), ("pattern", "demo.*")]).await.location().to_owned();
        let shown = owner.browser.get(&page).await.text();
        let beside = |tool: &str| shown.split(&format!("<bdi>demo.{tool}</bdi>")).nth(1).unwrap().split("</li>").next().unwrap().to_owned();
        assert!(beside("add").contains("Blocked") && beside("add").contains("the organization&#39;s rule 1"), "{}", beside("add"));
        assert!(beside("echo").contains("Needs approval") && beside("content").contains("Allowed"));
        let mia = Person::member(&app, MIA).await;
        let hers = mia.browser.get(&page).await.text();
        assert!(hers.contains("demo.echo") && !hers.contains("demo.add"), "as search shows them: {hers}");
        app.stop().await;
    }

    async fn every_toolkit_page_and_form_with_every_caller(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let secret = app.add("secret", &upstream.url()).await;
        app.grant(secret, Grants::default()).await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, MIA).await;
        app.member_with_password("adm@example.test", Role::Admin).await;
        let admin = app.signed_in("adm@example.test").await;
        let elsewhere = app.stranger_signed_in().await;
        let shared = make(&owner, &[("name", "Shared"), ("patterns", "*")]).await.location().to_owned();
        let named = make(&owner, &[("name", "Named"), ("patterns", "demo.*")]).await.location().to_owned();
        let people = format!("{named}/people");
        assert_eq!(press(&owner.browser, &people, &people, &[("change", "add"), ("email", "owner@example.test")]).await.status.as_u16(), 303);
        let hers = make(&mia, &[("name", "Hers"), ("owner", "member"), ("pattern", "demo.echo")]).await.location().to_owned();
        let refused = make(&mia, &[("name", "Everybody's"), ("owner", "organization"), ("pattern", "demo.echo")]).await;
        assert!(refused.status.as_u16() == 422 && refused.text().contains("needs the role of an admin"), "{}", refused.text());

        let unknown = "/toolkits/tkt_00000000000000000000000000";
        for tail in ["", "/tools", "/people", "/settings"] {
            let at = |toolkit: &str| format!("{toolkit}{tail}");
            let nobody = app.browser().get(&at(&shared)).await;
            assert_eq!(nobody.location(), format!("/sign-in?return_to={}", at(&shared).replace('/', "%2F")));
            assert_eq!(admin.get(&at(&shared)).await.status.as_u16(), 200, "{tail}");
            looks_like_nothing(&mia.browser, &at(&named), &at(unknown)).await;
            looks_like_nothing(&admin, &at(&hers), &at(unknown)).await;
            for toolkit in [&shared, &named, &hers] {
                looks_like_nothing(&elsewhere, &at(toolkit), &at(unknown)).await;
            }
            if !tail.is_empty() {
                looks_like_nothing(&mia.browser, &at(&shared), &at(unknown)).await;
            }
        }
        let seen = mia.browser.get("/toolkits").await.text();
        assert!(seen.contains("Shared") && seen.contains("Hers") && !seen.contains("Named"), "{seen}");
        let open = mia.browser.get(&shared).await.text();
        assert!(open.contains("Personal connections are reached as well") && !open.contains("secret"), "{open}");
        assert!(!admin.get("/toolkits").await.text().contains("Hers"));

        let forms = [
            ("tools", vec![("step", "save"), ("pattern", "demo.add")]),
            ("people", vec![("change", "teams")]),
            ("settings", vec![("name", "Taken"), ("surface", "direct")]),
            ("delete", vec![("slug", "shared")]),
        ];
        let token = mia.browser.get("/toolkits/new").await.hidden("form_token");
        let strange = elsewhere.get("/toolkits/new").await.hidden("form_token");
        let before = read(&app, &owner.token, "/toolkits").await;
        for (form, fields) in forms {
            for toolkit in [&shared, &named] {
                let path = format!("{toolkit}/{form}");
                for (browser, token) in [(&mia.browser, &token), (&elsewhere, &strange)] {
                    let mut sent = fields.clone();
                    sent.push(("form_token", token));
                    assert_eq!(browser.post(&path, &sent).await.status.as_u16(), 404, "{path}");
                }
                takes_own_forms_only(&admin, &path, &fields, &token).await;
            }
        }
        assert_eq!(before, read(&app, &owner.token, "/toolkits").await, "nothing was changed");
        app.stop().await;
    }
}
