//! What somebody can do who is not signed in: ask, register, guess; and how far that goes.

use std::{net::IpAddr, num::NonZeroU32, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::json;
use switchboard_broker::Settings;
use switchboard_domain::{OauthClientId, Role};
use switchboard_server::TrustedProxies;
use switchboard_storage::OauthClient;
use switchboard_testkit::{
    app::{App, AppOptions, Resolve, ResolveError},
    on_both,
};

use crate::oauth::{EMAIL, code, public_client, register, request};

/// A name server for which every name lies inside.
#[derive(Debug)]
struct Everywhere;

impl Resolve for Everywhere {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send + 'a>> {
        Box::pin(async move {
            match name.starts_with("nowhere") {
                true => Err(ResolveError::NotFound),
                false => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            }
        })
    }
}

on_both! {
    async fn a_document_that_can_not_be_had_says_nothing_of_the_network(database) {
        let mut settings = Settings::default();
        settings.authorization.client_document_timeout = Duration::from_millis(300);
        let resolver: Arc<dyn Resolve> = Arc::new(Everywhere);
        let app = App::start_with(database.db.clone(), AppOptions { settings, resolver: Some(resolver), ..AppOptions::default() }).await;
        let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = inside.local_addr().unwrap().port();
        let accepted = tokio::spawn(async move { inside.accept().await });
        let mut told = std::collections::BTreeSet::new();
        for address in [
            format!("https://inside.example.com:{open}/client.json"),
            "https://inside.example.com:1/client.json".to_owned(),
            "https://inside.example.com:25/client.json".to_owned(),
            "https://nowhere.example.com/client.json".to_owned(),
            format!("https://app.localhost:{open}/client.json"),
        ] {
            let reply = app.browser().get(&request(&address, &[])).await;
            assert_eq!(reply.status.as_u16(), 400, "{address}");
            told.insert(reply.text());
        }
        assert_eq!(told.len(), 1, "one answer for all: {told:?}");
        assert!(!accepted.is_finished(), "nobody connected, though upstreams may be private here");
        accepted.abort();
        app.stop().await;
    }

    async fn clients_that_nobody_allowed_are_bounded(database) {
        let mut settings = Settings::default();
        settings.authorization.max_unused_clients = 2;
        let app = App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let (allowed, browser) = (public_client(&app).await, app.signed_in(EMAIL).await);
        code(&browser, &request(&allowed, &[])).await;
        let first = public_client(&app).await;
        public_client(&app).await;
        let body = json!({ "redirect_uris": ["http://127.0.0.1/callback"] });
        let refused = register(&app, body.clone()).await;
        assert_eq!(refused.status.as_u16(), 429);
        assert!(refused.text().contains("oauth.max_unused_clients"), "{}", refused.text());
        let mut tx = app.db.write().await.unwrap();
        let known = tx.oauth_clients().find(&first).await.unwrap().unwrap();
        let hour = Duration::from_secs(3601);
        let old = OauthClient {
            id: OauthClientId::new(app.broker.clock(), app.broker.random()),
            client_id: "ocl_old".into(),
            created_at: known.created_at.minus(hour),
            ..known
        };
        tx.oauth_clients().insert(&old).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(register(&app, body).await.status.as_u16(), 201, "one that had its chance goes");
        let mut tx = app.db.read().await.unwrap();
        assert!(tx.oauth_clients().find("ocl_old").await.unwrap().is_none());
        for kept in [&first, &allowed] {
            assert!(tx.oauth_clients().find(kept).await.unwrap().is_some());
        }
        drop(tx);
        app.stop().await;
    }

    async fn addresses_of_one_machine_share_its_limits(database) {
        let mut settings = Settings::default();
        settings.authorization.registrations_per_minute = NonZeroU32::new(2).unwrap();
        let trusted_proxies = TrustedProxies::parse(&["127.0.0.1".to_owned()]).unwrap();
        let app = App::start_with(database.db.clone(), AppOptions { settings, trusted_proxies, ..AppOptions::default() }).await;
        let from = async |address: String, path: &str, token: Option<&str>| {
            let client = app.client_at(path, token).with_header("x-forwarded-for", &address);
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = json!({ "redirect_uris": ["http://127.0.0.1/callback"] }).to_string();
            client.send(Method::POST, headers, body).await.status.as_u16()
        };
        for (address, status) in [("2001:db8::1", 201), ("2001:db8::2", 201), ("2001:db8::3", 429), ("2001:db8:0:1::1", 201)] {
            assert_eq!(from(address.to_owned(), "/oauth/register", None).await, status, "{address}");
        }
        let mut answers = Vec::new();
        for at in 0..62 {
            answers.push(from(format!("2001:db8:7::{at:x}"), "/mcp", Some("swb_pat_guess")).await);
        }
        assert_eq!((answers[0], answers[61]), (401, 429), "guesses from one /64 are counted together");
        app.stop().await;
    }
}
