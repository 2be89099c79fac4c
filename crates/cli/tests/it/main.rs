//! The real program: started, spoken to, stopped. One binary; a module per command or promise.

mod administration;
mod backup;
mod bad_start;
mod configuration;
mod demo;
#[cfg(target_os = "linux")]
mod full_disk;
mod keys;
mod login;
mod organization;
mod program;
mod reference;
mod serving;
mod traces;
