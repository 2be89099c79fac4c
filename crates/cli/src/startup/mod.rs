//! What opening Switchboard's data takes, for `serve` and for every command that works on the database directly.

mod data_dir;
mod database;
mod egress;
mod keys;
mod notify;
mod setup_link;

pub(crate) use data_dir::{ServeLock, last_public_url, prepare_if_needed};
pub(crate) use database::{Opened, location_for_people, open, options, require_data, sqlite_path};
pub(crate) use egress::{operator_egress, public_egress, upstream_egress};
pub(crate) use keys::{KeyPlace, OpenedKeys, check_keys, load_keyring, open_keys};
pub(crate) use notify::Notify;
pub(crate) use setup_link::{SETUP_LINK_LIFETIME, new_setup_link};
