//! A browser without a screen: it keeps cookies, sends forms as our own pages would, and follows nothing by itself.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use switchboard_egress::Egress;

use super::client::{McpClient, McpReply};

#[derive(Debug)]
pub struct Browser {
    egress: Egress,
    origin: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub(super) fn new(egress: Egress, origin: String) -> Self {
        Self { egress, origin, cookies: Mutex::default() }
    }

    /// A page of ours, by path, or by the whole URL that a redirect named.
    pub async fn get(&self, path: &str) -> McpReply {
        self.send(Method::GET, path, HeaderMap::new(), String::new()).await
    }

    /// A form as the page itself sends it.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> McpReply {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        self.send(Method::POST, path, headers, form).await
    }

    pub async fn send(&self, method: Method, path: &str, mut headers: HeaderMap, body: String) -> McpReply {
        let url = if path.starts_with('/') { format!("{}{path}", self.origin) } else { path.to_owned() };
        let cookies: Vec<String> =
            self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            headers.insert(header::COOKIE, HeaderValue::from_str(&cookies.join("; ")).expect("cookies"));
        }
        let reply = McpClient::new(self.egress.clone(), url, None).send(method, headers, body).await;
        for set in reply.headers.get_all(header::SET_COOKIE) {
            self.keep(set.to_str().expect("a cookie"));
        }
        reply
    }

    fn keep(&self, set: &str) {
        let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
        let (name, value) = pair.split_once('=').expect("a name and a value");
        let mut cookies = self.cookies.lock();
        if attributes.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            crate::canary::remember(value);
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().get(name).cloned()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().insert(name.to_owned(), value.to_owned());
    }
}

impl McpReply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a hidden field of the page.
    pub fn hidden(&self, name: &str) -> String {
        let page = self.text();
        let start = format!("name=\"{name}\" value=\"");
        let from = page.find(&start).unwrap_or_else(|| panic!("no field {name}: {page}")) + start.len();
        page[from..].chars().take_while(|c| *c != '"').collect()
    }

    /// Where a redirect leads.
    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no redirect: {} {}", self.status, self.text()))
    }
}
