//! `/` and `/connections/{id}`: what a signed-in person meets.

use http::{HeaderMap, HeaderValue, Method, header};
use switchboard_domain::{ConnectionStatus, Role};
use switchboard_testkit::{app::App, on_both, upstream::ReferenceUpstream};

const EMAIL: &str = "mia@example.test";

on_both! {
    async fn a_signed_in_person_has_a_page_of_their_own(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        app.add("secret", &upstream.url()).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let anonymous = app.browser().get("/").await.text();
        assert!(anonymous.contains("href=\"/sign-in\"") && !anonymous.contains("Connections you can use"));
        let browser = app.signed_in(EMAIL).await;
        let page = browser.get("/").await.text();
        for part in [
            "Hello, mia@example.test", "Acme", "<dd>Member</dd>", &app.url("/mcp"), ">demo</a>", "Connected",
            "/account/password", "/approvals", "You allowed none yet",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("secret"), "what is not granted is not there");
        assert!(page.contains("href=\"/\" aria-current=\"page\">Home"), "{page}");
        assert!(page.contains("<a class=\"skip\" href=\"#content\">") && page.contains("<main id=\"content\""));
        let token = browser.get("/").await.hidden("form_token");
        assert_eq!(browser.post("/sign-out", &[("form_token", &token)]).await.status.as_u16(), 303);
        assert!(browser.get("/").await.text().contains("href=\"/sign-in\""));
        app.stop().await;
    }

    async fn the_page_of_a_connection_says_what_is_wrong_and_who_can_do_what(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("down", &upstream.url()).await;
        let hidden = app.add("secret", &upstream.url()).await;
        drop(upstream);
        // The first may still meet the last connection just being closed; the second finds nobody listening.
        app.broker.check(app.organization, id, None).await.unwrap();
        app.broker.check(app.organization, id, None).await.unwrap();
        app.wait_for_status(id, ConnectionStatus::Unreachable).await;
        app.member_with_password(EMAIL, Role::Member).await;
        app.member_with_password("adm@example.test", Role::Admin).await;
        let path = format!("/connections/{id}");
        let first = app.browser().get(&path).await;
        assert!(first.location().starts_with("/sign-in?return_to="), "{}", first.location());
        let member = app.signed_in(EMAIL).await;
        let page = member.get(&path).await.text();
        assert!(page.contains("Can&#39;t reach down") && page.contains("can put that right"), "{page}");
        assert!(!page.contains("/check\""), "a check is not hers to ask for: {page}");
        let admin = app.signed_in("adm@example.test").await;
        let shown = admin.get(&path).await.text();
        assert!(shown.contains("Try again") && shown.contains("Failed at"), "{shown}");
        for gone in [format!("/connections/{hidden}"), "/connections/con_nothing".to_owned()] {
            let answer = member.get(&gone).await;
            assert_eq!(answer.status.as_u16(), 404, "{gone}");
            assert!(answer.text().contains("No such connection"), "the same for both");
        }
        app.stop().await;
    }

    async fn a_browser_is_shown_a_page_where_nothing_is_and_a_program_a_problem(database) {
        let app = App::start(database.db.clone()).await;
        let browser = app.browser();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml"));
        let page = browser.send(Method::GET, "/nothing", headers, String::new()).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (404, Some("text/html; charset=utf-8")));
        let problem = browser.get("/nothing").await;
        assert_eq!(problem.header("content-type"), Some("application/problem+json"));
        app.stop().await;
    }

    async fn whoever_misses_the_endpoint_is_told_where_it_is(database) {
        let app = App::start(database.db.clone()).await;
        let endpoint = app.url("/mcp");
        for path in ["/sse", "/mcp/sse", "/MCP", "/mcp/toolkit/x", "/messages", "/"] {
            let missed = app.client_at(path, None).send(Method::POST, HeaderMap::new(), "{}").await;
            let expected = if path == "/" { 405 } else { 404 };
            assert_eq!(missed.status.as_u16(), expected, "{path}");
            assert!(missed.json()["detail"].as_str().unwrap().contains(&endpoint), "{path}: {}", missed.text());
        }
        let browser = app.browser();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml"));
        let page = browser.send(Method::GET, "/mcp", headers, String::new()).await;
        let machine = browser.get("/mcp").await;
        assert_eq!((page.status, machine.status.as_u16()), (machine.status, 401));
        assert_eq!(page.header("www-authenticate"), machine.header("www-authenticate"), "to a machine it is the same");
        assert!(page.text().contains("This address is for AI clients") && page.text().contains("href=\"/connect-client\""), "{}", page.text());
        assert_eq!(machine.header("content-type"), Some("application/problem+json"));
        app.stop().await;
    }
}
