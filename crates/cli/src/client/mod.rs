//! What the client commands talk through.
