//! A page that says something: that nothing is there, that nothing was changed, what went wrong.
//!
//! Most of what refuses does not know who is at the browser. So the words stay with the answer, and on its way out the page
//! is made again with the menu for whoever is signed in: they are somewhere, and can go on. What is not there and what is not
//! for somebody look alike before and after.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, header},
    middleware::Next,
};

use super::{navigation::Navigation, page};
use crate::{ServerState, browser};

/// What it says; goes with the answer.
#[derive(Debug, Clone)]
struct Message {
    title: String,
    text: String,
    command: Option<String>,
    /// Where the person goes on, and how that is called.
    next: Option<(String, &'static str)>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Shown<'m> {
    navigation: Option<Navigation>,
    title: &'m str,
    text: &'m str,
    command: Option<&'m str>,
    next: Option<(&'m str, &'m str)>,
}

pub(crate) fn message(status: StatusCode, title: &str, text: &str, command: Option<&str>) -> Response<Body> {
    let (title, text) = (title.to_owned(), text.to_owned());
    said(status, Message { title, text, command: command.map(str::to_owned), next: None })
}

/// With where the person goes on, and how that is called.
pub(super) fn leads_on(
    status: StatusCode,
    title: &str,
    text: &str,
    (address, label): (&str, &'static str),
) -> Response<Body> {
    let next = Some((address.to_owned(), label));
    said(status, Message { title: title.to_owned(), text: text.to_owned(), command: None, next })
}

fn said(status: StatusCode, message: Message) -> Response<Body> {
    let mut response = page(status, &message.shown(None));
    response.extensions_mut().insert(message);
    response
}

impl Message {
    fn shown(&self, navigation: Option<Navigation>) -> Shown<'_> {
        // With a menu there is a place to go on to, whatever was said.
        let onward = navigation.is_some().then_some(("/", "To the start page"));
        Shown {
            navigation,
            title: &self.title,
            text: &self.text,
            command: self.command.as_deref(),
            next: self.next.as_ref().map(|(address, label)| (address.as_str(), *label)).or(onward),
        }
    }
}

/// Gives such a page the menu, for whoever is signed in.
pub(crate) async fn with_menu(
    State(state): State<ServerState>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let mut cookies = HeaderMap::new();
    for cookie in request.headers().get_all(header::COOKIE) {
        cookies.append(header::COOKIE, cookie.clone());
    }
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let Some(message) = response.extensions_mut().remove::<Message>() else { return response };
    // The page as it is serves when it can't be known who looks at it.
    let Ok(Some(signed_in)) = browser::signed_in(&state, &cookies).await else { return response };
    let form_token = browser::form_token(&state, &cookies);
    let navigation = Navigation::new(&state, &signed_in, &form_token, &path).await;
    if let Ok(html) = message.shown(Some(navigation)).render() {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(html);
    }
    response
}
