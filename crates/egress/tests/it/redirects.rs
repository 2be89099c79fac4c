//! Redirects by hand.

use http::{HeaderValue, Method};
use switchboard_egress::{Egress, EgressConfig, EgressError, Redirects, Request};

use crate::support::*;

fn redirect(status: &str, location: &str) -> Vec<Step> {
    vec![answer(status, &format!("location: {location}\r\n"), "")]
}

fn named_egress() -> Egress {
    Egress::new(EgressConfig {
        allow_private_networks: true,
        ..EgressConfig::with_resolver(StubResolver::new(&[
            ("home.example.com", &[&["127.0.0.1"]]),
            ("away.example.com", &[&["127.0.0.1"]]),
        ]))
    })
    .unwrap()
}

#[tokio::test]
async fn refused_unless_asked_for() {
    let server = Server::plain(|_| redirect("302 Found", "/elsewhere")).await;
    let egress = open_egress();
    let error = egress.send(get(&egress, &format!("http://{}/", server.address))).await.unwrap_err();
    assert_eq!(error, EgressError::RedirectRefused);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn an_unchanged_answer_is_no_redirect() {
    let server = Server::plain(|_| vec![send("HTTP/1.1 304 Not Modified\r\n\r\n")]).await;
    let egress = open_egress();
    let response = egress.send(get(&egress, &format!("http://{}/", server.address))).await.unwrap();
    assert_eq!(response.status, 304);
}

#[tokio::test]
async fn followed_within_the_origin_up_to_the_bound() {
    let server = Server::plain(|request| match request.path() {
        "/1" => redirect("302 Found", "/2"),
        "/2" => redirect("308 Permanent Redirect", "3?x=y"),
        "/3?x=y" => ok("there"),
        _ => redirect("302 Found", "/loop"),
    })
    .await;
    let egress = open_egress();
    let follow = |path: &str, max| Request {
        redirects: Redirects::SameOrigin { max },
        ..get(&egress, &format!("http://{}{path}", server.address))
    };
    let response = egress.send(follow("/1", 2)).await.unwrap();
    assert_eq!(response.url.as_str(), format!("http://{}/3?x=y", server.address));
    assert_eq!(response.body.collect_bytes().await.unwrap(), "there");
    assert_eq!(egress.send(follow("/1", 1)).await.unwrap_err(), EgressError::RedirectRefused);
    let before = server.received().len();
    assert_eq!(egress.send(follow("/loop", 3)).await.unwrap_err(), EgressError::RedirectRefused);
    assert_eq!(server.received().len() - before, 4);
}

#[tokio::test]
async fn another_origin_is_not_followed_within_the_origin() {
    let away = Server::plain(|_| ok("x")).await;
    let location = format!("http://{}/", away.address);
    let home = Server::plain(move |_| redirect("302 Found", &location)).await;
    let egress = open_egress();
    let request = Request {
        redirects: Redirects::SameOrigin { max: 3 },
        ..get(&egress, &format!("http://{}/", home.address))
    };
    assert_eq!(egress.send(request).await.unwrap_err(), EgressError::RedirectRefused);
    assert_eq!(away.accepted(), 0);
}

#[tokio::test]
async fn a_request_with_effects_is_not_redirected() {
    let server = Server::plain(|_| redirect("307 Temporary Redirect", "/again")).await;
    let egress = open_egress();
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        for redirects in [Redirects::SameOrigin { max: 3 }, Redirects::AnyOrigin { max: 3 }] {
            let url = egress.check_url(&format!("http://{}/", server.address)).unwrap();
            let request = Request { redirects, ..request(&egress, method.clone(), url) };
            assert_eq!(egress.send(request).await.unwrap_err(), EgressError::RedirectRefused);
        }
    }
    assert!(server.received().iter().all(|request| request.path() == "/"));
}

/// home → away → home: the headers stay behind at the first step and do not come back at the second.
#[tokio::test]
async fn credentials_do_not_leave_home_and_do_not_return() {
    let server = Server::plain(|request| {
        let port = request.header("host").unwrap().split(':').nth(1).unwrap().to_owned();
        match request.path() {
            "/start" => redirect("302 Found", "/still-home"),
            "/still-home" => redirect("302 Found", &format!("http://away.example.com:{port}/away")),
            "/away" => redirect("302 Found", &format!("http://home.example.com:{port}/back")),
            _ => ok("end"),
        }
    })
    .await;
    let egress = named_egress();
    let mut request = Request {
        redirects: Redirects::AnyOrigin { max: 3 },
        body: "secret body".into(),
        ..get(&egress, &format!("http://home.example.com:{}/start", server.port()))
    };
    for name in ["authorization", "x-api-key", "cookie", "private-token"] {
        request.headers.insert(name, HeaderValue::from_static("S"));
    }
    egress.send(request).await.unwrap();
    let seen: Vec<_> = server
        .received()
        .iter()
        .map(|r| {
            (r.path().to_owned(), r.header("x-api-key").is_some(), r.header("cookie").is_some(), r.body.len())
        })
        .collect();
    let expected =
        [("/start", true, 11), ("/still-home", true, 11), ("/away", false, 0), ("/back", false, 0)];
    assert_eq!(seen, expected.map(|(path, headers, body)| (path.to_owned(), headers, headers, body)));
    for later in &server.received()[2..] {
        assert!(!later.head.contains(": S"), "{}", later.head);
    }
}

#[tokio::test]
async fn every_hop_is_judged() {
    for location in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "https://metadata.google.internal/",
        "gopher://127.0.0.1:6379/_x",
        "file:///etc/passwd",
        "data:application/json,{}",
        "http://user@127.0.0.1/",
        "http:\\\\127.0.0.1/",
        "/a b",
        "",
    ] {
        let location = location.to_owned();
        let server = Server::plain(move |_| redirect("302 Found", &location)).await;
        let egress = open_egress();
        let request = Request {
            redirects: Redirects::AnyOrigin { max: 3 },
            ..get(&egress, &format!("http://{}/", server.address))
        };
        let error = egress.send(request).await.unwrap_err();
        assert!(matches!(error, EgressError::Refused(_)), "{error:?}");
        assert_eq!(server.received().len(), 1);
    }
}
