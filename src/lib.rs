//! twdiag finds, explains and counts Twilio error codes in logs.

pub mod problem;
pub mod record;
pub mod catalog;
pub mod detect;
pub mod redact;
pub mod tally;
pub mod tail;
