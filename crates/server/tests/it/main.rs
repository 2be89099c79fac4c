//! The surfaces, against a whole Switchboard in this process. The files mirror the routes.

mod one_call;
