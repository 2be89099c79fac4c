//! Every page of a large organization's console: how many bytes it is, and how long the server takes for it.

mod filled;

use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use switchboard_broker::Settings;
use switchboard_domain::Scope;
use switchboard_testkit::{
    app::{App, AppOptions, Browser},
    database::TestDatabase,
    on_both,
};

use crate::connect::api;
use filled::{Filled, Size, email, fill, slug};

/// Of a page itself: it is never compressed, its files are.
const MAX_BYTES: usize = 100_000;

const FEW: Size = Size { connections: 500, tools: 4, members: 600, entries: 2_000 };
const MANY: Size = Size { connections: 500, tools: 20, members: 10_000, entries: 1_000_000 };

/// The pages, with each of their filters that finds much, little and nothing.
fn pages(filled: &Filled) -> Vec<String> {
    let (first, last) = (filled.connections[0], filled.connections[filled.connections.len() - 1]);
    let (member, team) = (filled.members[3], filled.teams[0]);
    let rare = email(filled.members.len() - 1);
    let busy = email(1);
    let (toolkit, call) = (filled.toolkit, &filled.call);
    let idle = slug(filled.connections.len() - 1);
    let mut pages = vec![
        "/".into(),
        "/overview".into(),
        "/connections".into(),
        "/connections?q=number-4".into(),
        "/connections?state=unreachable".into(),
        "/connections/new".into(),
        "/connections/import".into(),
        "/members".into(),
        "/members?q=9".into(),
        "/members?q=nobody-at-all".into(),
        "/members/invitations".into(),
        "/members/teams".into(),
        format!("/members/{member}"),
        format!("/members/teams/{team}"),
        "/tools".into(),
        "/tools?q=look+for+records".into(),
        "/tools/tool?name=server-000.tool_00".into(),
        "/toolkits".into(),
        "/toolkits/new".into(),
        format!("/toolkits/{toolkit}"),
        format!("/toolkits/{toolkit}/tools"),
        format!("/toolkits/{toolkit}/people"),
        "/policies".into(),
        "/policies/rule".into(),
        "/policies/mine".into(),
        "/policies/explain".into(),
        "/clients".into(),
        "/approvals".into(),
        "/settings".into(),
        "/settings/webhooks".into(),
        "/system".into(),
        "/account/access".into(),
        "/connect-client".into(),
        "/usage".into(),
        "/usage?days=30".into(),
        "/usage?days=90".into(),
        "/audit".into(),
        "/audit?period=day".into(),
        "/audit?period=all".into(),
        format!("/audit?period=all&call_id={call}"),
        "/audit?call_id=call_00000000000000000000000000".into(),
    ];
    for tab in ["", "/tools", "/access", "/activity", "/settings", "/review"] {
        pages.extend([first, last].map(|id| format!("/connections/{id}{tab}")));
    }
    for period in ["week", "all"] {
        let filters = [
            format!("actor={busy}"),
            format!("actor={rare}"),
            "target=server-000.tool_00".into(),
            format!("target={idle}.tool_00"),
            "target=quotas".into(),
            "action=member.update".into(),
            "action=grants.put".into(),
            "outcome=refused".into(),
            "outcome=failed".into(),
            format!("actor={busy}&outcome=failed"),
            format!("actor={busy}&target={idle}.tool_00"),
        ];
        pages.extend(filters.map(|filter| format!("/audit?period={period}&{filter}")));
    }
    pages
}

async fn started(database: &TestDatabase) -> App {
    let settings = Settings { refresh_every: Duration::from_secs(86_400 * 30), ..Settings::default() };
    App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await
}

/// What a page takes over the wire.
async fn bytes(browser: &Browser, page: &str) -> usize {
    let reply = browser.get(page).await;
    assert_eq!(reply.status.as_u16(), 200, "{page}: {}", reply.text());
    reply.body.len()
}

/// Page after page of what fits few entries: how many pages, and how many entries of which outcome they have.
async fn walked(browser: &Browser, mut page: String) -> (usize, usize) {
    let (mut pages, mut rows) = (0, 0);
    loop {
        let text = browser.get(&page).await.text();
        pages += 1;
        rows += text.matches("<th scope=\"row\">").count();
        let Some((before, _)) = text.split_once("\" rel=\"next\">") else { return (pages, rows) };
        page = before.rsplit_once("href=\"").expect("a link").1.replace("&#38;", "&").replace("&amp;", "&");
    }
}

#[expect(clippy::print_stdout, reason = "figures are what it is for")]
async fn measure(database: &TestDatabase) {
    let app = started(database).await;
    let began = Instant::now();
    let filled = fill(&app, MANY).await;
    app.give_password(app.owner).await;
    println!("filled in {} s", began.elapsed().as_secs());
    let browser = app.signed_in("owner@example.test").await;
    println!("{:>9} {:>9} {:>9} {:>8}  page", "first ms", "p50 ms", "max ms", "bytes");
    for page in pages(&filled) {
        let mut took = Vec::new();
        let mut size = 0;
        for _ in 0..7 {
            let began = Instant::now();
            size = bytes(&browser, &page).await;
            took.push(began.elapsed());
        }
        let first = took.remove(0);
        took.sort();
        let ms = |it: Duration| it.as_secs_f64() * 1_000.0;
        println!("{:>9.1} {:>9.1} {:>9.1} {size:>8}  {page}", ms(first), ms(took[3]), ms(took[5]));
    }
    // In pieces nothing is lost.
    let id = filled.members[filled.members.len() - 1];
    let token = app.token(app.owner, &[Scope::Api]).await;
    let all = api(&app, &token, Method::GET, &format!("/audit?limit=200&actor={id}"), None).await.json();
    let ended = |entry: &&Value| entry["phase"] != "started";
    let expected = all["items"].as_array().expect("items").iter().filter(ended).count();
    let (pages, rows) = walked(&browser, format!("/audit?period=all&actor={id}")).await;
    assert!(pages > 1 && all["next_cursor"].is_null(), "{pages} pages, {all}");
    assert_eq!(rows, expected, "entries of {pages} pages");
    app.stop().await;
}

on_both! {
    async fn every_page_of_a_large_organization_is_small(database) {
        let app = started(&database).await;
        let filled = fill(&app, FEW).await;
        app.give_password(app.owner).await;
        let browser = app.signed_in("owner@example.test").await;
        let mut large = Vec::new();
        for page in pages(&filled) {
            let size = bytes(&browser, &page).await;
            if size >= MAX_BYTES {
                large.push((page, size));
            }
        }
        assert_eq!(large, [], "pages and their bytes");
        app.stop().await;
    }

    #[ignore = "it fills a database for minutes and prints figures, see bench/README.md"]
    async fn pages_of_a_million_entries(database) {
        measure(&database).await;
    }
}
