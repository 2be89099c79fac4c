//! What to do in each AI client. The snippets are data that the guide shows too (`docs/guide/clients.toml`, where a test
//! parses each); menus move, so the steps say as little as is enough.

use std::{collections::HashMap, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use url::form_urlencoded;

const DATA: &str = include_str!("../../../../../docs/guide/clients.toml");
/// What clients call us.
const NAME: &str = "switchboard";

#[derive(Debug, Clone, Deserialize)]
struct Snippet {
    id: String,
    kind: String,
    file: Option<String>,
    note: Option<String>,
    text: String,
}

#[derive(Deserialize)]
struct File {
    client: Vec<Snippet>,
}

static SNIPPETS: LazyLock<HashMap<String, Snippet>> = LazyLock::new(|| {
    let file: File = toml::from_str(DATA).unwrap_or(File { client: Vec::new() });
    file.client.into_iter().map(|snippet| (snippet.id.clone(), snippet)).collect()
});

/// In the order in which they are shown.
pub(super) const TABS: &[(&str, &str)] = &[
    ("claude-code", "Claude Code"),
    ("claude", "Claude"),
    ("chatgpt", "ChatGPT"),
    ("cursor", "Cursor"),
    ("vscode", "VS Code"),
    ("codex", "Codex"),
    ("gemini", "Gemini CLI"),
    ("zed", "Zed"),
    ("opencode", "OpenCode"),
    ("devin", "Devin Desktop"),
    ("other", "Another"),
];

/// A text to take over, and where it belongs.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) is_command: bool,
    pub(super) file: Option<String>,
    pub(super) note: Option<String>,
}

/// One client's tab.
pub(super) struct Guide {
    /// Opens the client with everything filled in.
    pub(super) link: Option<(&'static str, String)>,
    pub(super) steps: &'static [&'static str],
    pub(super) signing_in: Option<Text>,
    pub(super) with_token: Option<Text>,
    /// It runs in its maker's cloud, which has to reach the address.
    pub(super) in_cloud: bool,
}

pub(super) fn guide(client: &str, url: &str) -> Guide {
    let text = |id: &str| snippet(id, url);
    let plain = Guide { link: None, steps: &[], signing_in: None, with_token: None, in_cloud: false };
    match client {
        "claude" => Guide {
            steps: &[
                "Open Claude's settings, then Connectors.",
                "Add a custom connector, and give it the address above.",
                "In a team, an owner adds it in the organization's settings first; then you connect it.",
            ],
            signing_in: text("claude-desktop-url"),
            with_token: text("claude-desktop"),
            in_cloud: true,
            ..plain
        },
        "chatgpt" => Guide {
            steps: &[
                "Open ChatGPT's settings, then Apps, and turn developer mode on under its advanced settings.",
                "Create an app with the address above, and choose OAuth.",
            ],
            in_cloud: true,
            ..plain
        },
        "cursor" => Guide {
            link: Some(("Open Cursor and add it", cursor(url))),
            signing_in: text("cursor-url"),
            with_token: text("cursor"),
            ..plain
        },
        "vscode" => Guide {
            link: Some(("Open VS Code and add it", vscode(url))),
            signing_in: text("vscode-url"),
            with_token: text("vscode"),
            ..plain
        },
        "codex" => Guide { signing_in: text("codex-url"), with_token: text("codex"), ..plain },
        "gemini" => Guide { signing_in: text("gemini-url"), with_token: text("gemini-cli"), ..plain },
        "zed" => Guide { signing_in: text("zed-url"), with_token: text("zed"), ..plain },
        "opencode" => Guide { signing_in: text("opencode-url"), with_token: text("opencode"), ..plain },
        "devin" => Guide { with_token: text("devin-desktop"), ..plain },
        "other" => Guide {
            steps: &[
                "Give it the address above, as a server of the kind “Streamable HTTP”.",
                "If it can sign in, it opens a browser by itself. If it can't, give it a token in the header Authorization.",
            ],
            with_token: text("inspector"),
            ..plain
        },
        _ => Guide { signing_in: text("claude-code-url"), with_token: text("claude-code"), ..plain },
    }
}

fn snippet(id: &str, url: &str) -> Option<Text> {
    let snippet = SNIPPETS.get(id)?;
    let text = snippet.text.trim().replace("{name}", NAME).replace("{url}", url);
    Some(Text {
        text: text.replace("{token}", "swb_pat_…"),
        is_command: snippet.kind == "command",
        file: snippet.file.clone(),
        note: snippet.note.as_deref().map(|note| note.replace('`', "")),
    })
}

fn encoded(text: &str) -> String {
    let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    text.replace('+', "%20")
}

/// Cursor's install link: the configuration in base64.
fn cursor(url: &str) -> String {
    let config = STANDARD.encode(serde_json::json!({ "url": url }).to_string());
    format!("cursor://anysphere.cursor-deeplink/mcp/install?name={NAME}&config={}", encoded(&config))
}

/// VS Code's install link: the configuration as the whole query.
fn vscode(url: &str) -> String {
    let config = serde_json::json!({ "name": NAME, "type": "http", "url": url });
    format!("vscode:mcp/install?{}", encoded(&config.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tab_says_what_to_do() {
        let url = "https://gw.example.com/mcp";
        for (id, name) in TABS {
            let guide = guide(id, url);
            let texts = guide.signing_in.iter().chain(&guide.with_token);
            assert!(!guide.steps.is_empty() || texts.clone().count() > 0, "{name}");
            for text in texts {
                assert!(
                    text.text.contains(url) && !text.text.contains('{') || !text.text.contains("{url}"),
                    "{name}: {}",
                    text.text
                );
            }
        }
    }

    #[test]
    fn links_are_as_the_clients_document_them() {
        assert_eq!(
            cursor("https://gw.example.com/mcp"),
            "cursor://anysphere.cursor-deeplink/mcp/install?name=switchboard&config=eyJ1cmwiOiJodHRwczovL2d3LmV4YW1wbGUuY29tL21jcCJ9"
        );
        assert_eq!(
            vscode("https://gw.example.com/mcp"),
            "vscode:mcp/install?%7B%22name%22%3A%22switchboard%22%2C%22type%22%3A%22http%22%2C%22url%22%3A%22https%3A%2F%2Fgw.example.com%2Fmcp%22%7D"
        );
    }
}
