//! Who can reach the page.

use super::{Check, Observation, Setup};

/// Whether the page is open to other machines without a password or a certificate.
pub(super) fn listen(setup: &Setup) -> Observation {
    let Some(address) = setup.listen else { return Observation::fine(Check::Listen, "", "no page is served") };
    if address.ip().is_loopback() {
        return Observation::fine(Check::Listen, address, "only this machine reaches it");
    }
    if setup.is_guarded {
        return Observation::fine(Check::Listen, address, "other machines reach it, with a password or a certificate");
    }
    Observation::mend(
        Check::Listen,
        address,
        "whoever reaches this machine reads the page, without a password or a certificate",
        "name a web_config with basic_auth_users or a client CA, or listen on 127.0.0.1",
    )
}
