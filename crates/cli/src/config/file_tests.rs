use std::path::Path;

use super::*;

fn faults(text: &str) -> Vec<String> {
    read(Path::new("switchboard.toml"), text).1.iter().map(ToString::to_string).collect()
}

#[test]
fn values_keep_the_line_they_stand_on() {
    let (document, faults) = read(
        Path::new("s.toml"),
        "data_dir = \"/srv\"\n\n[server]\n# where\nlisten = \"127.0.0.1:9\"\n[egress]\nallowed_hosts = [\"a.example\"]\n",
    );
    assert!(faults.is_empty(), "{faults:?}");
    let (raw, origin) = &document.values["server.listen"];
    assert!(*raw == Raw::Text("127.0.0.1:9".into()));
    assert_eq!(origin.to_string(), "s.toml:5");
    assert!(document.values["egress.allowed_hosts"].0 == Raw::List(vec!["a.example".into()]));
}

#[test]
fn a_misspelt_key_gets_a_suggestion_with_file_and_line() {
    let found = faults("[server]\nlistn = \"127.0.0.1:9\"\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("switchboard.toml:2: `server.listn` is not a setting"), "{found:?}");
    assert!(found[0].contains("did you mean `server.listen`?"), "{found:?}");
    let found = faults("[sever]\nlisten = \"127.0.0.1:9\"\n");
    assert!(found[0].contains("switchboard.toml:1: `sever`"), "{found:?}");
}

#[test]
fn all_faults_are_reported_at_once() {
    let found = faults(
        "[server]\nlisten = \"here\"\ndrain = true\n[log]\nformat = \"xml\"\n[[stdio]]\nslug = \"Bad Slug\"\n",
    );
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(found[0].contains("switchboard.toml:2") && found[0].contains("127.0.0.1:8080"));
    assert!(found[2].contains("auto, pretty, json"));
}

#[test]
fn broken_toml_names_the_line() {
    let found = faults("[server]\nlisten = \n");
    assert!(found[0].starts_with("switchboard.toml:2: this is not TOML"), "{found:?}");
}

#[test]
fn a_secret_may_name_its_file() {
    let (document, faults) = read(Path::new("s.toml"), "[database]\nurl_file = \"/run/secrets/url\"\n");
    assert!(faults.is_empty());
    assert_eq!(document.secret_files["database.url"].0, Path::new("/run/secrets/url"));
    assert_eq!(
        read(Path::new("s.toml"), "[server]\nlisten_file = \"x\"\n").1.len(),
        1,
        "only secrets have one"
    );
}

#[test]
fn stdio_entries_are_read_and_checked() {
    let (document, faults) = read(
        Path::new("s.toml"),
        "[[stdio]]\nslug = \"files\"\ncommand = \"npx\"\nargs = [\"-y\", \"server\"]\nenv = { TOKEN = \"t\" }\n",
    );
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(document.stdio[0].slug, "files");
    assert_eq!(document.stdio[0].args, ["-y", "server"]);
    assert_eq!(document.stdio[0].env["TOKEN"], "t");
    let found = super::read(Path::new("s.toml"), "[[stdio]]\nslug = \"a\"\ncomand = \"b\"\n").1;
    assert!(
        found.iter().any(|fault| fault.to_string().contains("did you mean `stdio.command`?")),
        "{found:?}"
    );
}

#[test]
fn clients_of_the_operator_are_read_and_checked() {
    let (document, faults) = super::read(
        Path::new("s.toml"),
        "[[oauth_clients]]\nname = \"vendor\"\nissuer = \"https://as.example.com\"\nhosts = [\"*.example.com\"]\nclient_id = \"us\"\nclient_secret = \"s\"\n",
    );
    assert!(faults.is_empty());
    let entry = &document.oauth_clients[0];
    assert_eq!((entry.name.as_str(), entry.client_id.as_str(), entry.line), ("vendor", "us", 1));
    assert_eq!(entry.client_secret.as_ref().unwrap().expose(), "s");
    for (wrong, said) in [
        ("[[oauth_clients]]\nname = \"a\"\nissuer = \"https://as.example.com\"\n", "oauth_clients.client_id"),
        ("[[oauth_clients]]\nname = \"a\"\nclient_id = \"b\"\n", "oauth_clients.hosts"),
        ("[[oauth_clients]]\nhosts = \"mcp.example.com\"\n", "is a list of hosts"),
        ("[[oauth_clients]]\nhosts = [\"10.0.0.0/8\"]\n", "is a network"),
        ("[[oauth_clients]]\nhosts = [\"https://mcp.example.com\"]\n", "is not a host pattern"),
        ("[[oauth_clients]]\nclient = \"a\"\n", "did you mean `oauth_clients.client_id`?"),
        ("[[oauth_clients]]\nissuer = \"nowhere\"\n", "is no URL"),
        ("[[oauth_clients]]\ntoken_endpoint_auth_method = \"tls\"\n", "client_secret_post"),
        ("oauth_clients = 1\n", "write [[oauth_clients]]"),
    ] {
        let faults = super::read(Path::new("s.toml"), wrong).1;
        assert!(faults.iter().any(|fault| fault.to_string().contains(said)), "{wrong}: {faults:?}");
    }
}
