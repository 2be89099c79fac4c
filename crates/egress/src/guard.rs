//! The pure part of the outbound rules: which URLs, hosts and addresses may be connected to.
//!
//! A URL is parsed once (WHATWG URL, the only parser here) and the parsed object is what is judged and what is
//! dialled, so that no second reading can disagree about the host. The text is checked before parsing for
//! everything on which parsers are known to differ: white space and control characters that are stripped,
//! backslashes, missing or extra slashes, user information, percent signs in the authority.
//!
//! A literal address never reaches a resolver, so it is judged here; a name is judged here by its shape and
//! again, address by address, after it was resolved (`connect`).

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::Uri;
use ipnet::IpNet;
use url::{Host, Position, Url};

use crate::{
    address::{self, AddressClass},
    host_pattern::HostPattern,
    name::{self, NameClass},
};

const MAX_URL_CHARACTERS: usize = 2048;

/// Ports no browser fetches from (WHATWG Fetch, "bad port"): mail, remote shells, IRC and other protocols in
/// which a request could be read as commands.
const BAD_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103,
    104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514,
    515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723,
    2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// The one answer to everything the guard refuses, whatever lies behind the address. The reason is in the
/// operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this address is not allowed: it must be an https URL of a public host on an ordinary port, without user \
     name or password. Hosts inside a private network have to be opened by the operator \
     (--allow-private-networks, setting `egress.allow_private_networks`), and the operator may have limited \
     the allowed hosts (`egress.allowed_hosts`)"
)]
pub struct Refused(());

/// Why, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Length,
    Characters,
    Scheme,
    PlainHttp,
    Authority,
    Unparsable,
    BadPort,
    Name(NameClass),
    Address(AddressClass),
    OwnListener,
    NotInAllowedHosts,
    PlainHttpToPublicHost,
    TooManyAddresses,
    PeerNotChecked,
}

impl Reason {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Length => "url_length",
            Self::Characters => "url_characters",
            Self::Scheme | Self::PlainHttp => "url_scheme",
            Self::Authority => "url_authority",
            Self::Unparsable => "url_unparsable",
            Self::BadPort => "bad_port",
            Self::Name(NameClass::Loopback) => "name_loopback",
            Self::Name(NameClass::Private) => "name_private",
            Self::Name(NameClass::Metadata) => "name_metadata",
            Self::Name(_) => "name_invalid",
            Self::Address(AddressClass::Loopback) => "address_loopback",
            Self::Address(AddressClass::Private) => "address_private",
            Self::Address(AddressClass::Metadata) => "address_metadata",
            Self::Address(_) => "address_special",
            Self::OwnListener => "own_listener",
            Self::NotInAllowedHosts => "not_in_allowed_hosts",
            Self::PlainHttpToPublicHost => "plain_http_to_public_host",
            Self::TooManyAddresses => "too_many_addresses",
            Self::PeerNotChecked => "peer_not_checked",
        }
    }

    /// What is wrong with a URL as it was written. Only for reasons that [`Guard::check_url`] found in the text:
    /// they say nothing about what lies inside the network.
    pub(crate) const fn explanation(self) -> &'static str {
        match self {
            Self::Length => "Give an address of 1 to 2048 characters.",
            Self::Characters => {
                "The address has white space, a backslash, or control or invisible characters in it; write it without."
            }
            Self::Scheme => "The address must begin with https://, such as https://mcp.example.com/mcp.",
            Self::PlainHttp => {
                "Plain http:// is only for servers inside a private network, and those are closed here: the operator \
                 opens them by starting Switchboard with --allow-private-networks (setting \
                 `egress.allow_private_networks`). For a public server use https://."
            }
            Self::Authority => {
                "The address must name a host after the //, without user name, password or percent signs; give a \
                 secret as an API key or header."
            }
            Self::Unparsable => "The address can't be read as a URL.",
            Self::BadPort => "The port of this address belongs to another protocol than HTTP.",
            Self::Name(NameClass::Loopback) | Self::Address(AddressClass::Loopback) => {
                "This address is the machine that Switchboard runs on. The operator opens it by starting Switchboard \
                 with --allow-private-networks (setting `egress.allow_private_networks`)."
            }
            Self::Name(NameClass::Private) | Self::Address(AddressClass::Private) => {
                "This address lies inside a private network. The operator opens all of them by starting Switchboard \
                 with --allow-private-networks (setting `egress.allow_private_networks`), or single ones with the \
                 setting `egress.private_networks`."
            }
            Self::Name(NameClass::Metadata) | Self::Address(AddressClass::Metadata) => {
                "This address belongs to a cloud's metadata service or to a link; it is never opened."
            }
            Self::Name(_) => "The host of this address can't be a name in the DNS: check its spelling.",
            Self::Address(_) => {
                "This address is of a range that is reserved, for documentation for instance: no server is there."
            }
            Self::OwnListener => {
                "This is the address of this Switchboard itself; give the address of another server."
            }
            Self::NotInAllowedHosts => {
                "The operator allows only certain hosts (setting `egress.allowed_hosts`), and this is none of them."
            }
            Self::PlainHttpToPublicHost => "Plain http:// to a public host is not allowed: use https://.",
            Self::TooManyAddresses | Self::PeerNotChecked => "This address is not allowed.",
        }
    }

    /// Tells the operator and hides the reason from everybody else.
    pub(crate) fn refuse(self, host: &dyn fmt::Debug) -> Refused {
        metrics::counter!("switchboard_egress_refused_total", "reason" => self.code()).increment(1);
        tracing::info!(reason = self.code(), ?host, "outbound address refused");
        Refused(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Where a connection goes: what the pool keys on and what every new connection is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
}

impl Target {
    pub(crate) fn of_url(url: &Url) -> Option<Self> {
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        Some(Self { scheme, host: url.host()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Reads back what [`GuardedUrl`] wrote; anything else is `None`.
    pub(crate) fn of_uri(uri: &Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        Some(Self {
            scheme,
            host: Host::parse(uri.host()?).ok()?,
            port: uri.port_u16().unwrap_or_else(|| scheme.default_port()),
        })
    }
}

/// A URL that passed the guard. Requests accept nothing else. Cheap to clone.
#[derive(Clone)]
pub struct GuardedUrl(Arc<Inner>);

struct Inner {
    url: Url,
    uri: Uri,
    target: Target,
    /// The guard that passed it: another guard judges again.
    guard: Arc<Guard>,
}

impl GuardedUrl {
    pub fn url(&self) -> &Url {
        &self.0.url
    }

    pub fn as_str(&self) -> &str {
        self.0.url.as_str()
    }

    /// `scheme://host[:port]`.
    pub fn origin(&self) -> String {
        self.0.url.origin().ascii_serialization()
    }

    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.target == other.0.target
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0.uri
    }

    pub(crate) fn target(&self) -> &Target {
        &self.0.target
    }

    pub(crate) fn passed(&self, guard: &Arc<Guard>) -> bool {
        Arc::ptr_eq(&self.0.guard, guard)
    }
}

/// Without the query, which may hold a secret.
impl fmt::Debug for GuardedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for GuardedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.url[..Position::AfterPath])
    }
}

impl PartialEq for GuardedUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.url == other.0.url
    }
}

impl Eq for GuardedUrl {}

/// The operator's outbound rules.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    pub(crate) allow_private_networks: bool,
    pub(crate) private_networks: Vec<IpNet>,
    pub(crate) allowed_hosts: Option<Vec<HostPattern>>,
    pub(crate) own_listeners: Vec<SocketAddr>,
}

impl Guard {
    pub(crate) fn check_url(self: &Arc<Self>, text: &str) -> Result<GuardedUrl, Reason> {
        let scheme = self.check_text(text)?;
        let url = Url::parse(text).map_err(|_| Reason::Unparsable)?;
        let target = Target::of_url(&url).ok_or(Reason::Unparsable)?;
        if target.scheme != scheme || !url.username().is_empty() || url.password().is_some() {
            return Err(Reason::Authority);
        }
        self.judge_target(&target)?;
        let uri = url[..Position::AfterQuery].parse::<Uri>().map_err(|_| Reason::Unparsable)?;
        if Target::of_uri(&uri).as_ref() != Some(&target) {
            return Err(Reason::Unparsable);
        }
        Ok(GuardedUrl(Arc::new(Inner { url, uri, target, guard: Arc::clone(self) })))
    }

    /// What no parser may be trusted with.
    fn check_text(&self, text: &str) -> Result<Scheme, Reason> {
        if text.is_empty() || text.chars().count() > MAX_URL_CHARACTERS {
            return Err(Reason::Length);
        }
        if text.chars().any(is_treacherous) {
            return Err(Reason::Characters);
        }
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            if !self.opens_anything_private() {
                return Err(Reason::PlainHttp);
            }
            (Scheme::Http, rest)
        } else {
            return Err(Reason::Scheme);
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains(['@', '%']) {
            return Err(Reason::Authority);
        }
        Ok(scheme)
    }

    fn opens_anything_private(&self) -> bool {
        self.allow_private_networks || !self.private_networks.is_empty()
    }

    /// Judges all of a target that can be judged without a lookup.
    pub(crate) fn judge_target(&self, target: &Target) -> Result<(), Reason> {
        if BAD_PORTS.binary_search(&target.port).is_ok() {
            return Err(Reason::BadPort);
        }
        match &target.host {
            Host::Ipv4(v4) => self.judge_address(target, IpAddr::V4(*v4))?,
            Host::Ipv6(v6) => self.judge_address(target, IpAddr::V6(*v6))?,
            Host::Domain(name) => self.judge_name(name)?,
        }
        if self.allowance(target) == Allowance::Nobody {
            return Err(Reason::NotInAllowedHosts);
        }
        Ok(())
    }

    fn judge_name(&self, name: &str) -> Result<(), Reason> {
        let class = name::classify(name);
        let allowed = match class {
            NameClass::Public => true,
            NameClass::Loopback => self.allow_private_networks,
            NameClass::Private => self.opens_anything_private(),
            NameClass::Metadata | NameClass::Invalid => false,
        };
        if allowed { Ok(()) } else { Err(Reason::Name(class)) }
    }

    /// Judges one address of a target: the literal of the URL, or one answer of the name server.
    pub(crate) fn judge_address(&self, target: &Target, address: IpAddr) -> Result<(), Reason> {
        let class = address::classify(address);
        let open = match class {
            AddressClass::Public => true,
            AddressClass::Loopback => self.allow_private_networks,
            AddressClass::Private => {
                self.allow_private_networks
                    || self.private_networks.iter().any(|network| network.contains(&address.to_canonical()))
            }
            AddressClass::Metadata | AddressClass::Special => false,
        };
        if !open {
            return Err(Reason::Address(class));
        }
        if self.is_own_listener(class, SocketAddr::new(address.to_canonical(), target.port)) {
            return Err(Reason::OwnListener);
        }
        if target.scheme == Scheme::Http && class == AddressClass::Public {
            return Err(Reason::PlainHttpToPublicHost);
        }
        Ok(())
    }

    /// Judges everything a name resolved to; one bad address condemns the name.
    pub(crate) fn judge_answers(&self, target: &Target, addresses: &[IpAddr]) -> Result<(), Reason> {
        let by_address = self.allowance(target) == Allowance::ByAddress;
        for address in addresses {
            self.judge_address(target, *address)?;
            let canonical = address.to_canonical();
            if by_address && !self.patterns().any(|pattern| pattern.matches_address(canonical, target.port)) {
                return Err(Reason::NotInAllowedHosts);
            }
        }
        Ok(())
    }

    fn is_own_listener(&self, class: AddressClass, address: SocketAddr) -> bool {
        self.own_listeners.iter().any(|own| {
            own.port() == address.port()
                && (own.ip().to_canonical() == address.ip()
                    || (own.ip().is_unspecified() && class == AddressClass::Loopback))
        })
    }

    /// Whether one of our listeners takes connections on every interface at this port; the caller then has to
    /// find out whether an address is one of this machine's.
    pub(crate) fn listens_everywhere_on(&self, port: u16) -> bool {
        self.own_listeners.iter().any(|own| own.ip().is_unspecified() && own.port() == port)
    }

    fn patterns(&self) -> impl Iterator<Item = &HostPattern> {
        self.allowed_hosts.iter().flatten()
    }

    fn allowance(&self, target: &Target) -> Allowance {
        if self.allowed_hosts.is_none()
            || self.patterns().any(|pattern| pattern.matches_host(&target.host, target.port))
        {
            Allowance::ByHost
        } else if matches!(target.host, Host::Domain(_)) && self.patterns().any(HostPattern::is_network) {
            Allowance::ByAddress
        } else {
            Allowance::Nobody
        }
    }
}

/// What the operator's allow list says about a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    ByHost,
    /// Only if every address it resolves to lies in an allowed network.
    ByAddress,
    Nobody,
}

/// Characters that parsers strip or that make a text look like another one: controls, white space,
/// backslash, and the invisible and direction-changing characters of Unicode.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || c == '\\'
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
