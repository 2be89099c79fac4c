//! `switchboard openapi`: the REST API's document, without a server.

use crate::{failure::Failure, output};

pub(crate) fn run() -> Result<(), Failure> {
    output::print_json(switchboard_server::openapi_json());
    Ok(())
}
