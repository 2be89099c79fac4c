//! What stands for a connection where there is room for a picture: the mark of a known server, else the first letter of
//! the connection's name.
//!
//! The pictures come with the program, so that no page asks anybody else for one. The paths in `assets/logos.tsv` are those of
//! Simple Icons, which are in the public domain (CC0 1.0); who has no path there is a letter on a ground of a colour. All
//! are trademarks of their owners and say nothing but which server it is.

use std::{collections::HashMap, sync::LazyLock};

use askama::Template;
use axum::{
    body::Body,
    extract::Path,
    http::{HeaderValue, Response, header},
};
use switchboard_catalog::{host_of, known_servers};

use crate::problem;

struct Logo {
    /// Of the ground, as `RRGGBB`.
    colour: &'static str,
    /// Of the figure, in a square of 24; empty where it is the letter.
    path: &'static str,
    letter: char,
}

static LOGOS: LazyLock<HashMap<&'static str, Logo>> = LazyLock::new(|| {
    let names = known_servers()
        .iter()
        .filter_map(|server| Some((server["slug"].as_str()?, server["name"].as_str()?)));
    let names: HashMap<&str, &str> = names.collect();
    let lines = include_str!("../../assets/logos.tsv").lines();
    lines
        .filter_map(|line| {
            let mut parts = line.split('\t');
            let (slug, colour, path) = (parts.next()?, parts.next()?, parts.next()?);
            let letter = names.get(slug).and_then(|name| name.chars().next())?.to_ascii_uppercase();
            Some((slug, Logo { colour, path, letter }))
        })
        .collect()
});

/// Which known server answers at a host; the first of several.
static BY_HOST: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let mut hosts = HashMap::new();
    for server in known_servers() {
        if let (Some(host), Some(slug)) = (server["url"].as_str().and_then(host_of), server["slug"].as_str())
        {
            hosts.entry(host).or_insert(slug);
        }
    }
    hosts
});

/// Decoration: the name stands beside it.
#[derive(Template, Clone)]
#[template(
    source = r#"{% if let Some(logo) = logo %}<img class="monogram" src="/assets/logos/{{ logo }}.svg" alt="" width="36" height="36" loading="lazy">{% else %}<span class="monogram" aria-hidden="true">{{ initial }}</span>{% endif %}"#,
    ext = "html"
)]
pub(super) struct Mark {
    logo: Option<&'static str>,
    initial: String,
}

impl Mark {
    /// `place` is the address of the connection or its host, empty where it has none.
    pub(super) fn of(name: &str, place: &str) -> Self {
        let logo = BY_HOST.get(host_of(place).unwrap_or_default()).copied();
        Self { logo: logo.filter(|slug| LOGOS.contains_key(slug)), initial: initial(name) }
    }

    /// Of an entry in the list of known servers.
    pub(super) fn of_known(name: &str, slug: &str) -> Self {
        Self { logo: LOGOS.get_key_value(slug).map(|(slug, _)| *slug), initial: initial(name) }
    }
}

fn initial(name: &str) -> String {
    name.chars().next().unwrap_or('?').to_uppercase().collect()
}

#[derive(Template)]
#[template(
    source = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36"><rect x=".5" y=".5" width="35" height="35" rx="8" fill="#{{ colour }}" stroke="#808080" stroke-opacity=".45"/>{% if path.is_empty() %}<text x="18" y="24" text-anchor="middle" font-family="system-ui,sans-serif" font-size="17" font-weight="600" fill="{{ ink }}">{{ letter }}</text>{% else %}<path transform="translate(8 8) scale(.8333)" fill="{{ ink }}" d="{{ path }}"/>{% endif %}</svg>"##,
    ext = "svg",
    escape = "html"
)]
struct Picture {
    colour: &'static str,
    path: &'static str,
    letter: char,
    ink: &'static str,
}

/// Black or white, whichever stands out more.
fn ink(colour: &str) -> &'static str {
    let part = |at: usize| {
        let value = colour.get(at..at + 2).and_then(|part| u8::from_str_radix(part, 16).ok()).unwrap_or(0);
        f32::from(value) / 255.0
    };
    let light = 0.2126 * part(0).powf(2.2) + 0.7152 * part(2).powf(2.2) + 0.0722 * part(4).powf(2.2);
    if light > 0.35 { "#000" } else { "#fff" }
}

/// `/assets/logos/{slug}.svg`
pub(super) async fn logo(Path(name): Path<String>) -> Response<Body> {
    let Some(logo) = name.strip_suffix(".svg").and_then(|slug| LOGOS.get(slug)) else {
        return problem::not_found();
    };
    let Logo { colour, path, letter } = *logo;
    let Ok(svg) = (Picture { colour, path, letter, ink: ink(colour) }).render() else {
        return problem::not_found();
    };
    let mut response = Response::new(Body::from(svg));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_server_has_a_mark_and_no_path_is_more_than_a_path() {
        for server in known_servers() {
            let slug = server["slug"].as_str().unwrap();
            let logo = LOGOS.get(slug).unwrap_or_else(|| panic!("{slug} has none"));
            assert!(logo.colour.len() == 6 && logo.colour.bytes().all(|it| it.is_ascii_hexdigit()), "{slug}");
            let allowed = |it: char| it.is_ascii_digit() || "MmLlHhVvCcSsQqTtAaZz ,.-e".contains(it);
            assert!(logo.path.chars().all(allowed), "{slug}: {}", logo.path);
        }
        assert_eq!(Mark::of("Ours", "https://mcp.linear.app/mcp").logo, Some("linear"));
        assert_eq!(Mark::of("Ours", "https://mcp.linear.app.evil.example/mcp").logo, None);
        assert_eq!((ink("FFFFFF"), ink("000000")), ("#000", "#fff"));
    }
}
