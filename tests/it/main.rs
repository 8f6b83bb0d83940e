//! Tests of what a user notices, in one binary so that linking is paid once.

mod accuracy;
mod catalog;
