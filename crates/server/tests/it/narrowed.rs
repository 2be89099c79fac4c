//! A client narrowed to toolkits on the consent page: it finds and runs what they show, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_domain::{Clock as _, MemberId, OrganizationId, Role, SystemClock, SystemRandom, ToolkitId};
use switchboard_storage::{PolicyLayer, Toolkit, ToolkitSurface};
use switchboard_testkit::{
    app::{App, Browser, McpClient, McpReply},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::oauth::{answer, exchange, field, public_client, refresh, request};

const EMAIL: &str = "mia@example.test";

async fn toolkit_of(
    app: &App,
    organization: OrganizationId,
    slug: &str,
    owner: Option<MemberId>,
    members: &[MemberId],
) -> ToolkitId {
    let (id, now) = (ToolkitId::new(&SystemClock, &SystemRandom), SystemClock.now());
    let toolkit = Toolkit {
        id,
        organization,
        owner,
        slug: slug.parse().unwrap(),
        name: format!("Kit {slug}"),
        surface: ToolkitSurface::Search,
        patterns: vec!["demo.echo".into()],
        members: members.to_vec(),
        teams: vec![],
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let mut tx = app.db.write().await.unwrap();
    assert!(tx.toolkits().insert(&toolkit).await.unwrap());
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
    id
}

/// A toolkit for everybody that shows `demo.echo`.
async fn toolkit(app: &App, slug: &str) -> ToolkitId {
    toolkit_of(app, app.organization, slug, None, &[]).await
}

async fn delete(app: &App, id: ToolkitId) {
    let mut tx = app.db.write().await.unwrap();
    assert!(tx.toolkits().delete(app.organization, id).await.unwrap());
    tx.commit().await.unwrap();
}

async fn rules(app: &App, layer: PolicyLayer, action: &str) {
    let rules = json!([{ "pattern": "demo.echo", "action": action }]);
    let mut tx = app.db.write().await.unwrap();
    assert!(tx.policies().put(app.organization, layer, &rules, 0, SystemClock.now()).await.unwrap());
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
}

/// The consent page of one request, as this browser sees it.
struct Asked<'b> {
    browser: &'b Browser,
    address: String,
    page: McpReply,
}

impl<'b> Asked<'b> {
    async fn open(browser: &'b Browser, request: &str) -> Self {
        let address = browser.get(request).await.location().to_owned();
        let page = browser.get(&address).await;
        Self { browser, address, page }
    }

    async fn allow(&self, more: &[(&str, &str)]) -> McpReply {
        let token = self.page.hidden("form_token");
        let mut fields = vec![("form_token", &*token), ("decision", "allow")];
        fields.extend(more);
        self.browser.post(&self.address, &fields).await
    }
}

/// Signs a client in, narrowed to these: its access token and its refresh token.
async fn sign_in(app: &App, client: &str, browser: &Browser, toolkits: &[ToolkitId]) -> (String, String) {
    let asked = Asked::open(browser, &request(client, &[])).await;
    let ids: Vec<String> = toolkits.iter().map(ToString::to_string).collect();
    let mut fields = vec![("reach", "toolkits")];
    fields.extend(ids.iter().map(|id| ("toolkit", id.as_str())));
    let allowed = asked.allow(&fields).await;
    assert_eq!(allowed.status.as_u16(), 303, "{}", allowed.text());
    let tokens = exchange(app, client, &answer(&allowed, "code").unwrap(), &[]).await;
    (field(&tokens, "access_token"), field(&tokens, "refresh_token"))
}

async fn names(client: &McpClient) -> Vec<String> {
    let found = client.search(json!({ "limit": 20 })).await;
    let matches = found["matches"].as_array().unwrap().iter();
    matches.map(|found| found["name"].as_str().unwrap_or("a connection's state").to_owned()).collect()
}

async fn echo(client: &McpClient) -> Value {
    let done = client.execute("demo.echo", json!({ "text": "x" })).await;
    done["structuredContent"]["code"].clone()
}

on_both! {
    async fn a_narrowed_client_stays_inside_its_toolkits(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let kit = toolkit(&app, "echoes").await;
        let other = upstream.tool_names().into_iter().find(|name| name != "echo").unwrap();
        let (client, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        let (access, again) = sign_in(&app, &client, &browser, &[kit]).await;
        let refreshed = field(&refresh(&app, &client, &again).await, "access_token");
        for token in [&access, &refreshed] {
            let narrowed = app.client(token);
            assert_eq!(names(&narrowed).await, ["demo.echo"]);
            let before = upstream.log().executions("echo");
            assert_eq!(echo(&narrowed).await, Value::Null);
            assert_eq!(upstream.log().executions("echo"), before + 1);
            let outside = narrowed.execute(&format!("demo.{other}"), json!({})).await;
            let refused = &outside["structuredContent"];
            assert_eq!(refused["code"], "unknown_capability", "{outside}");
            assert!(!refused["details"]["suggestions"].to_string().contains(&other), "{outside}");
            assert_eq!(upstream.log().executions(&other), 0, "not called");
        }
        let everything = Asked::open(&browser, &request(&client, &[])).await.allow(&[("reach", "everything")]).await;
        let tokens = exchange(&app, &client, &answer(&everything, "code").unwrap(), &[]).await;
        assert!(names(&app.client(&field(&tokens, "access_token"))).await.len() > 1);

        delete(&app, kit).await;
        let narrowed = app.client(&refreshed);
        for _ in 0..400 {
            if echo(&narrowed).await != Value::Null {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let before = upstream.log().executions("echo");
        assert_eq!(echo(&narrowed).await, "unknown_capability");
        assert_eq!(names(&narrowed).await, Vec::<String>::new());
        assert_eq!(upstream.log().executions("echo"), before, "nothing is left of it");
        app.stop().await;
    }

    async fn the_most_permissive_of_the_chosen_toolkits_decides(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let (open, closed) = (toolkit(&app, "open").await, toolkit(&app, "closed").await);
        rules(&app, PolicyLayer::Toolkit(closed), "block").await;
        let (client, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        let blocked = app.client(&sign_in(&app, &client, &browser, &[closed]).await.0);
        assert_eq!((echo(&blocked).await, names(&blocked).await.len()), (json!("policy_blocked"), 0));
        let both = app.client(&sign_in(&app, &client, &browser, &[open, closed]).await.0);
        assert_eq!((echo(&both).await, names(&both).await.len()), (Value::Null, 1));
        assert_eq!(upstream.log().executions("echo"), 1);
        rules(&app, PolicyLayer::Member(mia), "require_approval").await;
        assert_eq!((echo(&both).await, names(&both).await.len()), (json!("approval_required"), 1), "shown, but held");
        rules(&app, PolicyLayer::Organization, "block").await;
        assert_eq!((echo(&both).await, names(&both).await.len()), (json!("policy_blocked"), 0));
        delete(&app, open).await;
        delete(&app, closed).await;
        assert_eq!(upstream.log().executions("echo"), 1, "rules tighten, and a toolkit can't undo them");
        app.stop().await;
    }

    async fn only_toolkits_of_their_own_can_be_chosen(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let (client, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        let none = Asked::open(&browser, &request(&client, &[])).await;
        assert!(!none.page.text().contains("fieldset"), "nothing to choose from");

        let (elsewhere, _, _) = app.stranger(&[]).await;
        let good = toolkit(&app, "good").await.to_string();
        let own = toolkit_of(&app, app.organization, "own", Some(mia), &[]).await.to_string();
        let foreign = toolkit_of(&app, elsewhere, "foreign", None, &[]).await.to_string();
        let others = toolkit_of(&app, app.organization, "others", Some(app.owner), &[]).await.to_string();
        let owners = toolkit_of(&app, app.organization, "owners", None, &[app.owner]).await.to_string();
        let asked = Asked::open(&browser, &request(&client, &[])).await;
        let page = asked.page.text();
        assert!(page.contains(&good) && page.contains(&own), "{page}");
        assert!(!page.contains(&foreign) && !page.contains(&others) && !page.contains(&owners), "{page}");
        for tampered in [
            vec![("reach", "toolkits"), ("toolkit", &*foreign)],
            vec![("reach", "toolkits"), ("toolkit", &*good), ("toolkit", &*foreign)],
            vec![("reach", "toolkits"), ("toolkit", &*others)],
            vec![("reach", "toolkits"), ("toolkit", &*owners)],
            vec![("reach", "toolkits"), ("toolkit", "good")],
            vec![("reach", "toolkits")],
            vec![("reach", "everything"), ("toolkit", &*good)],
            vec![("toolkit", &*good)],
            vec![("reach", "all")],
        ] {
            let refused = asked.allow(&tampered).await;
            assert_eq!((refused.status.as_u16(), refused.header("location")), (400, None), "{tampered:?}");
        }
        let allowed = asked.allow(&[("reach", "toolkits"), ("toolkit", &good), ("toolkit", &own)]).await;
        assert!(answer(&allowed, "code").is_some(), "the request still waited");

        let resource = app.url("/mcp/toolkits/good");
        let narrow = Asked::open(&browser, &request(&client, &[("resource", &resource)])).await;
        assert!(narrow.page.text().contains("/mcp/toolkits/good") && !narrow.page.text().contains("fieldset"));
        let refused = narrow.allow(&[("reach", "toolkits"), ("toolkit", &good)]).await;
        assert_eq!(refused.status.as_u16(), 400, "only `/mcp` is narrowed");
        app.stop().await;
    }
}
