//! Copies of the documents of clients that many people use. Some of those documents can't be fetched from a server in
//! a cloud, and a Switchboard in a private network can fetch none.

use crate::{ClientDocument, RedirectUri, fingerprint};

struct Known {
    client_id: &'static str,
    name: &'static str,
    redirect_uris: &'static [&'static str],
}

/// As published in September 2026.
const KNOWN: &[Known] = &[
    Known {
        client_id: "https://claude.ai/oauth/claude-code-client-metadata",
        name: "Claude Code",
        redirect_uris: &["http://localhost/callback", "http://127.0.0.1/callback"],
    },
    Known {
        client_id: "https://claude.ai/oauth/mcp-oauth-client-metadata",
        name: "Claude",
        redirect_uris: &[
            "https://claude.ai/api/mcp/auth_callback",
            "https://claude.com/api/mcp/auth_callback",
        ],
    },
    Known {
        client_id: "https://chatgpt.com/oauth/client.json",
        name: "ChatGPT",
        redirect_uris: &["https://chatgpt.com/connector_platform_oauth_redirect"],
    },
    Known {
        client_id: "https://vscode.dev/oauth/client-metadata.json",
        name: "Visual Studio Code",
        redirect_uris: &[
            "http://127.0.0.1:33418/",
            "https://vscode.dev/redirect",
            "https://insiders.vscode.dev/redirect",
            "http://127.0.0.1/",
        ],
    },
    Known {
        client_id: "https://zed.dev/oauth/client-metadata.json",
        name: "Zed",
        redirect_uris: &["http://127.0.0.1/callback"],
    },
    Known {
        client_id: "https://goose-docs.ai/oauth/client-metadata.json",
        name: "Goose",
        redirect_uris: &["http://127.0.0.1/oauth_callback"],
    },
    Known {
        client_id: "https://opencode.ai/oauth/opencode/client.json",
        name: "OpenCode",
        redirect_uris: &["http://127.0.0.1/callback", "http://localhost/callback"],
    },
];

/// The copy kept of this client's document.
pub fn well_known_client(client_id: &str) -> Option<ClientDocument> {
    let known = KNOWN.iter().find(|known| known.client_id == client_id)?;
    let redirect_uris: Vec<_> =
        known.redirect_uris.iter().filter_map(|uri| RedirectUri::parse(uri).ok()).collect();
    let fingerprint = fingerprint(known.name, &redirect_uris, &[]);
    Some(ClientDocument { name: known.name.to_owned(), redirect_uris, fingerprint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_is_a_client_that_could_sign_in() {
        for known in KNOWN {
            assert!(crate::is_client_document_url(known.client_id), "{}", known.client_id);
            let document = well_known_client(known.client_id).expect("a copy");
            assert_eq!(document.redirect_uris.len(), known.redirect_uris.len(), "{}", known.name);
        }
    }
}
