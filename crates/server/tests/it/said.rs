//! What clients say of themselves is kept only as far as a client has to say it.

use serde_json::{Value, json};
use switchboard_testkit::{app::App, on_both};

use crate::support::owner;

on_both! {
    async fn capabilities_that_are_a_book_are_not_kept(database) {
        let app = App::start(database.db.clone()).await;
        let client = owner(&app).await;
        let initialize = async |elicitation: Value| {
            let capabilities = json!({ "elicitation": elicitation });
            let info = json!({ "name": "test", "version": "1" });
            let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info });
            client.legacy("initialize", params).await
        };
        let opened = initialize(json!({ "url": {} })).await;
        let id = opened.header("mcp-session-id").unwrap();
        let kept = app.broker.mcp_session(app.organization, id).await.unwrap().unwrap();
        assert_eq!(kept.questions.unwrap().get(), r#"{"elicitation":{"url":{}}}"#);
        let book = initialize(json!({ "url": {}, "x": "x".repeat(1_000_000) })).await;
        assert_eq!(book.status.as_u16(), 200);
        let id = book.header("mcp-session-id").unwrap();
        let kept = app.broker.mcp_session(app.organization, id).await.unwrap().unwrap();
        assert!(kept.questions.is_none(), "and it is asked nothing");
        app.stop().await;
    }
}
