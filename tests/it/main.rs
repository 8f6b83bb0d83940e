//! Tests of what a user notices, in one binary so that linking is paid once.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking and says what it saw")]

mod accuracy;
mod allocations;
mod alerts;
mod binary;
mod catalog;
mod clients;
mod config;
mod dashboards;
mod demo;
mod doctor;
mod dresses;
mod encoding;
mod diagnose;
mod explain;
mod faults;
mod follow;
mod hostile;
mod fuzz;
mod http;
mod image;
mod kept;
mod kubernetes;
mod lasting;
mod model;
mod ordinary;
mod machine;
mod operator;
mod output;
mod page;
mod picture;
mod program;
mod prometheus;
mod queries;
mod readme;
mod scaling;
mod reload;
mod rig;
mod scan;
mod service;
mod state;
mod supply;
mod sweeps;
mod torture;
mod why;
