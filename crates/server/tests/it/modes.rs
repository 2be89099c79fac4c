//! What narrows a session: availability and selection, plan mode, and what calls itself destructive; in what is shown
//! and in what is called, down to the upstream's log.

use serde_json::{Value, json};
use switchboard_domain::{Availability, Clock as _, Role, Scope, SystemClock};
use switchboard_testkit::{
    app::{App, McpClient},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::READ_WRITE;

async fn connection(
    app: &App,
    slug: &str,
    upstream: &ReferenceUpstream,
    availability: Availability,
    plan: bool,
) {
    let id = app
        .add_with(slug, &upstream.url(), |connection| {
            connection.switches.availability = availability;
            connection.switches.allow_in_plan_mode = plan;
        })
        .await;
    app.grant_everyone(id).await;
    let diagnosis = app.broker.check(app.organization, id, None).await.unwrap();
    assert!(diagnosis.failed.is_none(), "{diagnosis:?}");
}

/// Which of these connections a search shows.
async fn shown(client: &McpClient, meta: &Value) -> Vec<String> {
    let params = json!({ "name": "search_capabilities", "arguments": { "query": "echo", "limit": 20 }, "_meta": meta });
    let found = client.modern("tools/call", params).await.result()["structuredContent"].clone();
    let mut slugs: Vec<String> = found["matches"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|found| found["name"].as_str()?.strip_suffix(".echo").map(str::to_owned))
        .collect();
    slugs.sort();
    slugs
}

async fn echo(client: &McpClient, slug: &str, meta: &Value) -> String {
    let arguments = json!({ "name": format!("{slug}.echo"), "arguments": { "text": "x" } });
    let params = json!({ "name": "execute_capability", "arguments": arguments, "_meta": meta });
    let done = client.modern("tools/call", params).await.result();
    done["structuredContent"]["code"].as_str().unwrap_or("it ran").to_owned()
}

on_both! {
    async fn a_selection_leaves_what_it_names_and_what_is_forced(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        connection(&app, "forced", &upstream, Availability::ForceOn, false).await;
        connection(&app, "usual", &upstream, Availability::DefaultOn, false).await;
        connection(&app, "rare", &upstream, Availability::DefaultOff, false).await;
        let token = app.token(app.owner, &READ_WRITE).await;
        let client = app.client(&token);
        let none = json!({});
        assert_eq!(shown(&client, &none).await, ["forced", "usual"]);
        assert_eq!(echo(&client, "rare", &none).await, "not_selected");
        assert_eq!(upstream.log().executions("echo"), 0);

        let rare = json!({ "switchboard/connections": ["rare"] });
        assert_eq!(shown(&client, &rare).await, ["forced", "rare"]);
        assert_eq!(echo(&client, "usual", &rare).await, "not_selected");
        assert_eq!(echo(&client, "rare", &rare).await, "it ran");
        assert_eq!(echo(&client, "forced", &rare).await, "it ran");
        let by_header = app.client(&token).with_header("switchboard-connections", "usual, unknown");
        assert_eq!(shown(&by_header, &none).await, ["forced", "usual"]);
        assert_eq!(echo(&by_header, "rare", &none).await, "not_selected");
        assert_eq!(shown(&by_header, &rare).await, ["forced"], "both narrow");
        let nothing = app.client(&token).with_header("switchboard-connections", "");
        assert_eq!(shown(&nothing, &none).await, ["forced"]);
        assert_eq!(upstream.log().executions("echo"), 2);
        app.stop().await;
    }

    async fn plan_mode_leaves_what_is_allowed_in_it(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        connection(&app, "planned", &upstream, Availability::DefaultOn, true).await;
        connection(&app, "usual", &upstream, Availability::DefaultOn, false).await;
        let plan = json!({ "switchboard/mode": "plan" });
        let none = json!({});
        let client = app.client(&app.token(app.owner, &READ_WRITE).await);
        let by_header = app.client(&app.token(app.owner, &READ_WRITE).await).with_header("switchboard-mode", "plan");
        // A token for plan mode alone is in it whatever it says.
        let planner = app.client(&app.token(app.owner, &[Scope::McpPlan]).await);
        for (client, meta) in [(&client, &plan), (&by_header, &none), (&planner, &none)] {
            upstream.log().clear();
            assert_eq!(shown(client, meta).await, ["planned"]);
            assert_eq!(echo(client, "usual", meta).await, "excluded_by_mode");
            assert_eq!(upstream.log().executions("echo"), 0);
            assert_eq!(echo(client, "planned", meta).await, "it ran");
            assert_eq!(upstream.log().executions("echo"), 1);
        }
        // Reading alone never executes, in no mode; and outside of plan mode everything is as usual.
        let reader = app.client(&app.token(app.owner, &[Scope::McpRead]).await);
        assert_eq!(echo(&reader, "planned", &plan).await, "insufficient_scope");
        assert_eq!(shown(&client, &none).await, ["planned", "usual"]);
        assert_eq!(echo(&client, "usual", &none).await, "it ran");
        assert_eq!(upstream.log().executions("echo"), 2);
        let unknown = json!({ "name": "search_capabilities", "arguments": {}, "_meta": { "switchboard/mode": "strict" } });
        assert_eq!(client.modern("tools/call", unknown).await.error_code(), -32602, "it may mean something stricter");
        app.stop().await;
    }

    async fn what_calls_itself_destructive_is_held_where_the_organization_wants_it(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let mia = app.member("mia@example.test", Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        let destroy = async || {
            let done = client.execute("demo.delete_everything", json!({})).await;
            done["structuredContent"]["code"].as_str().unwrap_or("it ran").to_owned()
        };
        assert_eq!(destroy().await, "it ran", "off by default");
        let hold = async |hold: bool| {
            let mut tx = app.db.write().await.unwrap();
            let found = tx.organizations().find(app.organization).await.unwrap().unwrap();
            let settings = json!({ "hold_destructive": hold });
            assert!(tx.organizations().update(found.id, &found.name, &settings, found.version).await.unwrap());
            tx.commit().await.unwrap();
            app.broker.refresh_snapshots().await.unwrap();
        };
        hold(true).await;
        assert_eq!(destroy().await, "approval_required");
        assert_eq!(echo(&client, "demo", &json!({})).await, "it ran", "what says nothing of the kind goes on");
        // No rule of anybody's loosens it; a stricter one still counts.
        let allow = json!([{ "pattern": "demo.*", "action": "allow" }]);
        let mut tx = app.db.write().await.unwrap();
        let layer = switchboard_storage::PolicyLayer::Organization;
        assert!(tx.policies().put(app.organization, layer, &allow, 0, SystemClock.now()).await.unwrap());
        tx.commit().await.unwrap();
        app.broker.refresh_snapshots().await.unwrap();
        assert_eq!(destroy().await, "approval_required");
        assert_eq!(upstream.log().executions("delete_everything"), 1);
        hold(false).await;
        assert_eq!(destroy().await, "it ran");
        assert_eq!(upstream.log().executions("delete_everything"), 2);
        app.stop().await;
    }
}
