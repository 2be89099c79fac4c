//! The operator's configuration: flags > environment > file > default, each value with where it came from.
//!
//! [`table`] lists every setting once; flags, environment names, the file's keys, `config show` and the
//! generated reference all come from it. [`Settings`] is what was given, [`Config`] what it means.

mod error;
mod file;
mod flags;
mod groups;
mod oauth_clients;
mod reference;
mod setting;
mod settings;
mod show;
mod suggest;
mod table;
mod typed;

pub(crate) use error::ConfigError;
pub(crate) use flags::SettingFlags;
pub(crate) use groups::{EgressSettings, LogFormat, LogSettings, OtlpSettings};
pub(crate) use reference::reference;
pub(crate) use setting::parse_duration;
pub(crate) use settings::{Environment, Settings};
pub(crate) use show::{as_json, as_table};
pub(crate) use suggest::nearest;
pub(crate) use typed::Config;
