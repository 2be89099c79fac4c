//! The tool catalogue, without I/O: what a definition says, its fingerprint, its flags, and search.
