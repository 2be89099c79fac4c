//! `/policies`, `/policies/mine`, `/toolkits/{id}/rules`: written and ordered in a browser, in force for calls.

use http::Method;
use serde_json::{Value, json};
use switchboard_domain::{Role, Scope};
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

/// A rule's form, as its page fills it in, with these fields changed.
async fn save(person: &Person, list: &str, at: Option<&str>, fields: &[(&str, &str)]) -> McpReply {
    let form = format!("{list}/rule");
    let page = at.map_or_else(|| form.clone(), |at| format!("{form}?at={at}"));
    let revision = person.browser.get(&page).await.hidden("revision");
    let mut all = vec![("step", "save"), ("revision", &*revision), ("approvers", "caller")];
    all.extend(at.map(|at| ("at", at)));
    all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
    all.extend_from_slice(fields);
    press(&person.browser, &page, &form, &all).await
}

async fn change(person: &Person, list: &str, fields: &[(&str, &str)]) -> McpReply {
    let revision = person.browser.get(list).await.hidden("revision");
    let mut all = vec![("revision", &*revision)];
    all.extend_from_slice(fields);
    press(&person.browser, list, list, &all).await
}

async fn patterns(app: &App, token: &str) -> Vec<String> {
    let rules = read(app, token, "/policies").await;
    rules.as_array().unwrap().iter().map(|rule| rule["pattern"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn rules_are_written_ordered_and_in_force(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let list = "/policies";
        assert!(owner.browser.get(list).await.text().contains("No rule yet"));
        let client = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let code = async |name: &str| client.execute(name, json!({ "text": "x", "a": 1, "b": 2 })).await["structuredContent"]["code"].clone();

        let blocked = save(&owner, list, None, &[("pattern", "demo.add"), ("action", "block")]).await;
        assert_eq!(blocked.location(), "/policies?from=1#rule-1");
        assert_eq!((code("demo.add").await, code("demo.echo").await), (json!("policy_blocked"), Value::Null));
        save(&owner, list, None, &[("pattern", "demo.*"), ("action", "require_approval"), ("approvers", "admins"), ("second_person", "yes")]).await;
        assert_eq!(code("demo.echo").await, "approval_required");
        let conditional = [("pattern", "demo.echo"), ("action", "allow"), ("condition", "args.text == 'x'"), ("kind", "tool"), ("place", "start")];
        assert_eq!(save(&owner, list, None, &conditional).await.location(), "/policies?from=1#rule-1");
        assert_eq!(code("demo.echo").await, Value::Null);
        let stored = read(&app, &owner.token, "/policies").await;
        assert_eq!(stored[0], json!({ "pattern": "demo.echo", "action": "allow", "kind": "tool", "condition": "args.text == 'x'", "approvers": "caller", "second_person": false }));
        assert_eq!((&stored[2]["approvers"], &stored[2]["second_person"]), (&json!("admins"), &json!(true)));

        assert_eq!(change(&owner, list, &[("position", "3"), ("change", "move"), ("to", "1")]).await.location(), "/policies?from=1#rule-1");
        assert_eq!(patterns(&app, &owner.token).await, ["demo.*", "demo.echo", "demo.add"]);
        let shown = owner.browser.get(list).await.text();
        assert!(shown.contains("Never counts: rule 1") && shown.contains("matches 9 tools") && shown.contains("who is not the one whose agent asks"), "{shown}");
        change(&owner, list, &[("position", "1"), ("change", "down")]).await;
        change(&owner, list, &[("position", "3"), ("change", "up")]).await;
        assert_eq!(patterns(&app, &owner.token).await, ["demo.echo", "demo.add", "demo.*"]);
        assert_eq!(save(&owner, list, Some("2"), &[("pattern", "demo.content"), ("action", "block")]).await.status.as_u16(), 303);
        assert_eq!((code("demo.add").await, code("demo.content").await), (json!("approval_required"), json!("policy_blocked")));
        change(&owner, list, &[("position", "3"), ("change", "delete")]).await;
        assert_eq!(patterns(&app, &owner.token).await, ["demo.echo", "demo.content"]);
        assert_eq!(code("demo.add").await, Value::Null);
        let entry = read(&app, &owner.token, "/audit?action=policies.put&limit=1").await["items"][0].clone();
        assert_eq!((&entry["outcome"], entry["details"]["before"].as_array().unwrap().len()), (&json!("ok"), 3), "{entry}");
        app.stop().await;
    }

    async fn a_rule_that_is_wrong_is_told_beside_its_field_and_kept(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let list = "/policies";
        for (fields, beside) in [
            (vec![("pattern", "demo.del*"), ("action", "block"), ("condition", "args.a > 1")], "id=\"pattern-error\"><bdi><code>demo.del*</code> is not a pattern"),
            (vec![("pattern", "demo.x"), ("action", "block"), ("condition", "args.a > ")], "id=\"condition-error\"><bdi>Its <code>condition</code> is not an expression"),
            (vec![("pattern", "demo.x"), ("action", "allow"), ("condition", "tool.read_only_hint == true")], "id=\"condition-error\"><bdi>Its <code>condition</code> looks at hints"),
            (vec![("pattern", "demo.x"), ("action", "require_approval"), ("second_person", "yes")], "id=\"approvers-error\""),
            (vec![("pattern", "demo.x"), ("action", "require_approval"), ("approvers", "teams")], "id=\"approvers-error\""),
        ] {
            let refused = save(&owner, list, None, &fields).await;
            assert_eq!(refused.status.as_u16(), 422, "{fields:?}");
            let text = refused.text();
            let pattern = format!("id=\"pattern\" name=\"pattern\" value=\"{}\"", fields[0].1);
            assert!(text.contains(beside) && text.contains(&pattern), "{beside}: {text}");
            if fields[2].0 == "condition" {
                let kept = fields[2].1.replace('>', "&#62;").replace('\'', "&#39;");
                assert!(text.contains(&format!(">{kept}</textarea>")) || text.contains(&format!(">{}</textarea>", kept.trim())), "{text}");
            }
        }
        assert_eq!(read(&app, &owner.token, "/policies").await, json!([]));
        save(&owner, list, None, &[("pattern", "demo.a"), ("action", "block")]).await;
        let stale = save(&owner, list, Some("1"), &[("pattern", "demo.mine"), ("action", "block"), ("revision", "0")]).await;
        let text = stale.text();
        assert!(stale.status.as_u16() == 409 && text.contains("kept here as a new rule") && text.contains("value=\"demo.mine\"") && !text.contains("name=\"at\""), "{text}");
        assert_eq!(patterns(&app, &owner.token).await, ["demo.a"]);
        let moved = press(&owner.browser, list, list, &[("revision", "0"), ("position", "1"), ("change", "delete")]).await;
        assert_eq!((moved.status.as_u16(), patterns(&app, &owner.token).await), (409, vec!["demo.a".to_owned()]));
        app.stop().await;
    }

    async fn why_a_call_is_decided_as_it_is(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, MIA).await;
        let rules = json!([{ "pattern": "demo.add", "action": "block", "condition": "args.a > 5" }, { "pattern": "demo.echo", "action": "require_approval" }]);
        api(&app, &owner.token, Method::PUT, "/policies", Some(rules)).await;
        let page = "/policies/explain";
        let ask = async |person: &Person, fields: &[(&str, &str)]| press(&person.browser, page, page, fields).await;
        let held = ask(&owner, &[("capability", "demo.echo"), ("email", MIA)]).await.text();
        assert!(held.contains("Needs approval") && held.contains("needs an approval because of rule 2 of the organization"), "{held}");
        let open = ask(&owner, &[("capability", "demo.add")]).await.text();
        assert!(open.contains("Up to its arguments"), "{open}");
        let given = ask(&owner, &[("capability", "demo.add"), ("arguments", "{\"a\": 6, \"b\": 1}")]).await.text();
        assert!(given.contains("is blocked by rule 1") && given.contains("{&#34;a&#34;: 6, &#34;b&#34;: 1}</textarea>"), "{given}");
        let broken = ask(&owner, &[("capability", "demo.add"), ("arguments", "{oops")]).await;
        assert!(broken.status.as_u16() == 422 && broken.text().contains("id=\"arguments-error\"") && broken.text().contains("{oops</textarea>"));
        let nothing = ask(&owner, &[("capability", "demo.nothing")]).await;
        assert!(nothing.status.as_u16() == 422 && nothing.text().contains("There is no such tool"), "{}", nothing.text());
        assert!(mia.browser.get("/policies/explain?capability=demo.echo").await.text().contains("Needs approval"));
        let others = ask(&mia, &[("capability", "demo.echo"), ("email", "owner@example.test")]).await;
        assert!(others.text().contains("There is no such tool"), "a member asks about nobody else: {}", others.text());

        for slip in ["echo", "demo.ecco"] {
            let part = owner.browser.get(&format!("/policies/preview?own=false&pattern={slip}")).await.text();
            assert!(part.contains("Did you mean") && part.contains("<bdi>demo.echo</bdi>"), "{slip}: {part}");
        }
        let part = owner.browser.get("/policies/preview?own=false&pattern=*.echo").await.text();
        assert!(part.contains("It matches 1 tool") && part.contains("demo.echo") && !part.contains("<html"), "{part}");
        let wrong = owner.browser.get("/policies/preview?pattern=demo.e*%3Cb%3E").await.text();
        assert!(wrong.contains("is not a pattern") && !wrong.contains("<b>"), "{wrong}");
        app.stop().await;
    }

    async fn every_list_of_rules_with_every_caller(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, MIA).await;
        app.member_with_password("adm@example.test", Role::Admin).await;
        let admin = app.signed_in("adm@example.test").await;
        let elsewhere = app.stranger_signed_in().await;
        let toolkit = api(&app, &owner.token, Method::POST, "/toolkits", Some(json!({ "slug": "desk", "patterns": ["demo.*"] }))).await.json();
        let (kit, unknown) = (format!("/toolkits/{}/rules", toolkit["id"].as_str().unwrap()), "/toolkits/tkt_00000000000000000000000000/rules");
        assert_eq!(mia.browser.get("/policies").await.location(), "/policies/mine", "everybody has rules of their own");
        assert_eq!(mia.browser.get("/policies/rule").await.status.as_u16(), 404);
        for tail in ["", "/rule"] {
            assert_eq!(admin.get(&format!("{kit}{tail}")).await.status.as_u16(), 200);
            assert_eq!(mia.browser.get(&format!("/policies/mine{tail}")).await.status.as_u16(), 200);
            looks_like_nothing(&mia.browser, &format!("{kit}{tail}"), &format!("{unknown}{tail}")).await;
            looks_like_nothing(&elsewhere, &format!("{kit}{tail}"), &format!("{unknown}{tail}")).await;
        }
        let id = toolkit["id"].as_str().unwrap();
        assert_eq!(mia.browser.get(&format!("/policies/preview?toolkit={id}&pattern=*")).await.status.as_u16(), 404);
        let token = mia.browser.get("/policies/mine").await.hidden("form_token");
        let rule = [("step", "save"), ("revision", "0"), ("pattern", "*"), ("action", "block"), ("approvers", "caller")];
        for path in ["/policies/rule".to_owned(), format!("{kit}/rule")] {
            let mut sent = rule.to_vec();
            sent.push(("form_token", &token));
            assert_eq!(mia.browser.post(&path, &sent).await.status.as_u16(), 404, "{path}");
            takes_own_forms_only(&admin, &path, &rule, &token).await;
        }
        for path in ["/policies".to_owned(), kit.clone()] {
            let fields = [("revision", "0"), ("position", "1"), ("change", "delete")];
            takes_own_forms_only(&admin, &path, &fields, &token).await;
        }
        assert_eq!(read(&app, &owner.token, "/policies").await, json!([]));
        assert_eq!(save(&mia, "/policies/mine", None, &[("pattern", "demo.*"), ("action", "block")]).await.status.as_u16(), 303);
        assert_eq!(save(&owner, &kit, None, &[("pattern", "demo.echo"), ("action", "block")]).await.location(), format!("{kit}?from=1#rule-1"));
        let code = async |person: &Person, path: &str| {
            let member = read(&app, &person.token, "/me/policies").await;
            assert!(member.is_array());
            let id = if person.token == mia.token { app.token(mia_id(&app, &owner).await, &[Scope::McpRead, Scope::McpWrite]).await } else { app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await };
            app.client_at(path, Some(&id)).execute("demo.echo", json!({ "text": "x" })).await["structuredContent"]["code"].clone()
        };
        assert_eq!(code(&mia, "/mcp").await, "policy_blocked", "her own");
        assert_eq!(code(&owner, "/mcp").await, Value::Null, "nobody else's");
        assert_eq!(code(&owner, "/mcp/toolkits/desk").await, "policy_blocked", "the toolkit's");
        app.stop().await;
    }
}

async fn mia_id(app: &App, owner: &Person) -> switchboard_domain::MemberId {
    let members = read(app, &owner.token, "/members").await;
    let mia = members["items"].as_array().unwrap().iter().find(|member| member["email"] == MIA).unwrap();
    mia["id"].as_str().unwrap().parse().unwrap()
}
