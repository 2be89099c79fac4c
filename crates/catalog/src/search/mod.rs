//! Search over all tools of one organization, in memory.
//!
//! The index is made of immutable segments, one per connection, and a shared dictionary that says in
//! which segments a term occurs. Replacing a connection builds its segment beside the index and enters its
//! terms under a slot nobody reads yet, a few at a time; then the connection changes over from its old
//! slot to the new one in one step, and the old terms are cleared away, again a few at a time. Readers see
//! the one or the other and never wait for more than a few hundred terms.
//!
//! Ranking is BM25F (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) with the
//! additions of [`Ranking`]. Frequencies are counted over the connections the caller was granted, and
//! lengths against fixed averages, so that nothing about a hidden tool can be read from an order or a
//! total.

mod concepts;
mod dictionary;
mod ranking;
mod reading;
mod reasons;
mod scoring;
mod segment;
mod synonyms;
mod terms;

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use switchboard_domain::ConnectionId;

pub(crate) use self::concepts::distance;
use self::{
    dictionary::{Dictionary, Range},
    scoring::Scorer,
    segment::{Posting, Segment},
};
pub use self::{
    ranking::Ranking,
    reasons::{MatchReason, match_reasons},
    segment::{ConnectionLabel, EntryRef, MAX_ENTRIES},
};
use crate::Definition;

/// Longest part of a query that is read, in bytes. More is a document, not a question.
pub const QUERY_BYTES: usize = 16 * 1024;

/// Terms that are entered or cleared away while readers wait.
const TERMS_AT_ONCE: usize = 256;

/// The connections a caller was granted and may see on this resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionSet(Vec<ConnectionId>);

impl FromIterator<ConnectionId> for ConnectionSet {
    fn from_iter<T: IntoIterator<Item = ConnectionId>>(iter: T) -> Self {
        let mut ids: Vec<_> = iter.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }
}

impl ConnectionSet {
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.0.iter().copied()
    }
}

/// A question to the index.
#[derive(Debug, Clone, Copy)]
pub struct SearchQuery<'a> {
    /// Without any word it lists everything in order of connection and name.
    pub text: &'a str,
    /// Only this connection, if it is among the allowed ones.
    pub connection: Option<ConnectionId>,
    pub allowed: &'a ConnectionSet,
    pub limit: usize,
    /// Matches to skip: pages of one query on an unchanged index neither overlap nor leave a gap.
    pub offset: usize,
}

/// One match. It stays readable after the index has changed.
#[derive(Debug, Clone)]
pub struct Hit {
    segment: Arc<Segment>,
    entry: usize,
}

impl Hit {
    pub fn entry(&self) -> EntryRef<'_> {
        EntryRef { segment: &self.segment, entry: self.entry }
    }
}

/// One page of matches.
#[derive(Debug, Clone, Default)]
pub struct SearchOutcome {
    pub hits: Vec<Hit>,
    /// All matches, on this page or not, after every filter.
    pub total: usize,
    /// Whether the best match covers what was asked for. When not, say so to the caller.
    pub fits_well: bool,
}

/// The index of one organization. Shared behind an `Arc`; every method takes `&self`.
#[derive(Default)]
pub struct Index {
    ranking: Ranking,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    dictionary: Dictionary,
    slots: Vec<Option<Arc<Segment>>>,
    /// Slots without a segment and without a term.
    free: Vec<u32>,
    /// Number of the first document of each slot; documents are numbered through without gaps.
    bases: Vec<u32>,
    documents: u32,
    /// Slot of each document, and how many terms its name has: read for every match.
    owners: Vec<u32>,
    name_terms: Vec<u8>,
    /// Connections and their slots, in order of id.
    connections: Vec<(ConnectionId, u32)>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.read();
        write!(f, "Index({} connections, {} tools)", state.connections.len(), state.documents)
    }
}

impl Index {
    pub fn new() -> Self {
        Self::default()
    }

    /// An index with other figures, to measure what each is worth.
    pub fn with_ranking(ranking: Ranking) -> Self {
        Self { ranking, state: RwLock::default() }
    }

    /// Sets the tools of one connection; those it had before are gone. Of two tools of one name the first
    /// counts; beyond [`MAX_ENTRIES`] none does.
    pub fn replace(&self, label: ConnectionLabel<'_>, definitions: &[Definition]) {
        let built = Segment::build(label, definitions, &self.ranking);
        let slot = self.state.write().reserve();
        let mut start = 0;
        for terms in built.terms.chunks(TERMS_AT_ONCE) {
            let mut state = self.state.write();
            for (term, length) in terms {
                state.dictionary.add(term, Range { slot, start, length: *length });
                start += length;
            }
        }
        let replaced = self.state.write().go_live(slot, built.segment);
        self.clear_away(replaced);
    }

    /// Removes a connection. Says whether it was there.
    pub fn remove(&self, connection: ConnectionId) -> bool {
        let removed = self.state.write().withdraw(connection);
        self.clear_away(removed)
    }

    fn clear_away(&self, gone: Option<(u32, Option<Arc<Segment>>)>) -> bool {
        let Some((slot, _segment)) = gone else { return false };
        while self.state.write().dictionary.remove_some(slot, TERMS_AT_ONCE) {}
        self.state.write().free.push(slot);
        true
    }

    /// One capability by the exact name of its tool.
    pub fn get(&self, connection: ConnectionId, name: &str) -> Option<Hit> {
        let state = self.state.read();
        let slot = state.slot_of(connection)?;
        let segment = state.slots[slot as usize].clone()?;
        let entry = segment.find(name)?;
        Some(Hit { segment, entry })
    }

    /// Tools in the index, of one connection or of all.
    pub fn tools(&self, connection: Option<ConnectionId>) -> usize {
        let state = self.state.read();
        match connection {
            None => state.documents as usize,
            Some(id) => state
                .slot_of(id)
                .and_then(|slot| state.slots[slot as usize].as_ref())
                .map_or(0, |segment| segment.len()),
        }
    }

    /// Every capability of one connection in order of name.
    pub fn list(&self, connection: ConnectionId) -> Vec<Hit> {
        let state = self.state.read();
        let slot = state.slot_of(connection);
        let segment = slot.and_then(|slot| state.slots[slot as usize].as_ref());
        segment
            .map(|segment| (0..segment.len()).map(|entry| Hit { segment: segment.clone(), entry }).collect())
            .unwrap_or_default()
    }

    /// Answers `query` among the allowed connections. `filter` is asked about each capability that would
    /// otherwise be a match; it must not call the index.
    pub fn search(
        &self,
        query: &SearchQuery<'_>,
        filter: Option<&dyn Fn(EntryRef<'_>) -> bool>,
    ) -> SearchOutcome {
        let state = self.state.read();
        Scorer::new(&state, &self.ranking, query, filter).answer()
    }
}

impl State {
    /// A slot nobody reads and nobody else fills.
    fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.bases.push(self.documents);
            (self.slots.len() - 1) as u32
        })
    }

    /// Lets a connection be read from `slot`; returns where it was read from before.
    fn go_live(&mut self, slot: u32, segment: Segment) -> Option<(u32, Option<Arc<Segment>>)> {
        let connection = segment.connection;
        let before = self.take(connection);
        self.slots[slot as usize] = Some(Arc::new(segment));
        let place = self.connections.partition_point(|(id, _)| *id < connection);
        self.connections.insert(place, (connection, slot));
        self.number();
        before
    }

    fn withdraw(&mut self, connection: ConnectionId) -> Option<(u32, Option<Arc<Segment>>)> {
        let taken = self.take(connection);
        self.number();
        taken
    }

    fn take(&mut self, connection: ConnectionId) -> Option<(u32, Option<Arc<Segment>>)> {
        let place = self.connections.binary_search_by_key(&connection, |(id, _)| *id).ok()?;
        let (_, slot) = self.connections.remove(place);
        Some((slot, self.slots[slot as usize].take()))
    }

    fn slot_of(&self, connection: ConnectionId) -> Option<u32> {
        let place = self.connections.binary_search_by_key(&connection, |(id, _)| *id).ok()?;
        Some(self.connections[place].1)
    }

    /// Numbers documents by slug and name, so that a number says which of two equal matches comes first.
    fn number(&mut self) {
        self.bases.clear();
        self.bases.resize(self.slots.len(), 0);
        self.owners.clear();
        self.name_terms.clear();
        let mut live: Vec<(u32, &Segment)> =
            (0..).zip(&self.slots).filter_map(|(slot, segment)| Some((slot, &**segment.as_ref()?))).collect();
        live.sort_unstable_by(|(_, left), (_, right)| {
            left.slug.cmp(&right.slug).then(left.connection.cmp(&right.connection))
        });
        for (slot, segment) in live {
            self.bases[slot as usize] = self.owners.len() as u32;
            self.owners.resize(self.owners.len() + segment.len(), slot);
            self.name_terms.extend(segment.name_terms());
        }
        self.documents = self.owners.len() as u32;
    }

    fn postings(&self, range: Range) -> &[Posting] {
        let segment = self.slots[range.slot as usize].as_ref();
        segment.map_or(&[], |segment| {
            &segment.postings[range.start as usize..(range.start + range.length) as usize]
        })
    }
}
