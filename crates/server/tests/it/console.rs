//! `/connections` and what is below it: the way of a person in a browser from an address to a server that others use, and
//! who may do what on it.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_domain::{ConnectionStatus, FixedClock, Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions, Browser, McpReply},
    on_both,
    upstream::{ProtectedUpstream, ReferenceUpstream},
};

use crate::connect::{Person, api};

const MIA: &str = "mia@example.test";

/// The fields of the form that adds a server, as its page filled them in.
fn filled(page: &McpReply) -> Vec<(&'static str, String)> {
    let names = ["form_token", "query", "auth", "transport"];
    let mut fields: Vec<(&str, String)> = names.into_iter().map(|name| (name, page.hidden(name))).collect();
    let text = page.text();
    for name in ["name", "slug", "url"] {
        let field =
            text.split(&format!("<input id=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("{name}: {text}"));
        let value = field.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
        fields.push((name, value.to_owned()));
    }
    for name in ["accounts", "who"] {
        let checked = text
            .split("<input ")
            .find(|it| it.contains(&format!("name=\"{name}\"")) && it.contains("checked"));
        let value = checked.unwrap_or_else(|| panic!("{name}: {text}")).split("value=\"").nth(1).unwrap();
        fields.push((name, value.split('"').next().unwrap().to_owned()));
    }
    fields
}

async fn send(browser: &Browser, path: &str, fields: &[(&str, String)]) -> McpReply {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(path, &fields).await
}

/// A form on a page, with the token that the page has.
pub(crate) async fn press(browser: &Browser, page: &str, action: &str, fields: &[(&str, &str)]) -> McpReply {
    let token = browser.get(page).await.hidden("form_token");
    let mut fields = fields.to_vec();
    fields.push(("form_token", &token));
    browser.post(action, &fields).await
}

pub(crate) async fn read(app: &App, token: &str, path: &str) -> Value {
    api(app, token, Method::GET, path, None).await.json()
}

/// A form that is not from the sender's own page changes nothing: with somebody else's token, with none, from another site.
pub(crate) async fn takes_own_forms_only(
    browser: &Browser,
    path: &str,
    fields: &[(&str, &str)],
    of_another: &str,
) {
    let mut forged = fields.to_vec();
    forged.push(("form_token", of_another));
    for (what, fields) in [("another's token", forged.as_slice()), ("no token", fields)] {
        let status = browser.post(path, fields).await.status.as_u16();
        assert!([400, 403].contains(&status), "{what} at {path}: {status}");
    }
    assert_eq!(cross_site(browser, path).await, 403, "{path}");
}

/// A page that is there for nobody but those who may see it: others get what they get for one that does not exist.
pub(crate) async fn looks_like_nothing(browser: &Browser, path: &str, unknown: &str) {
    let (hidden, nothing) = (browser.get(path).await, browser.get(unknown).await);
    assert_eq!((hidden.status, hidden.text()), (nothing.status, nothing.text()), "{path}");
    assert_eq!(hidden.status.as_u16(), 404, "{path}");
}

async fn look_up(browser: &Browser, query: &str) -> McpReply {
    press(browser, "/connections/new", "/connections/new", &[("query", query)]).await
}

on_both! {
    async fn from_an_address_to_a_server_that_everybody_signs_in_to(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let empty = owner.browser.get("/connections").await.text();
        assert!(empty.contains("No server is connected yet") && empty.contains("href=\"/connections/new\""), "{empty}");

        let found = look_up(&owner.browser, &upstream.url()).await;
        let text = found.text();
        for part in ["Finds it", "People sign in at", "Everybody&#39;s own", "Everybody in the organization"] {
            assert!(text.contains(part) || text.contains(&part.replace("&#39;", "'")), "{part}: {text}");
        }
        assert!(upstream.requests("/register").is_empty(), "looking registers nobody");
        let mut fields = filled(&found);
        fields.push(("step", "create".into()));
        let made = send(&owner.browser, "/connections/new", &fields).await;
        assert_eq!(made.status.as_u16(), 303, "{}", made.text());
        let page = made.location().to_owned();
        let id = page.strip_prefix("/connections/").unwrap().to_owned();
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::NeedsConnection).await;
        let stored = read(&app, &owner.token, &page).await;
        assert_eq!((&stored["auth_type"], &stored["credential_mode"]), (&json!("oauth"), &json!("per_member")));
        assert_eq!(read(&app, &owner.token, &format!("{page}/grants")).await["everyone"], true);

        let mia = Person::member(&app, MIA).await;
        let shown = mia.browser.get(&page).await.text();
        assert!(shown.contains(&format!("href=\"{page}/connect\" data-sign-in=\"{id}\"")), "{shown}");
        let left = mia.browser.get(&format!("{page}/connect")).await;
        let away = mia.browser.get(left.location()).await;
        let back = app.browser().get(away.location()).await.location().to_owned();
        let result = mia.browser.get(&back).await;
        let told = mia.browser.get(result.location()).await.text();
        assert!(told.contains("is connected") && told.contains(&format!("href=\"{page}\"")), "{told}");
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        assert!(mia.browser.get("/connections").await.text().contains("Connected"));
        let people = owner.browser.get(&page).await.text();
        assert!(people.contains(MIA) && people.contains("Sign in"), "she is, the owner is not: {people}");
        app.stop().await;
    }

    async fn what_is_typed_wrong_is_kept_and_said(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let nothing = look_up(&owner.browser, "no-such-product-anywhere").await;
        assert_eq!(nothing.status.as_u16(), 422);
        assert!(nothing.text().contains("Nothing is known by that name") && nothing.text().contains("value=\"no-such-product-anywhere\""));
        let slip = look_up(&owner.browser, "linaer").await;
        let text = slip.text();
        assert!(text.contains("Did you mean one of these") && text.contains("value=\"linear\" class=\"tile\""), "{text}");
        assert!(!text.contains("value=\"github\""), "nothing else: {text}");
        for (query, said) in [("https://", "must name a host"), ("https://name.invalid/mcp", "check its spelling"), (" ", "Name a URL")] {
            let refused = look_up(&owner.browser, query).await;
            assert_eq!(refused.status.as_u16(), 422, "{query}");
            assert!(refused.text().contains(said) && refused.text().contains("Known servers"), "{query}: {}", refused.text());
            assert!(!refused.text().contains("`query`"), "{}", refused.text());
        }
        let several = look_up(&owner.browser, "a").await;
        assert!(several.text().contains("Several servers fit"), "{}", several.text());
        let found = look_up(&owner.browser, &upstream.url()).await;
        let mut fields = filled(&found);
        fields.push(("step", "create".into()));
        for (name, value) in &mut fields {
            if *name == "slug" { *value = "demo".into(); }
            if *name == "name" { *value = "My <b>tools</b>".into(); }
        }
        let refused = send(&owner.browser, "/connections/new", &fields).await;
        assert_eq!(refused.status.as_u16(), 409);
        let text = refused.text();
        assert!(text.contains("There is a connection <code>demo</code> already") && !text.contains("<b>tools"), "{text}");
        assert!(filled(&refused).contains(&("name", "My &#60;b&#62;tools&#60;/b&#62;".into())), "{:?}", filled(&refused));
        fields.retain(|(name, _)| *name != "step");
        fields.push(("step", "auth:api_key".into()));
        let key = send(&owner.browser, "/connections/new", &fields).await;
        assert!(key.text().contains("id=\"api_key\"") && key.text().contains("value=\"Bearer\""), "{}", key.text());
        app.stop().await;
    }

    async fn an_address_is_found_however_it_is_written(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let owner = Person::owner(&app).await;
        let url = upstream.url();
        let authority = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/mcp")).unwrap();
        for written in [authority.to_owned(), format!("http://{authority}"), format!("{authority}/mcp"), format!(" {url} ")] {
            let found = look_up(&owner.browser, &written).await.text();
            assert!(found.contains(&format!("{url} answers.")), "{written}: {found}");
        }
        // Where nobody is: told where was asked, with what was typed to try again.
        let nobody = look_up(&owner.browser, "127.0.0.1:2/elsewhere").await.text();
        assert!(nobody.contains("be reached") && nobody.contains("<code>http://127.0.0.1:2/elsewhere</code>"), "{nobody}");
        assert!(nobody.contains("Try again") && nobody.contains("value=\"127.0.0.1:2/elsewhere\""), "{nobody}");
        app.stop().await;
    }

    async fn what_was_added_leads_to_a_first_call(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let owner = Person::owner(&app).await;
        let mut fields = filled(&look_up(&owner.browser, &upstream.url()).await);
        fields.push(("step", "create".into()));
        let page = send(&owner.browser, "/connections/new", &fields).await.location().to_owned();
        let id = page.strip_prefix("/connections/").unwrap().to_owned();
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        let steps = owner.browser.get("/overview").await.text();
        assert!(steps.contains("href=\"/tools\">Run a tool"), "{steps}");
        let connected = owner.browser.get(&page).await.text();
        assert!(connected.contains(&format!("href=\"{page}/tools\">Try a tool")) && !connected.contains("can put that right"), "{connected}");
        let slug = read(&app, &owner.token, &page).await["slug"].as_str().unwrap().to_owned();
        let tools = owner.browser.get(&format!("{page}/tools")).await.text();
        assert!(tools.contains(&format!("href=\"/tools/tool?name={slug}.echo\"")), "{tools}");
        let off = press(&owner.browser, &format!("{page}/tools"), &format!("{page}/tools"), &[("name", "echo"), ("on", "no")]).await;
        assert_eq!(off.status.as_u16(), 303, "{}", off.text());
        let tools = owner.browser.get(&format!("{page}/tools")).await.text();
        assert!(!tools.contains(&format!("href=\"/tools/tool?name={slug}.echo\"")), "what is off has no page: {tools}");
        app.stop().await;
    }

    async fn a_member_enters_replaces_and_takes_back_a_key_of_their_own(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::builder().require_header("authorization", "Bearer mias-second-key").start().await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, MIA).await;
        let new = json!({
            "slug": "keyed", "url": upstream.url(), "auth_type": "api_key", "credential_mode": "per_member",
        });
        let made = api(&app, &owner.token, Method::POST, "/connections", Some(new)).await.json();
        let page = format!("/connections/{}", made["id"].as_str().unwrap());
        app.grant_everyone(made["id"].as_str().unwrap().parse().unwrap()).await;
        let shown = mia.browser.get(&page).await.text();
        assert!(shown.contains("id=\"api_key\"") && shown.contains("Store it"), "{shown}");
        for key in ["mias-first-key", "mias-second-key"] {
            let stored = press(&mia.browser, &page, &format!("{page}/credential"), &[("api_key", key)]).await;
            assert_eq!(stored.status.as_u16(), 303, "{}", stored.text());
            let shown = mia.browser.get(&page).await.text();
            assert!(shown.contains("Yours is stored") && shown.contains("Replace it"), "{shown}");
            assert!(!shown.contains(key), "{shown}");
        }
        app.wait_for_status(made["id"].as_str().unwrap().parse().unwrap(), ConnectionStatus::Connected).await;
        assert_eq!(upstream.log().all().last().unwrap().header("authorization"), Some("Bearer mias-second-key"));
        // Whoever manages it sees that it is hers, and none of it; theirs is another one.
        let shown = owner.browser.get(&page).await.text();
        assert!(shown.contains("Who is connected") && shown.contains(MIA) && shown.contains("Store it"), "{shown}");
        assert!(!shown.contains("-key</") && !shown.contains("mias-"), "{shown}");
        let gone = press(&mia.browser, &page, &format!("{page}/disconnect"), &[]).await;
        assert_eq!(gone.status.as_u16(), 303, "{}", gone.text());
        assert!(mia.browser.get(&page).await.text().contains("Store it"));
        let path = format!("{page}/credentials");
        assert_eq!(read(&app, &owner.token, &path).await["items"], json!([]));
        app.stop().await;
    }

    async fn a_client_with_a_private_key_is_set_up_on_the_connections_page(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        let owner = Person::owner(&app).await;
        let made = owner.add(&app, "vendor", &upstream, json!({})).await;
        let page = format!("/connections/{}", made["id"].as_str().unwrap());
        let fields = [("client_id", "ours"), ("client_secret", ""), ("private_key", ""), ("new_private_key", "yes")];
        let saved = press(&owner.browser, &page, &format!("{page}/client"), &fields).await;
        assert_eq!(saved.status.as_u16(), 303, "{}", saved.text());
        let stored = read(&app, &owner.token, &page).await;
        let key = stored["oauth"]["public_key"]["x"].as_str().unwrap();
        let shown = owner.browser.get(&page).await.text();
        assert!(shown.contains(key) && shown.contains(stored["client_keys_url"].as_str().unwrap()), "{shown}");
        // Saving the form again keeps it; what is no key is said so.
        let fields = [("client_id", "ours"), ("client_secret", ""), ("private_key", "")];
        press(&owner.browser, &page, &format!("{page}/client"), &fields).await;
        assert_eq!(read(&app, &owner.token, &page).await["oauth"]["public_key"]["x"], key);
        let fields = [("client_id", "ours"), ("client_secret", ""), ("private_key", "no key at all")];
        let refused = press(&owner.browser, &page, &format!("{page}/client"), &fields).await;
        assert_eq!(refused.status.as_u16(), 422, "{}", refused.text());
        assert!(refused.text().contains("neither a private key") && !refused.text().contains("no key at all"), "{}", refused.text());
        app.stop().await;
    }

    async fn every_page_and_form_with_every_caller(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        let hidden = app.add("hidden", &upstream.url()).await;
        app.member_with_password(MIA, Role::Member).await;
        app.member_with_password("adm@example.test", Role::Admin).await;
        let (member, admin) = (app.signed_in(MIA).await, app.signed_in("adm@example.test").await);
        let nobody = app.browser();
        let pages = [
            ("/connections", 200, 200), ("/connections/new", 200, 200), ("/connections/import", 403, 200),
            ("/connections/{id}", 200, 200), ("/connections/{id}/tools", 200, 200), ("/connections/{id}/activity", 200, 200),
            ("/connections/{id}/access", 404, 200), ("/connections/{id}/review", 404, 200),
            ("/connections/{id}/settings", 404, 200),
            ("/tools", 200, 200), ("/tools/tool?name=demo.echo", 200, 200), ("/toolkits", 200, 200), ("/clients", 404, 200),
            ("/members", 404, 200), ("/members/invitations", 404, 200), ("/members/teams", 404, 200),
            ("/audit", 404, 200), ("/usage", 404, 200), ("/usage/quotas", 404, 200), ("/settings/guardrail", 404, 200), ("/account/access", 200, 200), ("/connect-client", 200, 200),
            ("/settings", 404, 200), ("/settings/webhooks", 404, 200), ("/system", 404, 404), ("/kept-form", 404, 404),
        ];
        for (page, as_member, as_admin) in pages {
            let path = page.replace("{id}", &id.to_string());
            let sent = nobody.get(&path).await;
            assert_eq!(sent.status.as_u16(), 303, "{path}");
            assert!(sent.location().starts_with("/sign-in?return_to="), "{path}");
            assert_eq!(member.get(&path).await.status.as_u16(), as_member, "a member at {path}");
            let shown = admin.get(&path).await;
            assert_eq!(shown.status.as_u16(), as_admin, "an admin at {path}: {}", shown.text());
            let policy = shown.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && policy.contains("form-action 'self'"));
            let text = shown.text();
            let brought = ["htmx.", "live."].iter().all(|script| text.contains(&format!("src=\"/assets/{script}")));
            assert!(brought || !text.contains(" data-hx-"), "{path}: nothing brings it up to date");
            if page.contains("{id}") {
                let at = |id: &str| page.replace("{id}", id);
                looks_like_nothing(&member, &at(&hidden.to_string()), &at("con_00000000000000000000000000")).await;
            }
        }
        let forms = [
            ("check", vec![]), ("enable", vec![]), ("credential", vec![("api_key", "k")]), ("disconnect", vec![]),
            ("client", vec![("client_id", "x")]), ("access", vec![("change", "groups"), ("everyone", "yes")]),
            ("tools", vec![("name", "echo"), ("on", "no")]),
            ("review", vec![("decision", "approve"), ("kind", "tool"), ("name", "echo"), ("fingerprint", "00")]),
            ("settings", vec![("name", "Mine"), ("availability", "default_on")]),
            ("end", vec![("what", "remove"), ("slug", "demo")]),
        ];
        let token = member.get("/connections").await.hidden("form_token");
        let before = whole(&app, id).await;
        for (form, fields) in forms {
            for (connection, shown) in [(id, "granted"), (hidden, "hidden")] {
                let path = format!("/connections/{connection}/{form}");
                let mut with_token = fields.clone();
                with_token.push(("form_token", &token));
                let status = member.post(&path, &with_token).await.status.as_u16();
                assert!([404, 409, 422].contains(&status), "a member at {shown} {form}: {status}");
                takes_own_forms_only(&admin, &path, &fields, &token).await;
            }
        }
        assert_eq!(before, whole(&app, id).await, "nothing was changed");
        app.stop().await;
    }

    async fn who_may_use_it_is_edited_part_by_part(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.add("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let mia = app.member_with_password(MIA, Role::Member).await;
        let team = api(&app, &owner.token, Method::POST, "/teams", Some(json!({ "name": "Keepers" }))).await.json();
        let team = team["id"].as_str().unwrap();
        let access = format!("/connections/{id}/access");
        let grants = async || read(&app, &owner.token, &format!("/connections/{id}/grants")).await;
        let change = async |fields: &[(&str, &str)]| press(&owner.browser, &access, &access, fields).await;
        assert_eq!(change(&[("change", "add"), ("email", MIA)]).await.status.as_u16(), 303);
        assert_eq!(change(&[("change", "groups"), ("team", team)]).await.status.as_u16(), 303);
        assert_eq!(grants().await, json!({ "everyone": false, "members": [mia], "teams": [team] }));
        let unknown = change(&[("change", "add"), ("email", "who@example.test")]).await;
        assert_eq!(unknown.status.as_u16(), 422);
        assert!(unknown.text().contains("Nobody here has the address") && unknown.text().contains("value=\"who@example.test\""));
        assert!(owner.browser.get(&access).await.text().contains(MIA));
        let member = mia.to_string();
        assert_eq!(change(&[("change", "remove"), ("member", &member)]).await.status.as_u16(), 303);
        assert_eq!(change(&[("change", "groups"), ("everyone", "yes")]).await.status.as_u16(), 303);
        assert_eq!(grants().await, json!({ "everyone": true, "members": [], "teams": [] }));
        app.stop().await;
    }

    async fn tools_are_switched_and_changes_reviewed(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let tools = format!("/connections/{id}/tools");
        let shown = owner.browser.get(&tools).await.text();
        assert!(shown.contains("demo.echo") && shown.contains("You may call it"), "{shown}");
        let off = press(&owner.browser, &tools, &tools, &[("name", "echo"), ("on", "no")]).await;
        assert_eq!(off.status.as_u16(), 303, "{}", off.text());
        let client = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let refused = client.execute("demo.echo", json!({ "text": "x" })).await;
        assert_eq!(refused["isError"], true, "{refused}");
        assert!(owner.browser.get(&tools).await.text().contains("Off: it does not exist for anybody"));
        press(&owner.browser, &tools, &tools, &[("name", "echo"), ("on", "yes")]).await;
        assert_eq!(client.execute("demo.echo", json!({ "text": "x" })).await["isError"], false);

        upstream.describe_tool("echo", "<script>alert(1)</script> says otherwise").await;
        app.broker.check(app.organization, id, None).await.unwrap();
        let review = format!("/connections/{id}/review");
        let waiting = owner.browser.get(&review).await;
        let text = waiting.text();
        assert!(text.contains("Changed since it was approved") && text.contains("says otherwise"), "{text}");
        assert!(!text.contains("<script>alert"), "{text}");
        assert!(owner.browser.get("/connections").await.text().contains("1 to review"));
        let fingerprint = waiting.hidden("fingerprint");
        let stale = press(&owner.browser, &review, &review, &[("decision", "approve"), ("kind", "tool"), ("name", "echo"), ("fingerprint", "00")]).await;
        assert_eq!(stale.status.as_u16(), 409);
        let fields = [("decision", "approve"), ("kind", "tool"), ("name", "echo"), ("fingerprint", fingerprint.as_str())];
        assert_eq!(press(&owner.browser, &review, &review, &fields).await.status.as_u16(), 303);
        assert!(owner.browser.get(&review).await.text().contains("Nothing waits for review"));
        app.stop().await;
    }

    async fn settings_are_saved_and_the_end_asks_who_is_there(database) {
        let clock = std::sync::Arc::new(FixedClock::at_micros(1_795_000_000_000_000));
        let options = AppOptions { clock: Some(clock.clone()), ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let settings = format!("/connections/{id}/settings");
        let revision = owner.browser.get(&settings).await.hidden("revision");
        let edit = [("name", "Demo two"), ("url", &*upstream.url()), ("availability", "default_off"), ("model_intent", "yes"), ("revision", &revision)];
        let off = press(&owner.browser, &settings, &settings, &edit).await;
        assert_eq!(off.status.as_u16(), 303, "{}", off.text());
        let stored = read(&app, &owner.token, &format!("/connections/{id}")).await;
        assert_eq!((&stored["name"], &stored["enabled"], &stored["availability"], &stored["model_intent"]), (&json!("Demo two"), &json!(false), &json!("default_off"), &json!(true)));
        assert_eq!(press(&owner.browser, &settings, &settings, &edit).await.status.as_u16(), 409, "of an older page");
        let page = format!("/connections/{id}");
        assert!(owner.browser.get(&page).await.text().contains("Turn on"));
        assert_eq!(press(&owner.browser, &page, &format!("{page}/enable"), &[]).await.status.as_u16(), 303);
        assert_eq!(press(&owner.browser, &page, &format!("{page}/check"), &[]).await.status.as_u16(), 303);
        assert!(owner.browser.get(&page).await.text().contains("Connected"));

        let end = format!("{page}/end");
        clock.advance(std::time::Duration::from_secs(3_600));
        let asked = press(&owner.browser, &settings, &end, &[("what", "remove"), ("slug", "demo")]).await;
        assert_eq!(asked.location(), format!("/reauthenticate?return_to={settings}"));
        let proof = [("password", switchboard_testkit::app::PASSWORD), ("return_to", &settings)];
        assert_eq!(press(&owner.browser, asked.location(), "/reauthenticate", &proof).await.location(), settings);
        let mistyped = press(&owner.browser, &settings, &end, &[("what", "remove"), ("slug", "dem")]).await;
        assert_eq!(mistyped.status.as_u16(), 422);
        let removed = press(&owner.browser, &settings, &end, &[("what", "remove"), ("slug", "demo")]).await;
        assert_eq!(removed.location(), "/connections");
        assert_eq!(owner.browser.get(&page).await.status.as_u16(), 404);
        app.stop().await;
    }

    async fn a_list_is_filtered_and_comes_in_pages(database) {
        let app = App::start(database.db.clone()).await;
        for number in 0..60 {
            app.add_with(&format!("server-{number:02}"), "http://127.0.0.1:9/mcp", |it| it.switches.enabled = number != 7).await;
        }
        app.give_password(app.owner).await;
        let browser = app.signed_in("owner@example.test").await;
        let first = browser.get("/connections").await.text();
        assert!(first.contains("server-49") && !first.contains("server-50"), "{first}");
        let next = first.split("<a href=\"/connections?cursor=").nth(1).unwrap().split('"').next().unwrap();
        let second = browser.get(&format!("/connections?cursor={next}")).await.text();
        assert!(second.contains("server-50") && second.contains("From the beginning") && !second.contains("server-49"));
        let off = browser.get("/connections?state=disabled").await.text();
        assert!(off.contains("server-07") && !off.contains("server-08") && off.contains("selected>Off"), "{off}");
        let named = browser.get("/connections?q=SERVER-3").await.text();
        assert!(named.contains("server-31") && !named.contains("server-29"));
        let none = browser.get("/connections?q=%3Cscript%3E").await.text();
        assert!(none.contains("No connection fits") && !none.contains("<script>"), "{none}");
        assert_eq!(browser.get("/connections?cursor=%21").await.status.as_u16(), 400);
        app.stop().await;
    }

    async fn a_clients_configuration_becomes_connections(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let owner = Person::owner(&app).await;
        let path = "/connections/import";
        let bad = press(&owner.browser, path, path, &[("text", "nonsense")]).await;
        assert!(bad.status.as_u16() == 422 && bad.text().contains("not JSON") && bad.text().contains(">nonsense</textarea>"));
        let text = json!({ "mcpServers": {
            "files": { "command": "npx" }, "open": { "url": upstream.url() },
            "sealed": { "url": upstream.url(), "headers": { "Authorization": "Bearer s3cret" } },
        } })
        .to_string();
        let preview = press(&owner.browser, path, path, &[("text", &text)]).await.text();
        for part in ["A program on the machine", "It asks for no account", "With the key in the header Authorization"] {
            assert!(preview.contains(part), "{part}: {preview}");
        }
        assert_eq!(read(&app, &owner.token, "/connections").await["items"], json!([]), "looking makes nothing");
        let token = owner.browser.get(path).await.hidden("form_token");
        let fields = [("form_token", &*token), ("text", &text), ("step", "create"), ("who", "everyone"), ("entry", "0"), ("entry", "1"), ("entry", "2")];
        let made = owner.browser.post(path, &fields).await.text();
        assert!(made.contains("open</bdi></strong></a> added") && made.contains("files</bdi></strong> not added"), "{made}");
        assert!(!made.contains("s3cret"), "{made}");
        let listed = read(&app, &owner.token, "/connections").await;
        let kinds: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|it| it["auth_type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["none", "api_key"]);
        let id = listed["items"][1]["id"].as_str().unwrap();
        app.wait_for_status(id.parse().unwrap(), ConnectionStatus::Connected).await;
        assert_eq!(upstream.log().all().last().unwrap().header("authorization"), Some("Bearer s3cret"));
        app.stop().await;
    }
}

/// What there is to change of a connection, as it is stored.
async fn whole(app: &App, id: switchboard_domain::ConnectionId) -> String {
    let token = app.token(app.owner, &[Scope::Api]).await;
    let mut connection = read(app, &token, &format!("/connections/{id}")).await;
    connection["checked_at"] = Value::Null;
    let grants = read(app, &token, &format!("/connections/{id}/grants")).await;
    format!("{connection} {grants}")
}

pub(crate) async fn cross_site(browser: &Browser, path: &str) -> u16 {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
    browser.send(Method::POST, path, headers, String::new()).await.status.as_u16()
}
