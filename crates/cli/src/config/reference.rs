//! The configuration reference, generated: `docs/reference/configuration.md`.

use std::fmt::Write as _;

use super::{
    setting::{Kind, Setting},
    table::SETTINGS,
};

const HEAD: &str = "\
# Configuration

Generated from the code (`UPDATE=1 cargo test -p switchboard --test it reference`); don't edit it by hand.

Each setting can be given as a flag (some), in the environment, or in `switchboard.toml`; what is named first wins:
flags > environment > file > default. The file is the one given with `--config` or `SWITCHBOARD_CONFIG`, else
`./switchboard.toml` if there is one, else `switchboard.toml` in the data directory. A key that is not a setting is an
error. `switchboard config show` prints every effective value with where it came from, `switchboard config check` only
what is wrong. An example is in [docs/examples/switchboard.toml](../examples/switchboard.toml).

- Durations are numbers of seconds or texts such as `\"500ms\"`, `\"30s\"`, `\"15m\"`, `\"2h\"`; sizes are numbers of bytes or
  texts such as `\"64KiB\"`, `\"16MiB\"`. Lists are separated by commas in the environment.
- A secret (marked so below) can also be in a file of its own: name the file with `…_FILE` in the environment or `…_file`
  in `switchboard.toml`, or put it into systemd's credentials directory (`LoadCredential=`) under the environment
  name in lower case without `SWITCHBOARD_`, for example `master_key`.
";

const TAIL: &str = "
## `[[stdio]]`

Upstreams that are child processes, started only with `--allow-stdio`. They exist in this file alone: no request can
start a process.

| key | meaning |
|---|---|
| `slug` | Slug of the connection; required. |
| `command` | Program to start; required. |
| `args` | List of its arguments. |
| `env` | Table of environment variables. The child sees these and `PATH`, `HOME`, `LANG`; nothing else. |

## `[[oauth_clients]]`

OAuth clients that the operator made at providers, for every connection of the whole deployment to one of those hosts whose
authorization server is that issuer, so that no admin has to paste them. Each has one callback of its own, to be given to the provider:
`{public_url}/oauth/callback/client/{name}`. A client that an admin gives a connection is used instead of it.

| key | meaning |
|---|---|
| `name` | Its name, in lower case; in its callback; required. |
| `issuer` | The provider's issuer, exactly as in its metadata; required. |
| `hosts` | Hosts of the MCP servers that it is for, such as `[\"mcp.example.com\", \"*.example.com\"]`; required. A server itself says which issuer it trusts, so the issuer alone would let any server ask for tokens of this client. |
| `client_id` | Required. |
| `client_secret`, `client_secret_file` | Its secret, or the file that holds it; none for a public client. |
| `private_key_file` | Instead of a secret: the file with the private key (PEM or JSON Web Key) that it proves itself with (`private_key_jwt`). |
| `token_endpoint_auth_method` | `client_secret_basic` (with a secret), `client_secret_post`, `private_key_jwt` (with a key) or `none`. |
| `assertion_audience` | For whom what the key signs is: `issuer`, or `token_endpoint` for older providers. |

## Client commands

| variable | meaning |
|---|---|
| `SWITCHBOARD_SERVER` | Server that client commands talk to; `http://127.0.0.1:8080` without it. |
| `SWITCHBOARD_TOKEN`, `SWITCHBOARD_TOKEN_FILE` | Access token for it. |
| `NO_COLOR` | No colours, whatever the terminal. |
";

pub(crate) fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut section = None;
    for setting in SETTINGS.iter() {
        let of = setting.key.rsplit_once('.').map_or("", |(section, _)| section);
        if section != Some(of) {
            section = Some(of);
            let title = if of.is_empty() { "Top level".to_owned() } else { format!("`[{of}]`") };
            let _ = write!(
                text,
                "\n## {title}\n\n| key | default | environment | flag | meaning |\n|---|---|---|---|---|\n"
            );
        }
        text.push_str(&row(setting));
    }
    text + TAIL
}

fn row(setting: &Setting) -> String {
    let name = setting.key.rsplit_once('.').map_or(setting.key, |(_, name)| name);
    let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
    let flag = setting.flag.map_or_else(String::new, |(name, _)| format!("`--{name}`"));
    let words = match setting.kind {
        Kind::Choice(words) => format!(" One of `{}`.", words.join("`, `")),
        Kind::Secret => " Secret.".into(),
        _ => String::new(),
    };
    format!(
        "| `{name}` | {default} | `{}` | {flag} | {}{words} |\n",
        setting.environment_name(),
        setting.help
    )
}
