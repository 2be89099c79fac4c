//! `/api/v1/allowed-clients` and the list on the home page: what people allowed AI clients, taken away again.

use http::{HeaderMap, Method};
use serde_json::Value;
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{
    app::{App, Browser, McpReply},
    on_both,
};

use crate::oauth::{answer, exchange, field, public_client, request, status_of};

/// Allows a fresh client as this person: its access token.
async fn allow(app: &App, browser: &Browser) -> String {
    let client = public_client(app).await;
    let address = browser.get(&request(&client, &[])).await.location().to_owned();
    let token = browser.get(&address).await.hidden("form_token");
    let allowed = browser.post(&address, &[("form_token", &token), ("decision", "allow")]).await;
    let tokens = exchange(app, &client, &answer(&allowed, "code").unwrap(), &[]).await;
    field(&tokens, "access_token")
}

async fn works(app: &App, access: &str) -> bool {
    status_of(app, "/mcp", access).await != 401
}

async fn ask(app: &App, method: Method, path: &str, token: &str) -> McpReply {
    app.client_at(path, Some(token)).send(method, HeaderMap::new(), "").await
}

async fn listed(app: &App, token: &str, query: &str) -> Vec<Value> {
    let answer = ask(app, Method::GET, &format!("/api/v1/allowed-clients{query}"), token).await;
    answer.json()["items"].as_array().unwrap().clone()
}

on_both! {
    async fn people_take_away_what_they_allowed_and_admins_what_anybody_did(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member_with_password("mia@example.test", Role::Member).await;
        let kai = app.member_with_password("kai@example.test", Role::Member).await;
        let browser = app.signed_in("mia@example.test").await;
        let (first, second) = (allow(&app, &browser).await, allow(&app, &browser).await);
        let (mia, kai) = (app.token(mia, &[Scope::Api]).await, app.token(kai, &[Scope::Api]).await);
        let owner = app.token(app.owner, &[Scope::Api]).await;
        let hers = listed(&app, &mia, "").await;
        assert_eq!(hers.len(), 2, "{hers:?}");
        assert_eq!((&hers[0]["resource"], &hers[0]["email"]), (&"/mcp".into(), &"mia@example.test".into()));
        assert!(listed(&app, &kai, "?everyone=true").await.is_empty() && listed(&app, &owner, "").await.is_empty());
        assert_eq!(listed(&app, &owner, "?everyone=true").await.len(), 2);

        // The newest is first. Another member can't, its person can on her page, an admin by the API.
        let path = format!("/api/v1/allowed-clients/{}", hers[0]["id"].as_str().unwrap());
        assert_eq!(ask(&app, Method::DELETE, &path, &kai).await.status.as_u16(), 404);
        assert!(works(&app, &first).await && works(&app, &second).await);
        assert_eq!(ask(&app, Method::DELETE, &path, &owner).await.status.as_u16(), 204);
        assert!(works(&app, &first).await && !works(&app, &second).await);
        let page = browser.get("/").await;
        let token = page.hidden("form_token");
        let id = hers[1]["id"].as_str().unwrap();
        assert!(page.text().contains(id) && !page.text().contains(hers[0]["id"].as_str().unwrap()));
        let form = format!("/account/clients/{id}/revoke");
        assert_eq!(browser.post(&form, &[("form_token", "wrong")]).await.status.as_u16(), 400);
        assert!(works(&app, &first).await);
        assert_eq!(browser.post(&form, &[("form_token", &token)]).await.location(), "/");
        assert!(!works(&app, &first).await);
        assert!(listed(&app, &mia, "").await.is_empty());
        app.stop().await;
    }
}
