//! twdiag finds, explains and counts Twilio error codes in logs.
//!
//! A line's way: `read(2)` into a block, a scan of the whole block for numbers of five digits, and for a hit only
//! its record, its rule and its entry in the catalogue; then the tally and the sinks.
//!
//! The core knows no file system, no async runtime and no clock: [`record`], [`catalog`], [`detect`], [`redact`],
//! [`tally`], [`diagnose`]. The edge, [`state`] and [`tail`], is `std::fs` and threads. The shell around it is [`output`], the page and [`cli`].

pub mod problem;
pub mod record;
pub mod catalog;
pub mod detect;
pub mod redact;
pub mod tally;
pub mod mounts;
pub mod diagnose;
pub mod state;
pub mod tail;
pub mod metrics;
pub mod page;
pub mod http;
pub mod input;
pub mod doctor;
pub mod sandbox;
pub mod systemd;
pub mod output;
pub mod report;
pub mod logging;
pub mod signal;
pub mod config;
pub mod reload;
pub mod app;
pub mod cli;
