//! The only place that sees a key, and the only place where a stored secret is opened.
//!
//! # Two layers of keys
//!
//! *Key-encryption keys* (KEKs) live outside the database: in `<data-dir>/secrets/master.key` or in the
//! environment ([`Keyring`], [`key_file`]). They wrap *data keys*, one per organization, which are stored
//! wrapped. Data keys seal secrets ([`seal`], [`open`]). Changing a KEK re-wraps a few data keys; changing a
//! data key reseals one organization's rows; losing a data key makes one organization unreadable, which is
//! how a deleted organization is destroyed (crypto-shredding).
//!
//! Both layers use one envelope ([`envelope`]): XChaCha20-Poly1305 with a random 24-byte nonce and with
//! everything that says where the secret belongs as associated data. A row copied to another place does not open.
//!
//! # What else is here
//!
//! [`SigningKey`]: keys that sign for others to verify. [`ClientKey`]: those that we prove ourselves with at providers.
//! [`token`]: tokens that we issue. [`password`]: argon2id. [`chain`]: the keyed hash of the
//! audit chain. [`head`]: signed statements about where it ends.
//!
//! Nothing here knows SQL or the network; only [`key_file`] touches a file.

mod chain;
mod cipher;
mod client_key;
mod envelope;
mod head;
mod key;
pub mod key_file;
mod keyring;
mod password;
mod signing;
mod startup;
mod token;

pub use chain::{ChainKey, chain_hash, hmac};
pub use client_key::{ClientKey, ClientKeyError};
pub use envelope::{OpenError, SealContext, Sealed, open, reseal, seal};
pub use head::{HeadKey, HeadStatement, StatementKind};
pub use key::{DataKey, KeyDigest};
pub use keyring::{Keyring, KeyringError, UnwrapError, WrappedKey};
pub use password::{
    MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARACTERS, PasswordError, check_password, hash_password, needs_rehash,
    verify_password,
};
pub use signing::SigningKey;
pub use startup::{KekState, KeyError, Startup, StartupKeys, StoredKek, startup_check};
pub use token::{
    IssuedToken, ParsedToken, SECRET_SCANNER_REGEX, TokenFormatError, TokenHash, TokenKind, issue,
    issue_opaque, parse, parse_opaque,
};
