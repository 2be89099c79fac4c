//! `/tools` in a browser: the search that agents use, a tool in its own words, and runs that are calls like any other.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, Browser, McpReply},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    connect::{Person, api},
    support::owner as client_of_owner,
};

const MIA: &str = "mia@example.test";

/// Runs a tool by its form, with the hidden fields of its page.
async fn run(browser: &Browser, name: &str, fields: &[(&str, &str)]) -> McpReply {
    let page = browser.get(&format!("/tools/tool?name={name}")).await;
    let (token, digest) = (page.hidden("form_token"), page.hidden("schema_digest"));
    let mut sent = vec![("form_token", &*token), ("name", name), ("schema_digest", &*digest)];
    sent.extend(fields);
    browser.post("/tools/tool", &sent).await
}

/// Calls that ended, the newest first: nothing waits for these entries but this.
async fn ended(app: &App, token: &str, count: usize) -> Vec<Value> {
    loop {
        let read = api(app, token, Method::GET, "/audit?action=capability.execute", None).await.json();
        let entries = read["items"].as_array().unwrap().iter();
        let ended: Vec<Value> = entries.filter(|it| it["outcome"].is_string()).cloned().collect();
        if ended.len() >= count {
            return ended;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn rules(app: &App, token: &str, rules: Value) {
    let put = api(app, token, Method::PUT, "/policies", Some(rules)).await;
    assert!(put.status.is_success(), "{}", put.text());
}

on_both! {
    async fn a_person_finds_what_their_agent_finds_and_is_told_why(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::builder().tools(60).start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let agent = client_of_owner(&app).await.search(json!({ "query": "delete something", "limit": 20 })).await;
        let names: Vec<&str> = agent["matches"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        let text = owner.browser.get("/tools?q=delete+something").await.text();
        let places: Vec<usize> = names.iter().map(|name| text.find(&format!("<bdi>{name}</bdi>")).unwrap_or_else(|| panic!("{name}: {text}"))).collect();
        assert!(!names.is_empty() && places.is_sorted(), "in the same order: {names:?}");
        assert!(text.contains("“delete” in its name") && text.contains("May destroy, it says"), "{text}");

        let first = owner.browser.get("/tools").await.text();
        let next = first.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap().split('"').next().unwrap().replace("&#38;", "&");
        let second = owner.browser.get(&next).await.text();
        assert!(second.contains("From the beginning") && !second.contains("demo.add</bdi>"), "{second}");
        let none = owner.browser.get("/tools?q=%3Cscript%3Exyzzy").await.text();
        assert!(none.contains("Nothing fits") && none.contains("Show all tools") && !none.contains("<script>x"), "{none}");
        assert_eq!(owner.browser.get("/tools?cursor=%21").await.status.as_u16(), 400);
        assert_eq!(owner.browser.get("/tools?connection=nowhere").await.status.as_u16(), 404);
        app.stop().await;
    }

    async fn a_form_made_of_the_schema_runs_the_tool_and_the_call_is_on_record(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let page = owner.browser.get("/tools/tool?name=demo.echo").await.text();
        for part in ["No account: this server asks for none", "What to answer", "text, needed", "Input schema", "execute_capability", "curl -X POST"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let done = run(&owner.browser, "demo.echo", &[("field-0", "<b>it's</b>\u{202e}"), ("how", "fields"), ("intent", "to see it")]).await;
        let text = done.text();
        assert!(done.status.is_success() && text.contains("It ran"), "{text}");
        assert!(text.contains("&#60;b&#62;it&#39;s&#60;/b&#62;⟨U+202E⟩") && !text.contains("<b>it"), "{text}");
        let log = upstream.log().all();
        let called = log.iter().rev().find(|it| it.method() == "tools/call").unwrap();
        assert_eq!(called.message["params"]["arguments"], json!({ "text": "<b>it's</b>\u{202e}" }));
        let entry = &ended(&app, &owner.token, 1).await[0];
        assert!(entry["client"].as_str().unwrap().starts_with("console "), "{entry}");
        assert_eq!((&entry["target"], &entry["outcome"], &entry["intent"]), (&json!("demo.echo"), &json!("ok"), &json!("to see it")));
        assert!(text.contains(entry["call_id"].as_str().unwrap()), "{entry}");

        let wrong = run(&owner.browser, "demo.add", &[("field-0", "many"), ("field-1", "2"), ("how", "fields")]).await;
        assert_eq!(wrong.status.as_u16(), 422);
        assert!(wrong.text().contains("is not a number") && wrong.text().contains("value=\"many\""), "{}", wrong.text());
        let sum = run(&owner.browser, "demo.add", &[("raw", "{\"a\": 1, \"b\": 2}")]).await.text();
        assert!(sum.contains("Structured") && sum.contains("&#34;sum&#34;: 3"), "{sum}");
        let broken = run(&owner.browser, "demo.add", &[("raw", "{\"a\": 1")]).await;
        assert!(broken.status.as_u16() == 422 && broken.text().contains("This is not JSON"), "{}", broken.text());
        let unfit = run(&owner.browser, "demo.add", &[("raw", "{\"a\": \"x\", \"b\": 2}")]).await.text();
        assert!(unfit.contains("The arguments don") && unfit.contains("/a"), "{unfit}");
        let failed = run(&owner.browser, "demo.fail", &[("field-0", "no such thing"), ("how", "fields")]).await.text();
        assert!(failed.contains("The tool reports an error") && failed.contains("no such thing"), "{failed}");
        let refused = run(&owner.browser, "demo.refuse", &[("field-0", "no"), ("how", "fields")]).await.text();
        assert!(refused.contains("The server refused the call"), "{refused}");
        let kinds = run(&owner.browser, "demo.content", &[("how", "fields")]).await.text();
        assert!(kinds.contains("[image, image/png") && kinds.contains("a note") && !kinds.contains("<img src=\"data"), "{kinds}");
        assert!(owner.browser.get("/tools/tool?name=demo.delete_everything").await.text().contains("may destroy something"));
        app.stop().await;
    }

    async fn rules_hold_for_the_console_as_for_agents(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        app.member_with_password("adm@example.test", Role::Admin).await;
        rules(&app, &owner.token, json!([
            { "pattern": "demo.echo", "action": "require_approval", "approvers": "admins" },
            { "pattern": "demo.add", "action": "block" },
        ])).await;
        let mia = Person::member(&app, MIA).await;
        assert!(mia.browser.get("/tools").await.text().contains("Needs approval"));
        assert_eq!(mia.browser.get("/tools/tool?name=demo.add").await.status.as_u16(), 404, "blocked is not there");
        assert!(owner.browser.get("/tools/tool?name=demo.add").await.text().contains("The rules refuse your call"));
        let blocked = run(&owner.browser, "demo.add", &[("raw", "{\"a\": 1, \"b\": 2}")]).await.text();
        assert!(blocked.contains("Blocked by a rule"), "{blocked}");

        let held = run(&mia.browser, "demo.echo", &[("field-0", "careful"), ("how", "fields")]).await;
        let text = held.text();
        assert!(text.contains("It waits for approval") && text.contains("value=\"careful\""), "{text}");
        assert!(!text.contains("Call again with the same"), "that is for agents: {text}");
        let approval = held.hidden("approval_id");
        assert!(text.contains(&format!("href=\"/approvals/{approval}\"")), "{text}");
        let early = run(&mia.browser, "demo.echo", &[("field-0", "careful"), ("how", "fields"), ("approval_id", &approval)]).await;
        assert_eq!(early.hidden("approval_id"), approval);
        let approve = api(&app, &owner.token, Method::POST, &format!("/approvals/{approval}/approve"), None).await;
        assert!(approve.status.is_success(), "{}", approve.text());
        let ran = run(&mia.browser, "demo.echo", &[("field-0", "careful"), ("how", "fields"), ("approval_id", &approval)]).await.text();
        assert!(ran.contains("It ran") && ran.contains("careful"), "{ran}");
        assert!(ran.contains("/policies/mine/rule?pattern=demo.echo") && !ran.contains("href=\"/audit"), "{ran}");
        let owners = owner.browser.get("/tools/tool?name=demo.echo").await.text();
        assert!(owners.contains("href=\"/policies/rule?pattern=demo.echo\""), "{owners}");
        let outcomes: Vec<Value> = ended(&app, &owner.token, 4).await.into_iter().map(|it| it["outcome"].clone()).collect();
        assert_eq!(outcomes, ["ok", "held", "held", "refused"]);
        let usage = owner.browser.get("/usage").await.text();
        for part in ["1 went well", "1 did not", "2 waited for approval"] {
            assert!(usage.contains(part), "{part}: {usage}");
        }
        app.stop().await;
    }

    async fn what_is_not_for_somebody_is_not_there(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.add("hidden", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, MIA).await;
        let nobody = app.browser();
        assert!(nobody.get("/tools/tool?name=hidden.echo").await.location().starts_with("/sign-in?return_to="));
        let (ungranted, unknown) = (mia.browser.get("/tools/tool?name=hidden.echo").await, mia.browser.get("/tools/tool?name=none.echo").await);
        assert_eq!((ungranted.status.as_u16(), ungranted.text()), (404, unknown.text()));
        let text = mia.browser.get("/tools").await.text();
        assert!(text.contains("No connection is granted to you yet") && !text.contains("hidden.echo"), "{text}");
        let token = mia.browser.get("/tools").await.hidden("form_token");
        let before = upstream.log().all().len();
        let fields = [("form_token", &*token), ("name", "hidden.echo"), ("raw", "{\"text\": \"x\"}")];
        assert_eq!(mia.browser.post("/tools/tool", &fields).await.status.as_u16(), 404);
        let forged = owner.browser.post("/tools/tool", &fields).await;
        assert!([400, 403].contains(&forged.status.as_u16()), "another's token");
        assert_eq!(upstream.log().all().len(), before, "nothing was asked of the server");
        let (_, _, stranger) = app.stranger(&[Scope::Api]).await;
        assert_eq!(api(&app, &stranger, Method::GET, "/connections", None).await.json()["items"], json!([]));
        app.stop().await;
    }
}
