use super::*;
use crate::config::{Environment, SettingFlags};

fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
    let values = pairs.iter().map(|&(key, value)| (key, value.to_owned())).collect();
    let settings = Settings::load(&SettingFlags { file: None, values }, &Environment::default())?;
    Config::new(&settings)
}

#[test]
fn the_defaults_are_safe_and_complete() {
    let config = config(&[]).unwrap();
    assert!(config.listen.ip().is_loopback());
    assert!(!config.egress.allow_private_networks && config.database.migrate && config.stdio.is_empty());
    assert_eq!(config.drain, Duration::from_secs(30));
    assert_eq!(config.public_url_for(config.listen).as_str(), "http://127.0.0.1:8080/");
    config.check_for_serving().unwrap();
}

#[test]
fn the_network_is_only_served_with_https_or_on_the_operators_word() {
    let open = [("server.listen", "0.0.0.0:8080")];
    let message = config(&open).unwrap().check_for_serving().unwrap_err().to_string();
    assert!(message.contains("--public-url https://") && message.contains("--insecure-http"), "{message}");
    let plain = [open[0], ("server.public_url", "http://switchboard.lan")];
    assert!(config(&plain).unwrap().check_for_serving().is_err());
    let https = [open[0], ("server.public_url", "https://switchboard.example")];
    config(&https).unwrap().check_for_serving().unwrap();
    let accepted = [open[0], ("server.insecure_http", "true")];
    let accepted = config(&accepted).unwrap();
    accepted.check_for_serving().unwrap();
    assert_eq!(accepted.public_url_for(accepted.listen).as_str(), "http://127.0.0.1:8080/");
}

#[test]
fn a_public_url_is_an_origin() {
    for wrong in [
        "https://example.com/switchboard",
        "ftp://example.com",
        "https://u:p@example.com",
        "https://e.com/?a",
    ] {
        let message = config(&[("server.public_url", wrong)]).unwrap_err().to_string();
        assert!(message.starts_with("--public-url: the value of `server.public_url`"), "{wrong}: {message}");
    }
}

#[test]
fn trusted_proxies_are_addresses_and_ranges() {
    let trusting = |list: &str| {
        let environment = Environment::from([("SWITCHBOARD_TRUSTED_PROXIES", list)]);
        Config::new(&Settings::load(&SettingFlags::default(), &environment)?)
    };
    let trusted = trusting("127.0.0.1, 10.1.0.0/16,fd00::/8").unwrap().trusted_proxies;
    assert_ne!(trusted, TrustedProxies::default(), "the list is read");
    let message = trusting("10.1.0.0/16,caddy").err().unwrap().to_string();
    assert!(message.contains("`server.trusted_proxies` has `caddy`"), "{message}");
}
