use super::*;

fn flags(file: Option<PathBuf>, values: &[(&'static str, &str)]) -> SettingFlags {
    SettingFlags { file, values: values.iter().map(|&(key, value)| (key, value.to_owned())).collect() }
}

fn settings(flags: &SettingFlags, environment: &Environment) -> Settings {
    Settings::load(flags, environment).unwrap_or_else(|error| panic!("{error}"))
}

fn message(flags: &SettingFlags, environment: &Environment) -> String {
    match Settings::load(flags, environment) {
        Ok(_) => panic!("this configuration should be refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("s.toml");
    std::fs::write(&path, "[server]\nlisten = \"127.0.0.1:1\"\ndrain = 1\nmax_request_bytes = \"1KiB\"\n")
        .unwrap();
    let environment = Environment::from([("SWITCHBOARD_LISTEN", "127.0.0.1:2"), ("SWITCHBOARD_DRAIN", "2s")]);
    let settings = settings(&flags(Some(path), &[("server.listen", "127.0.0.1:3")]), &environment);
    assert_eq!(settings.address("server.listen").unwrap().port(), 3);
    assert_eq!(settings.origin("server.listen").to_string(), "--listen");
    assert_eq!(settings.duration("server.drain").as_secs(), 2);
    assert_eq!(settings.origin("server.drain").to_string(), "SWITCHBOARD_DRAIN");
    assert_eq!(settings.size("server.max_request_bytes"), 1024);
    assert!(settings.origin("server.max_request_bytes").to_string().ends_with("s.toml:4"));
    assert_eq!(settings.origin("log.format"), Origin::Default);
}

#[test]
fn every_secret_can_come_from_a_file_and_not_from_two_places() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("url");
    std::fs::write(&path, "postgres://u:p@h/d\n").unwrap();
    let path = path.to_str().unwrap();
    let environment = Environment::from([("SWITCHBOARD_DATABASE_URL_FILE", path)]);
    let found = settings(&SettingFlags::default(), &environment);
    assert_eq!(found.text("database.url"), Some("postgres://u:p@h/d"), "the line end is not part of it");
    let environment = Environment::from([
        ("SWITCHBOARD_DATABASE_URL_FILE", path),
        ("SWITCHBOARD_DATABASE_URL", "postgres://x/y"),
    ]);
    assert!(message(&SettingFlags::default(), &environment).contains("remove one of them"));
    let environment = Environment::from([("SWITCHBOARD_DATABASE_URL_FILE", "/nowhere")]);
    let text = message(&SettingFlags::default(), &environment);
    assert!(text.contains("SWITCHBOARD_DATABASE_URL_FILE names /nowhere"), "{text}");
}

#[test]
fn systemd_credentials_fill_what_is_open() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("master_key"), "kek\n").unwrap();
    let environment = Environment::from([("CREDENTIALS_DIRECTORY", scratch.path().to_str().unwrap())]);
    let found = settings(&SettingFlags::default(), &environment);
    assert_eq!(found.text("keys.master_key"), Some("kek"));
    assert!(found.origin("keys.master_key").to_string().starts_with("credential "));
}

#[test]
fn a_misspelt_variable_is_noticed_and_a_platforms_own_is_not() {
    let environment = Environment::from([
        ("SWITCHBOARD_LISTN", "x"),
        ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
        ("SWITCHBOARD_PORT_8080_TCP", "x"),
        ("SWITCHBOARD_TOKEN_FILE", "x"),
    ]);
    assert_eq!(environment.suspicious(), [("SWITCHBOARD_LISTN".to_owned(), "SWITCHBOARD_LISTEN".to_owned())]);
}

#[test]
fn an_asked_for_file_must_exist() {
    let text = message(&flags(Some("/nowhere/s.toml".into()), &[]), &Environment::default());
    assert!(text.contains("/nowhere/s.toml can't be read") && text.contains("--config"), "{text}");
}

#[test]
fn an_operators_client_can_have_its_key_in_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("s.toml");
    let entry = "[[oauth_clients]]\nname = \"vendor\"\nissuer = \"https://as.example.com\"\nhosts = [\"mcp.example.com\"]\nclient_id = \"us\"\n";
    std::fs::write(&path, format!("{entry}private_key_file = \"key.pem\"\n")).unwrap();
    let text = message(&flags(Some(path.clone()), &[]), &Environment::from([]));
    assert!(text.contains("oauth_clients.private_key_file (line") && text.contains("key.pem"), "{text}");
    std::fs::write(scratch.path().join("key.pem"), "-----BEGIN PRIVATE KEY-----\ncanary\n").unwrap();
    let found = settings(&flags(Some(path), &[]), &Environment::from([]));
    let client = found.oauth_clients[0].client().unwrap();
    assert_eq!(client.authentication, Some(switchboard_broker::connect::Authentication::PrivateKeyJwt));
    let key = client.client_secret.unwrap();
    assert_eq!(key.expose(), "-----BEGIN PRIVATE KEY-----\ncanary", "beside the file that names it");
    assert!(!format!("{key:?}").contains("canary"));
}
