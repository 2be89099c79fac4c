use super::*;

/// What the clients people use register and send.
#[test]
fn every_client_gets_back_where_it_listens() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "Claude Code",
            &["http://localhost/callback", "http://127.0.0.1/callback"],
            &["http://localhost:53123/callback", "http://127.0.0.1:8/callback"],
        ),
        (
            "claude.ai",
            &["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
            &["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
        ),
        (
            "ChatGPT",
            &[
                "https://chatgpt.com/connector_platform_oauth_redirect",
                "https://chatgpt.com/connector/oauth/abc",
            ],
            &["https://chatgpt.com/connector/oauth/abc"],
        ),
        (
            "Codex",
            &["http://127.0.0.1/callback/Zm9vYmFyYmF6"],
            &["http://127.0.0.1:1455/callback/Zm9vYmFyYmF6"],
        ),
        (
            "VS Code",
            &[
                "http://127.0.0.1:33418/",
                "https://vscode.dev/redirect",
                "https://insiders.vscode.dev/redirect",
                "http://127.0.0.1/",
            ],
            &["http://127.0.0.1:33418", "http://127.0.0.1:50000/", "https://vscode.dev/redirect"],
        ),
        (
            "Cursor",
            &[
                "http://localhost:8787/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "cursor://anysphere.cursor-mcp/oauth/callback",
            ],
            &[
                "http://localhost:8788/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "cursor://anysphere.cursor-mcp/oauth/callback",
            ],
        ),
        ("Zed", &["http://127.0.0.1/callback"], &["http://127.0.0.1:61000/callback"]),
        ("Goose", &["http://127.0.0.1/oauth_callback"], &["http://127.0.0.1:61000/oauth_callback"]),
        ("Gemini CLI", &["http://localhost:7777/oauth/callback"], &["http://localhost:41999/oauth/callback"]),
        (
            "Antigravity",
            &["https://antigravity.google/oauth-callback"],
            &["https://antigravity.google/oauth-callback"],
        ),
        ("n8n", &["https://oauth.n8n.cloud/oauth2/callback"], &["https://oauth.n8n.cloud/oauth2/callback"]),
        ("IPv6", &["http://[::1]:9000/cb"], &["http://[::1]:9/cb"]),
        ("an application", &["com.example.agent:/oauth/cb"], &["com.example.agent:/oauth/cb"]),
    ];
    for (client, registered, sent) in table {
        for uri in *registered {
            assert!(RedirectUri::parse(uri).is_ok(), "{client} registers {uri}");
        }
        for uri in *sent {
            let asked =
                RedirectUri::parse(uri).unwrap_or_else(|error| panic!("{client} sends {uri}: {error}"));
            assert!(registered.iter().any(|known| asked.matches(known)), "{client} sends {uri}");
        }
    }
}

#[test]
fn what_no_browser_may_be_sent_to_is_not_registered() {
    for bad in [
        "",
        "/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///tmp/x",
        "blob:https://gw.example.com/1",
        "about:blank",
        "vbscript:x",
        "http://attacker.example.net/cb",
        "http://0.0.0.0/cb",
        "http://0x7f.1/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://localhost@evil.example/cb",
        "http://127.0.0.1:99999/cb",
        "https://claude.ai@attacker.example.net/cb",
        "https://@attacker.example.net/cb",
        "https://app.example.net/cb#",
        "https://app.example.net/*",
        "https://*.example.net/cb",
        "https:/app.example.net/cb",
        "https://app.example.net\\@evil.example/cb",
        "https://app.example.net/a b",
        "cursor://anysphere.cursor-mcp/oauth/other",
        "myapp://callback",
        "claude.://callback",
        ".claude:/callback",
        "com..example:/callback",
        "com.example+evil:/callback",
        "https://app.example.net;script-src.evil.example/cb",
        "https://app.example.net'self'/cb",
        "https://app,evil.example/cb",
        "https://my_app.example.net/cb",
        "https://[2001:db8::1]/cb",
    ] {
        assert!(RedirectUri::parse(bad).is_err(), "{bad}");
    }
    assert!(RedirectUri::parse(&format!("https://app.example.net/{}", "a".repeat(3000))).is_err());
}

#[test]
fn only_the_port_of_loopback_may_differ() {
    let registered = ["https://app.example.net/cb", "http://127.0.0.1/cb"];
    for other in [
        "https://app.example.net/cb?x=1",
        "https://APP.example.net/cb",
        "https://app.example.net/CB",
        "https://app.example.net:8443/cb",
        "https://app.example.net/cb/",
        "http://localhost/cb",
        "http://127.0.0.1:1/cb/more",
        "http://127.0.0.1:1/cb?x=1",
        "http://[::1]:1/cb",
    ] {
        let asked = RedirectUri::parse(other).expect("a URI that could be registered");
        assert!(!registered.iter().any(|known| asked.matches(known)), "{other}");
    }
}

#[test]
fn answers_are_added_to_the_query() {
    let uri = RedirectUri::parse("https://app.example.net/cb?x=1").expect("a redirect URI");
    assert_eq!(uri.with(&[("code", "a b")]), "https://app.example.net/cb?x=1&code=a+b");
    assert_eq!(uri.policy_source(), "https://app.example.net");
    let six = RedirectUri::parse("http://[::1]:41999/cb").expect("a redirect URI");
    assert_eq!(six.policy_source(), "http://*:41999", "browsers pass over a source that is an IPv6 address");
    let custom = RedirectUri::parse("cursor://anysphere.cursor-mcp/oauth/callback").expect("a redirect URI");
    assert_eq!(
        (custom.policy_source().as_str(), custom.shown_destination().as_str()),
        ("cursor:", "an app on this computer (scheme cursor:)")
    );
    let lookalike = RedirectUri::parse("claude.ai:/callback").expect("a redirect URI");
    assert_eq!(
        lookalike.shown_destination(),
        "an app on this computer (scheme claude.ai:)",
        "a scheme is no host"
    );
    let host = RedirectUri::parse("https://claude.ai/callback").expect("a redirect URI");
    assert_eq!((host.shown_destination().as_str(), host.is_application()), ("claude.ai", false));
    assert_eq!(custom.with(&[("code", "x")]), "cursor://anysphere.cursor-mcp/oauth/callback?code=x");
}
