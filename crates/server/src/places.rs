//! How many connections there may be: of everybody together, and of one source. Beyond the first a few more are taken
//! that are told so at once and still learn whether the process is alive (THREATS R2).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use switchboard_broker::machine;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ServerConfig;

/// Connections beyond the bound.
const RESERVED: usize = 16;

type Sources = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Who may connect.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    config: Arc<ServerConfig>,
    usual: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
    sources: Sources,
}

/// A place for one connection, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    /// One of those beyond the bound.
    pub(crate) reserved: bool,
    counted: Option<(Sources, IpAddr)>,
}

impl Places {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self {
            usual: Arc::new(Semaphore::new(config.max_connections)),
            reserved: Arc::new(Semaphore::new(RESERVED)),
            sources: Arc::default(),
            config,
        }
    }

    /// Waits until there is one, whoever comes next.
    pub(crate) async fn next(&self) -> Place {
        let usual = Arc::clone(&self.usual).try_acquire_owned();
        let (permit, reserved) = match usual {
            Ok(permit) => (Ok(permit), false),
            Err(_) => tokio::select! {
                biased;
                permit = Arc::clone(&self.usual).acquire_owned() => (permit, false),
                permit = Arc::clone(&self.reserved).acquire_owned() => (permit, true),
            },
        };
        let permit = permit.expect("the semaphores are never closed");
        Place { _permit: permit, reserved, counted: None }
    }

    /// Counts the connection with its source's others; `false` when those are too many. A proxy stands for many, so
    /// the ones that the operator trusts are not counted.
    pub(crate) fn admit(&self, place: &mut Place, peer: IpAddr) -> bool {
        // Somebody may have left while nobody came.
        if place.reserved
            && let Ok(permit) = Arc::clone(&self.usual).try_acquire_owned()
        {
            *place = Place { _permit: permit, reserved: false, counted: None };
        }
        if self.config.trusted_proxies.contains(peer) {
            return true;
        }
        let source = machine(peer);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sources.entry(source).or_default();
        if *open >= self.config.max_connections_per_source {
            return false;
        }
        *open += 1;
        drop(sources);
        place.counted = Some((Arc::clone(&self.sources), source));
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((sources, source)) = self.counted.take() else { return };
        let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sources.get_mut(&source) {
            *open -= 1;
            if *open == 0 {
                sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::TrustedProxies;

    #[tokio::test]
    async fn sources_are_counted_by_machine_and_given_back() {
        let url = "http://127.0.0.1:1".parse().unwrap();
        let mut config = ServerConfig::new(url, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        config.max_connections = 3;
        config.max_connections_per_source = 1;
        config.trusted_proxies = TrustedProxies::parse(&["10.0.0.1".to_owned()]).unwrap();
        let places = Places::new(Arc::new(config));
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut first = places.next().await;
        assert!(places.admit(&mut first, from("2001:db8::1")));
        let mut second = places.next().await;
        assert!(!places.admit(&mut second, from("2001:db8::2")), "the same machine");
        assert!(places.admit(&mut second, from("2001:db8:0:1::2")));
        drop(first);
        let mut proxies = Vec::new();
        for _ in 0..2 {
            let mut place = places.next().await;
            assert!(places.admit(&mut place, from("10.0.0.1")), "a trusted proxy stands for many");
            proxies.push(place);
        }
        let mut beyond = places.next().await;
        assert!(beyond.reserved && places.admit(&mut beyond, from("10.0.0.1")));
        assert!(beyond.reserved, "there is no other");
        let mut later = places.next().await;
        drop(proxies);
        assert!(places.admit(&mut later, from("2001:db8::3")));
        assert!(!later.reserved, "somebody left while it waited to be accepted");
    }
}
