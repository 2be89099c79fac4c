//! The real program: started, spoken to, stopped. One binary; a module per command or promise.

mod administration;
mod backup;
mod bad_start;
mod configuration;
mod demo;
mod keys;
mod organization;
mod program;
mod reference;
mod serving;
