//! Web pages that are clients (CORS), requests that come as forms, and forms over plain http.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use switchboard_domain::Role;
use switchboard_testkit::{
    app::{App, AppOptions, McpReply, PASSWORD},
    on_both,
};

use crate::oauth::{EMAIL, form, public_client, request};

const PAGE: &str = "http://localhost:6274";

async fn ask(
    app: &App,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> McpReply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    app.client_at(path, None).send(method, map, body.to_owned()).await
}

on_both! {
    async fn only_listed_pages_call_the_endpoints(database) {
        let options = AppOptions { allowed_origins: vec![PAGE.into()], ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        for path in ["/mcp", "/mcp/toolkits/x", "/o/acme/mcp"] {
            let question = [("origin", PAGE), ("access-control-request-method", "POST"), ("access-control-request-headers", "authorization,content-type,mcp-method")];
            let told = ask(&app, Method::OPTIONS, path, &question, "").await;
            assert_eq!(told.status.as_u16(), 204, "{path}");
            assert_eq!(told.header("access-control-allow-origin"), Some(PAGE));
            assert!(told.header("access-control-allow-headers").is_some_and(|it| it.contains("authorization") && it.contains("mcp-session-id")));
            assert_eq!(told.header("access-control-allow-credentials"), None, "a cookie counts for nothing here");
            let refused = ask(&app, Method::POST, path, &[("origin", PAGE), ("content-type", "application/json")], "{}").await;
            assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (401, Some(PAGE)));
            let exposed = refused.header("access-control-expose-headers").unwrap();
            assert!(exposed.contains("www-authenticate") && exposed.contains("mcp-session-id"), "{exposed}");
            for other in ["http://localhost:6275", "https://localhost:6274", "http://localhost:6274/", "http://LOCALHOST:6274", "null", "https://evil.example"] {
                let refused = ask(&app, Method::OPTIONS, path, &[("origin", other), ("access-control-request-method", "POST")], "").await;
                assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (403, None), "{other}");
            }
        }
        for elsewhere in ["/api/v1/organization", "/sign-in", "/o/acme/api/v1/organization"] {
            let refused = ask(&app, Method::GET, elsewhere, &[("origin", PAGE)], "").await;
            assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (403, None), "{elsewhere}");
        }
        app.stop().await;
    }

    async fn any_page_reads_what_is_public_and_asks_for_tokens(database) {
        let app = App::start(database.db.clone()).await;
        let page = "https://client.example";
        for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server", "/oauth/jwks.json"] {
            let read = ask(&app, Method::GET, path, &[("origin", page)], "").await;
            assert_eq!((read.status.as_u16(), read.header("access-control-allow-origin")), (200, Some("*")), "{path}");
        }
        for path in ["/oauth/token", "/oauth/register", "/oauth/revoke", "/oauth/introspect"] {
            let question = [("origin", page), ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type,authorization")];
            let told = ask(&app, Method::OPTIONS, path, &question, "").await;
            assert_eq!((told.status.as_u16(), told.header("access-control-allow-origin")), (200, Some("*")), "{path}");
            assert_eq!(told.header("access-control-allow-credentials"), None);
            let answered = ask(&app, Method::POST, path, &[("origin", page)], "").await;
            assert_eq!(answered.header("access-control-allow-origin"), Some("*"));
            assert!(answered.header("access-control-expose-headers").is_some_and(|it| it.contains("www-authenticate")));
        }
        let refused = ask(&app, Method::POST, "/mcp", &[("origin", page)], "").await;
        assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (403, None), "not listed");
        app.stop().await;
    }

    async fn a_request_may_come_as_a_form(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let client = public_client(&app).await;
        let asked = request(&client, &[]);
        let (_, query) = asked.split_once('?').unwrap();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://client.example"), ("sec-fetch-site", "cross-site")];
        let sent = ask(&app, Method::POST, "/oauth/authorize", &headers, query).await;
        assert_eq!((sent.status.as_u16(), sent.location()), (303, &*asked));
        let evil = form(&[("client_id", &client), ("redirect_uri", "https://evil.example/cb")]);
        let sent = ask(&app, Method::POST, "/oauth/authorize", &headers, &evil).await;
        assert!(sent.location().starts_with("/oauth/authorize?"), "{}", sent.location());
        let long = format!("{query}&more={}", "x".repeat(9000));
        for (kind, body) in [("application/json", query), ("application/x-www-form-urlencoded", &*long)] {
            let refused = ask(&app, Method::POST, "/oauth/authorize", &[("content-type", kind)], body).await;
            assert_eq!((refused.status.as_u16(), refused.header("location")), (400, None), "{kind}");
        }
        let browser = app.signed_in(EMAIL).await;
        let begun = browser.get(&asked).await;
        let decided = ask(&app, Method::POST, begun.location(), &headers, "decision=allow").await;
        assert_eq!(decided.status.as_u16(), 403, "the decision comes from our own page");
        let refused = browser.get(&request(&client, &[("scope", "api")])).await;
        assert_eq!(refused.status.as_u16(), 400, "a link instead of a redirect: nobody allowed this client yet");
        assert!(refused.text().contains("error=invalid_scope"), "{}", refused.text());
        app.stop().await;
    }

    async fn people_sign_in_over_plain_http_in_their_own_network(database) {
        let own: url::Url = "http://192.168.7.7:8080".parse().unwrap();
        let options = AppOptions { public_url: Some(own), ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let shown = app.browser().get("/sign-in").await;
        assert_eq!(shown.header("referrer-policy"), Some("same-origin"), "so that the form brings its origin");
        let sent = form(&[("email", EMAIL), ("password", PASSWORD)]);
        let kind = ("content-type", "application/x-www-form-urlencoded");
        // What a browser sends there: no `Sec-Fetch-Site`, and the origin of the page that has the form.
        for (origin, status) in [("http://192.168.7.7:8080", 303), ("null", 403), ("http://evil.example", 403)] {
            let reply = ask(&app, Method::POST, "/sign-in", &[kind, ("origin", origin)], &sent).await;
            assert_eq!(reply.status.as_u16(), status, "{origin}");
        }
        app.stop().await;
        let app = App::start(database.db.clone()).await;
        let shown = app.browser().get("/sign-in").await;
        assert_eq!(shown.header("referrer-policy"), Some("no-referrer"), "the browser says where a form comes from");
        app.stop().await;
    }

    async fn whoever_is_signed_out_still_gets_where_they_wanted(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let browser = app.browser();
        let wanted = "/reauthenticate?return_to=%2Fconsole%2Ftools";
        let sent = browser.get(wanted).await;
        let sign_in: url::Url = app.url(sent.location()).parse().unwrap();
        let (_, back) = sign_in.query_pairs().find(|(name, _)| name == "return_to").unwrap();
        assert_eq!(back, wanted);
        let fields = [("email", EMAIL), ("password", PASSWORD), ("return_to", &*back)];
        assert_eq!(browser.post("/sign-in", &fields).await.location(), wanted);
        assert_eq!(browser.get(wanted).await.hidden("return_to"), "/console/tools");
        app.stop().await;
    }
}
