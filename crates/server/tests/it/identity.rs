//! Sign-in with an identity provider that can be trusted, from the button to the session.

use std::num::NonZeroU32;

use serde_json::{Value, json};
use switchboard_broker::{Settings, SignInSettings};
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions, Browser, McpReply, PASSWORD},
    database::TestDatabase,
    identity_provider::{CLIENT_ID, CLIENT_SECRET, ProviderScript, ScriptedProvider},
    on_both,
};

use crate::support::{api, events};

/// People of a test all come from one address.
pub(crate) async fn start(database: &TestDatabase) -> App {
    let many = NonZeroU32::new(10_000).unwrap();
    let sign_in = SignInSettings { attempts_per_minute_per_source: many, ..SignInSettings::default() };
    let settings = Settings { sign_in, ..Settings::default() };
    App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await
}

/// Sets the provider up over REST, as an admin does.
pub(crate) async fn set_up(app: &App, provider: &ScriptedProvider, more: Value) -> Value {
    let mut new = json!({
        "slug": "company", "name": "Acme & Co", "issuer": provider.issuer(), "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET, "verified_domains": ["Example.test"],
    });
    for (name, value) in more.as_object().unwrap() {
        new[name] = value.clone();
    }
    let made = api(app, "POST", "/identity-providers", Some(new)).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    made.json()
}

/// The button, the provider's page, and back.
pub(crate) async fn press(browser: &Browser, provider: &ScriptedProvider, path: &str) -> McpReply {
    let off = browser.get(path).await;
    assert_eq!(off.status.as_u16(), 303, "{}", off.text());
    browser.get(&provider.authorize(off.location())).await
}

pub(crate) const BUTTON: &str = "/sign-in/with/acme/company";

fn mia() -> Value {
    json!({ "sub": "mia-1", "email": "mia@example.test", "email_verified": true, "name": "Mia" })
}

async fn me(browser: &Browser) -> u16 {
    browser.get("/api/v1/organization").await.status.as_u16()
}

on_both! {
    async fn a_person_of_a_verified_domain_joins_and_comes_back(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        let made = set_up(&app, &provider, json!({})).await;
        assert_eq!(made["callback_url"], app.url("/sign-in/callback/acme/company"));
        assert!(made["has_secret"] == true && !made.to_string().contains(CLIENT_SECRET));
        let browser = app.browser();
        let page = browser.get("/sign-in?return_to=/connect/abc").await.text();
        assert!(page.contains("Sign in with Acme &#38; Co"), "{page}");
        assert!(page.contains("/sign-in/with/acme/company?return_to=%2Fconnect%2Fabc"), "{page}");
        provider.knows(mia());
        let back = press(&browser, &provider, &format!("{BUTTON}?return_to=%2Fconnect%2Fabc")).await;
        assert_eq!((back.status.as_u16(), back.location()), (303, "/connect/abc"), "{}", back.text());
        assert_eq!(me(&browser).await, 200);
        let members = api(&app, "GET", "/members", None).await.json();
        let member = members["items"].as_array().unwrap().iter().find(|it| it["email"] == "mia@example.test").unwrap();
        assert_eq!((member["display_name"].as_str(), member["role"].as_str()), (Some("Mia"), Some("member")));

        let again = app.browser();
        provider.knows(json!({ "sub": "mia-1", "email": "mia.new@elsewhere.test", "email_verified": true }));
        let back = press(&again, &provider, BUTTON).await;
        assert_eq!((back.status.as_u16(), back.location()), (303, "/"), "the subject is who she is, not her address");
        assert_eq!(api(&app, "GET", "/members", None).await.json()["items"].as_array().unwrap().len(), 2);
        assert_eq!(events(&app, "session.sign_in").await, ["ok", "ok"]);
        app.stop().await;
    }

    async fn claims_that_the_id_token_leaves_out_are_asked_for(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let browser = app.browser();
        let claims = json!({ "sub": "mia-1" });
        let of = |sub: &str| json!({ "sub": sub, "email": "mia@example.test", "email_verified": true });
        provider.says(ProviderScript { claims: claims.clone(), user_info: of("kai-1"), ..ProviderScript::default() });
        let refused = press(&browser, &provider, BUTTON).await;
        assert_eq!(refused.status.as_u16(), 502, "it speaks of somebody else: {}", refused.text());
        provider.says(ProviderScript { claims, user_info: of("mia-1"), ..ProviderScript::default() });
        assert_eq!(press(&browser, &provider, BUTTON).await.status.as_u16(), 303);
        assert_eq!(me(&browser).await, 200);
        app.stop().await;
    }

    async fn an_invitation_lets_in_who_no_domain_vouches_for(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({ "verified_domains": [] })).await;
        provider.knows(json!({ "sub": "kai-1", "email": "kai@partner.test", "email_verified": true }));
        let browser = app.browser();
        let refused = press(&browser, &provider, BUTTON).await;
        assert_eq!(refused.status.as_u16(), 403);
        assert!(refused.text().contains("nobody invited you"), "{}", refused.text());

        let invitation = json!({ "email": "kai@example.test", "role": "admin" });
        let invited = api(&app, "POST", "/invitations", Some(invitation)).await.json();
        let link = invited["url"].as_str().unwrap().to_owned();
        let page = browser.get(&link).await.text();
        assert!(page.contains("Join with Acme"), "{page}");
        let path = link.replace(&app.url(""), "");
        let joined = press(&browser, &provider, &format!("{path}/with/acme/company")).await;
        assert_eq!((joined.status.as_u16(), joined.location()), (303, "/overview"), "{}", joined.text());
        assert_eq!(browser.get("/api/v1/members").await.status.as_u16(), 200, "an admin, as invited");
        assert_eq!(browser.get(&link).await.status.as_u16(), 410, "used");

        let again = app.browser();
        assert_eq!(press(&again, &provider, BUTTON).await.status.as_u16(), 303, "known from now on");
        let other = app.browser();
        provider.knows(json!({ "sub": "eve-1" }));
        let refused = press(&other, &provider, &format!("{path}/with/acme/company")).await;
        assert_eq!(refused.status.as_u16(), 410, "{}", refused.text());
        assert_eq!(me(&other).await, 401);
        app.stop().await;
    }

    async fn groups_are_teams_at_every_sign_in(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        let mut teams = Vec::new();
        for name in ["Engineering", "Support", "Friends"] {
            let made = api(&app, "POST", "/teams", Some(json!({ "name": name }))).await.json();
            teams.push(made["id"].as_str().unwrap().to_owned());
        }
        let mapping = json!([{ "group": "eng", "team": teams[0] }, { "group": "help", "team": teams[1] }]);
        set_up(&app, &provider, json!({ "group_claim": "groups", "group_teams": mapping })).await;
        let browser = app.browser();
        let with = |groups: Value| {
            let mut claims = mia();
            claims["groups"] = groups;
            claims
        };
        provider.knows(with(json!(["eng", "everybody"])));
        assert_eq!(press(&browser, &provider, BUTTON).await.status.as_u16(), 303);
        let members = api(&app, "GET", "/members", None).await.json();
        let id = members["items"][0]["id"].as_str().unwrap().to_owned();
        let friends = format!("/teams/{}/members", teams[2]);
        let put = api(&app, "PUT", &friends, Some(json!({ "members": [id] }))).await;
        assert_eq!(put.status.as_u16(), 200, "{}", put.text());
        let of = || async {
            let member = api(&app, "GET", &format!("/members/{id}"), None).await.json();
            let mut names: Vec<usize> = member["teams"].as_array().unwrap().iter()
                .map(|team| teams.iter().position(|known| team == known).unwrap()).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(of().await, [0, 2]);
        provider.knows(with(json!("help")));
        assert_eq!(press(&browser, &provider, BUTTON).await.status.as_u16(), 303);
        assert_eq!(of().await, [1, 2], "in by the new group, out of the old, and the third is nobody's business");
        provider.knows(mia());
        assert_eq!(press(&browser, &provider, BUTTON).await.status.as_u16(), 303);
        assert_eq!(of().await, [2], "no groups, no mapped teams");
        app.stop().await;
    }

    async fn an_owner_connects_their_account_themselves(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        app.member_with_password("ada@example.test", Role::Owner).await;
        provider.knows(json!({ "sub": "ada-1", "email": "ada@example.test", "email_verified": true }));
        let stranger = app.browser();
        let refused = press(&stranger, &provider, BUTTON).await;
        assert_eq!(refused.status.as_u16(), 403, "{}", refused.text());
        assert_eq!(me(&stranger).await, 401);

        let browser = app.signed_in("ada@example.test").await;
        let page = browser.get("/account/identities").await;
        let token = page.hidden("form_token");
        let forged = browser.post("/account/identities", &[("connect", "acme/company"), ("form_token", "x")]).await;
        assert_eq!(forged.status.as_u16(), 400);
        let fields = [("form_token", token.as_str()), ("connect", "acme/company")];
        let page = browser.post("/account/identities", &fields).await.text();
        let from = page.find("class=\"button\" href=\"").unwrap() + 21;
        let url: String = page[from..].chars().take_while(|c| *c != '"').collect();
        let url = url.replace("&#38;", "&").replace("&amp;", "&");
        let back = provider.authorize(&url);
        assert_eq!(stranger.get(&back).await.status.as_u16(), 400, "another browser");
        let back = {
            let page = browser.post("/account/identities", &fields).await.text();
            let from = page.find("class=\"button\" href=\"").unwrap() + 21;
            let url: String = page[from..].chars().take_while(|c| *c != '"').collect();
            provider.authorize(&url.replace("&#38;", "&").replace("&amp;", "&"))
        };
        let done = browser.get(&back).await;
        assert_eq!((done.status.as_u16(), done.location()), (303, "/account/identities"), "{}", done.text());
        assert!(browser.get("/account/identities").await.text().contains("Disconnect Acme"));
        assert_eq!(press(&stranger, &provider, BUTTON).await.status.as_u16(), 303);
        assert_eq!(stranger.get("/api/v1/members").await.status.as_u16(), 200, "it is the owner");
        assert_eq!(events(&app, "identity.connect").await, ["ok"], "a known state in another browser is refused as over");
        app.stop().await;
    }

    async fn who_has_no_password_proves_again_at_the_provider(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        provider.knows(mia());
        let browser = app.browser();
        press(&browser, &provider, BUTTON).await;
        let page = browser.get("/reauthenticate?return_to=/account/password").await.text();
        assert!(page.contains("Go on with Acme") && !page.contains("type=\"password\""), "{page}");
        let path = "/reauthenticate/with/acme/company?return_to=/account/password";
        let off = browser.get(path).await;
        assert!(off.location().contains("max_age=0") && off.location().contains("prompt=login"), "{}", off.location());
        let before = browser.cookie("switchboard").unwrap();
        let back = browser.get(&provider.authorize(off.location())).await;
        assert_eq!((back.status.as_u16(), back.location()), (303, "/account/password"), "{}", back.text());
        assert_ne!(browser.cookie("switchboard").unwrap(), before, "a new cookie");
        assert_eq!(me(&browser).await, 200);

        // A provider that lets the old sign-in count, and another person.
        let mut stale = mia();
        stale["auth_time"] = 1_000_000.into();
        let mut silent = mia();
        silent["auth_time"] = Value::Null;
        let other = json!({ "sub": "eve-1", "email": "eve@example.test", "email_verified": true });
        for claims in [stale, silent, other] {
            provider.knows(claims.clone());
            let refused = press(&browser, &provider, path).await;
            assert_eq!(refused.status.as_u16(), 403, "{claims}: {}", refused.text());
        }
        assert_eq!(events(&app, "session.reauthenticate").await, ["refused", "refused", "refused", "ok"]);
        let members = api(&app, "GET", "/members", None).await.json();
        assert_eq!(members["items"].as_array().unwrap().len(), 2, "nobody joined by the way");
        app.stop().await;
    }

    async fn passwords_can_be_switched_off_but_never_for_owners(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        app.member_with_password("kai@example.test", Role::Admin).await;
        app.member_with_password("ada@example.test", Role::Owner).await;
        let off = json!({ "settings": { "password_sign_in": false } });
        let refused = api(&app, "PATCH", "/organization", Some(off.clone())).await;
        assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (409, Some("no_identity_provider")));
        let made = set_up(&app, &provider, json!({})).await;
        assert_eq!(api(&app, "PATCH", "/organization", Some(off)).await.status.as_u16(), 200);
        let attempt = |email: &'static str| {
            let browser = app.browser();
            async move { browser.post("/sign-in", &[("email", email), ("password", PASSWORD)]).await.status.as_u16() }
        };
        assert_eq!(attempt("kai@example.test").await, 401);
        let page = app.browser().get("/sign-in").await.text();
        let (button, form) = (page.find("Sign in with Acme"), page.find("<details"));
        assert!(button.is_some() && button < form, "the provider comes first: {page}");
        assert!(page.find("type=\"password\"") > form, "{page}");
        assert_eq!(attempt("ada@example.test").await, 303);
        let path = format!("/identity-providers/{}", made["id"].as_str().unwrap());
        for refused in [
            api(&app, "DELETE", &path, None).await,
            api(&app, "PATCH", &path, Some(json!({ "enabled": false }))).await,
        ] {
            assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (409, Some("last_identity_provider")));
        }
        let invited = api(&app, "POST", "/invitations", Some(json!({ "email": "leo@example.test" }))).await.json();
        let link = invited["url"].as_str().unwrap();
        let page = app.browser().get(link).await.text();
        assert!(!page.contains("type=\"password\"") && page.contains("Join with"), "{page}");
        let path = link.replace(&app.url(""), "");
        let refused = app.browser().post(&path, &[("name", "Leo"), ("password", PASSWORD)]).await;
        assert_eq!(refused.status.as_u16(), 422, "{}", refused.text());
        provider.knows(json!({ "sub": "kai-1", "email": "kai@example.test", "email_verified": true }));
        assert_eq!(press(&app.browser(), &provider, BUTTON).await.status.as_u16(), 303, "an admin, by the address");
        app.stop().await;
    }

    async fn consent_for_an_ai_client_goes_on_after_the_provider(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        provider.knows(mia());
        let browser = app.browser();
        let client = json!({ "client_name": "Agent", "redirect_uris": ["http://127.0.0.1/callback"] });
        let registered = app.client_at("/oauth/register", None)
            .send(http::Method::POST, crate::support::json_headers(), client.to_string()).await.json();
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let begun = browser.get(&format!(
            "/oauth/authorize?response_type=code&client_id={}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback\
             &code_challenge={challenge}&code_challenge_method=S256&state=s",
            registered["client_id"].as_str().unwrap()
        )).await;
        let consent = begun.location().to_owned();
        let asked = browser.get(&consent).await;
        assert_eq!(asked.location(), format!("/sign-in?return_to={consent}"));
        let page = browser.get(asked.location()).await.text();
        let encoded: String = url::form_urlencoded::byte_serialize(consent.as_bytes()).collect();
        assert!(page.contains(&format!("{BUTTON}?return_to={encoded}")), "{page}");
        let back = press(&browser, &provider, &format!("{BUTTON}?return_to={encoded}")).await;
        assert_eq!(back.location(), consent);
        let page = browser.get(&consent).await;
        assert!(page.text().contains("mia@example.test"), "{}", page.text());
        let fields = [("form_token", page.hidden("form_token")), ("decision", "allow".to_owned())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let allowed = browser.post(&consent, &fields).await;
        assert!(allowed.location().starts_with("http://127.0.0.1/callback?code="), "{}", allowed.location());
        app.stop().await;
    }

    async fn another_issuer_takes_the_secret_away(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        let elsewhere = ScriptedProvider::start().await;
        let made = set_up(&app, &provider, json!({})).await;
        let path = format!("/identity-providers/{}", made["id"].as_str().unwrap());
        let refused = api(&app, "PATCH", &path, Some(json!({ "issuer": elsewhere.issuer() }))).await;
        assert_eq!(refused.status.as_u16(), 422, "{}", refused.text());
        assert!(refused.text().contains("client_secret"), "{}", refused.text());
        let edit = json!({ "issuer": elsewhere.issuer(), "client_secret": CLIENT_SECRET });
        let moved = api(&app, "PATCH", &path, Some(edit)).await;
        assert_eq!(moved.status.as_u16(), 200, "{}", moved.text());
        elsewhere.knows(mia());
        assert_eq!(press(&app.browser(), &elsewhere, BUTTON).await.status.as_u16(), 303);
        let slash = json!({ "issuer": format!("{}/", provider.issuer()), "client_secret": CLIENT_SECRET });
        let refused = api(&app, "PATCH", &path, Some(slash)).await;
        assert_eq!(refused.status.as_u16(), 422, "a slash is another issuer: {}", refused.text());
        assert_eq!(api(&app, "DELETE", &path, None).await.status.as_u16(), 204);
        assert_eq!(app.browser().get(BUTTON).await.status.as_u16(), 404);
        app.stop().await;
    }

    async fn only_admins_look_after_providers(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let member = app.member("mia@example.test", Role::Member).await;
        let token = app.token(member, &[Scope::Api]).await;
        let client = app.client_at("/api/v1/identity-providers", Some(&token));
        assert_eq!(client.send(http::Method::GET, http::HeaderMap::new(), "").await.status.as_u16(), 403);
        let (_, _, stranger) = app.stranger(&[Scope::Api]).await;
        let client = app.client_at("/api/v1/identity-providers", Some(&stranger));
        let theirs = client.send(http::Method::GET, http::HeaderMap::new(), "").await.json();
        assert_eq!(theirs["items"].as_array().unwrap().len(), 0);
        let page = app.browser().get("/sign-in").await.text();
        assert!(!page.contains("Acme") && page.contains("short name"), "which organizations there are is nobody's business");
        assert!(app.browser().get("/sign-in?organization=acme").await.text().contains("Sign in with Acme"));
        app.stop().await;
    }
}
