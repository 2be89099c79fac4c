//! How far AI clients get that try to sign in: the steps before anybody knows for whom they are.
//!
//! A client is told 401, reads the metadata, registers, sends its person here: until a token is given out, nothing of this
//! belongs to an organization, and all of it is done by strangers. So it is kept in memory alone, a bounded number of
//! attempts, by the machine and the program that they come from. When an attempt ends in a token, its first steps go on record
//! with that; what is left are the attempts that stopped somewhere, which is what an admin looks for.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use switchboard_domain::Timestamp;

use crate::{source::machine, text};

/// So many are kept; the one that was quiet for longest gives way.
const MOST: usize = 200;
/// An attempt that was quiet for so long is over: what comes then is another.
const PAUSE: Duration = Duration::from_secs(15 * 60);
/// So long one that stopped is shown.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_AGENT: usize = 120;

/// One step of a sign-in that can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptStep {
    /// An endpoint answered 401 and said where the metadata is.
    Challenged,
    /// What protects the endpoint was read (RFC 9728).
    ResourceMetadata,
    /// How to sign in was read (RFC 8414).
    ServerMetadata,
    /// It registered itself (RFC 7591).
    Registered,
    /// It sent its person here.
    Asked,
}

/// When the first steps were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Trail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenged_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_metadata_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_metadata_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
}

impl Trail {
    fn slot(&mut self, step: AttemptStep) -> &mut Option<Timestamp> {
        match step {
            AttemptStep::Challenged => &mut self.challenged_at,
            AttemptStep::ResourceMetadata => &mut self.resource_metadata_at,
            AttemptStep::ServerMetadata => &mut self.server_metadata_at,
            AttemptStep::Registered => &mut self.registered_at,
            AttemptStep::Asked => &mut self.asked_at,
        }
    }

    fn merge(&mut self, other: Self) {
        let first = |mine: &mut Option<Timestamp>, theirs: Option<Timestamp>| *mine = mine.or(theirs);
        first(&mut self.challenged_at, other.challenged_at);
        first(&mut self.resource_metadata_at, other.resource_metadata_at);
        first(&mut self.server_metadata_at, other.server_metadata_at);
        first(&mut self.registered_at, other.registered_at);
        first(&mut self.asked_at, other.asked_at);
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An attempt that has not ended in a token.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub source: IpAddr,
    /// As its program names itself.
    pub agent: String,
    /// Once it said which client it is.
    pub client_id: Option<String>,
    pub trail: Trail,
    pub last_at: Timestamp,
}

type Key = (IpAddr, String);

/// Attempts by where they come from.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Key, Attempt>>);

/// Who takes a step.
#[derive(Debug, Clone)]
pub struct Stranger {
    pub source: IpAddr,
    pub agent: String,
}

impl Stranger {
    fn key(&self) -> Key {
        (machine(self.source), text::one_line(&self.agent, LONGEST_AGENT))
    }
}

impl Attempts {
    /// Notes a step. One that names a client belongs to the attempt in which that client registered, wherever it is
    /// taken: a person's browser asks, not the client itself.
    pub(crate) fn note(&self, who: &Stranger, step: AttemptStep, client: Option<&str>, now: Timestamp) {
        let mut kept = self.0.lock();
        let own = who.key();
        let of_client = client.and_then(|client| {
            let mut all = kept.iter();
            all.find(|(_, attempt)| attempt.client_id.as_deref() == Some(client)).map(|(key, _)| key.clone())
        });
        let key = of_client.unwrap_or(own);
        let is_over = kept.get(&key).is_some_and(|attempt| attempt.last_at.plus(PAUSE) < now);
        if is_over {
            kept.remove(&key);
        }
        if !kept.contains_key(&key) && kept.len() >= MOST {
            let quiet = kept.iter().min_by_key(|(_, attempt)| attempt.last_at).map(|(key, _)| key.clone());
            quiet.map(|quiet| kept.remove(&quiet));
        }
        let attempt = kept.entry(key).or_insert_with_key(|(source, agent)| Attempt {
            source: *source,
            agent: agent.clone(),
            client_id: None,
            trail: Trail::default(),
            last_at: now,
        });
        attempt.trail.slot(step).get_or_insert(now);
        attempt.last_at = now;
        if let Some(client) = client {
            attempt.client_id = Some(text::one_line(client, 300));
        }
    }

    /// The attempt of this client, which ends in a token now: it is no longer one that stopped.
    pub(crate) fn end(&self, who: &Stranger, client: &str) -> Trail {
        let mut kept = self.0.lock();
        let mut trail = Trail::default();
        let named: Vec<Key> = kept
            .iter()
            .filter(|(_, attempt)| attempt.client_id.as_deref() == Some(client))
            .map(|(key, _)| key.clone())
            .collect();
        // What it asked for by itself, before it said which client it is.
        let own = who.key();
        let is_own = kept.get(&own).is_some_and(|attempt| attempt.client_id.is_none());
        for key in named.into_iter().chain(is_own.then_some(own)) {
            if let Some(attempt) = kept.remove(&key) {
                trail.merge(attempt.trail);
            }
        }
        trail
    }

    /// Those that stopped somewhere, the newest first.
    pub(crate) fn stopped(&self, now: Timestamp) -> Vec<Attempt> {
        let mut kept = self.0.lock();
        kept.retain(|_, attempt| attempt.last_at.plus(KEPT) > now);
        let mut stopped: Vec<Attempt> = kept.values().cloned().collect();
        stopped.sort_by_key(|attempt| std::cmp::Reverse(attempt.last_at));
        stopped
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn stranger(last: u8, agent: &str) -> Stranger {
        Stranger { source: Ipv4Addr::new(192, 0, 2, last).into(), agent: agent.to_owned() }
    }

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn an_attempt_is_followed_from_the_client_to_its_persons_browser_and_back() {
        let attempts = Attempts::default();
        let (client, browser) = (stranger(1, "cli/1"), stranger(2, "Firefox"));
        attempts.note(&client, AttemptStep::Challenged, None, at(1));
        attempts.note(&client, AttemptStep::ServerMetadata, None, at(2));
        attempts.note(&client, AttemptStep::Registered, Some("ocl_1"), at(3));
        attempts.note(&browser, AttemptStep::Asked, Some("ocl_1"), at(4));
        attempts.note(&stranger(3, "other"), AttemptStep::Challenged, None, at(5));
        let stopped = attempts.stopped(at(6));
        assert_eq!(stopped.len(), 2);
        assert_eq!(stopped[1].trail.asked_at, Some(at(4)));
        let trail = attempts.end(&client, "ocl_1");
        assert_eq!(
            (trail.challenged_at, trail.registered_at, trail.asked_at),
            (Some(at(1)), Some(at(3)), Some(at(4)))
        );
        assert_eq!(attempts.stopped(at(6)).len(), 1, "what ended in a token did not stop");
        // One that publishes a document says who it is in the browser and with the code alone.
        attempts.note(&client, AttemptStep::Challenged, None, at(10));
        attempts.note(&browser, AttemptStep::Asked, Some("https://a.example/c.json"), at(11));
        let trail = attempts.end(&client, "https://a.example/c.json");
        assert_eq!((trail.challenged_at, trail.asked_at), (Some(at(10)), Some(at(11))));
    }

    #[test]
    fn strangers_fill_a_bounded_room_and_are_forgotten() {
        let attempts = Attempts::default();
        for number in 0..1_000 {
            let who = stranger(u8::try_from(number % 250).unwrap(), &format!("agent {number}"));
            attempts.note(&who, AttemptStep::Challenged, None, at(number));
        }
        assert_eq!(attempts.stopped(at(1_000)).len(), MOST);
        assert_eq!(attempts.stopped(at(1_000)).first().unwrap().last_at, at(999));
        let who = stranger(1, "again");
        attempts.note(&who, AttemptStep::Challenged, None, at(2_000));
        attempts.note(&who, AttemptStep::Challenged, None, at(2_010));
        attempts.note(&who, AttemptStep::Challenged, None, at(9_000));
        let again = attempts.stopped(at(9_000)).into_iter().find(|it| it.agent == "again").unwrap();
        assert_eq!(again.trail.challenged_at, Some(at(9_000)), "after a pause it is another");
        assert!(attempts.stopped(at(200_000)).is_empty());
    }
}
