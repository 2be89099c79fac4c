//! Leases: who may do a thing that must be done once, for how long. The generation only grows, so that a holder
//! who was asleep is told by it that the lease is another's now (a fencing token).

use switchboard_domain::{Timestamp, WriterId};

use crate::{
    StorageError, Tx,
    statement::{execute, fetch_optional, statements},
};

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub holder: WriterId,
    /// Grows with every change of holder; write it, or compare it, wherever the lease protects something.
    pub generation: i64,
    pub until: Timestamp,
}

statements! {
    /// Takes a lease that is free, over, or the caller's own. The generation grows each time.
    ACQUIRE = "INSERT INTO lease (name, holder, generation, until) VALUES ($1, $2, 1, $3) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, generation = lease.generation + 1, until = excluded.until WHERE lease.until <= $4 RETURNING generation";
    RENEW = "UPDATE lease SET until = $4 WHERE name = $1 AND holder = $2 AND generation = $3 AND until > $5";
    /// The row stays, so that the generation never starts over.
    RELEASE = "UPDATE lease SET until = 0 WHERE name = $1 AND holder = $2 AND generation = $3";
    HELD = "SELECT generation FROM lease WHERE name = $1 AND holder = $2 AND generation = $3 AND until > $4";
}

impl Tx {
    pub fn leases(&mut self) -> Leases<'_> {
        Leases { tx: self }
    }
}

/// See [`Tx::leases`].
#[derive(Debug)]
pub struct Leases<'t> {
    tx: &'t mut Tx,
}

impl Leases<'_> {
    /// The lease, or `None` while somebody (also this holder, earlier) has it.
    pub async fn acquire(
        self,
        name: &str,
        holder: WriterId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StorageError> {
        let (now, end) = (now.as_micros(), until.as_micros());
        let row = fetch_optional!(self.tx, ACQUIRE => (i64,), name, holder.as_uuid(), end, now)?;
        Ok(row.map(|(generation,)| Lease { name: name.into(), holder, generation, until }))
    }

    /// Holds on; `false` when it is over or another's: stop at once.
    pub async fn renew(self, lease: &Lease, now: Timestamp, until: Timestamp) -> Result<bool, StorageError> {
        let (holder, generation) = (lease.holder.as_uuid(), lease.generation);
        let (now, until) = (now.as_micros(), until.as_micros());
        Ok(execute!(self.tx, RENEW, &lease.name, holder, generation, until, now)? == 1)
    }

    /// Lets go; `false` when it was another's already.
    pub async fn release(self, lease: &Lease) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, RELEASE, &lease.name, lease.holder.as_uuid(), lease.generation)? == 1)
    }

    /// Whether it is still held: to be asked in the transaction that writes what it protects.
    pub async fn holds(self, lease: &Lease, now: Timestamp) -> Result<bool, StorageError> {
        let (holder, generation) = (lease.holder.as_uuid(), lease.generation);
        let row = fetch_optional!(self.tx, HELD => (i64,), &lease.name, holder, generation, now.as_micros())?;
        Ok(row.is_some())
    }
}
