//! `/api/v1/`: what the page shows, as JSON. `openapi.json` beside this file describes it.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::Site;
use crate::catalog::{Catalog, Category};
use crate::diagnose::{Top, WINDOWS};
use crate::output;
use crate::tail::Snapshot;
use crate::tally::{Label, Rotation};

/// The description of this interface.
const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/status", get(async |State(site): State<Site>| answer(&status(&site.handle.latest()))))
        .route("/api/v1/findings", get(async |State(site): State<Site>| answer(&findings(&site.handle.latest()))))
        .route("/api/v1/errors", get(async |State(site): State<Site>| answer(&errors(&site.handle.latest()))))
        .route("/api/v1/records", get(async |State(site): State<Site>| answer(&records(&site.handle.latest()))))
        .route("/api/v1/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()))
}

/// An answer that a terminal may show, too.
fn answer(value: &Value) -> Response {
    let mut body = Vec::new();
    output::json_line(value, &mut body);
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn status(snapshot: &Snapshot) -> Value {
    let sources: Vec<Value> = snapshot
        .gauges
        .iter()
        .map(|(source, gauges)| {
            let tally = snapshot.tally.sources.get(source).cloned().unwrap_or_default();
            let rotations: BTreeMap<&str, u64> =
                Rotation::ALL.map(Rotation::name).into_iter().zip(tally.rotations).collect();
            json!({
                "source": source, "files": gauges.files, "lag_bytes": gauges.lag_bytes,
                "errors": tally.errors.values().map(|errors| errors.total).sum::<u64>(),
                "last_seen": tally.errors.values().filter_map(|errors| errors.last_seen).max(),
                "read_bytes": tally.read_bytes, "read_lines": tally.read_lines, "lost_bytes": tally.lost_bytes,
                "read_errors": tally.read_errors, "truncated_lines": tally.truncated_lines, "rotations": rotations,
            })
        })
        .collect();
    let state = &snapshot.state;
    json!({
        "time": snapshot.seen.at, "version": env!("CARGO_PKG_VERSION"), "caught_up": snapshot.caught_up,
        "sources": sources,
        "state": {
            "writes": state.writes, "write_errors": state.write_errors, "resets": state.resets, "failing": state.failing,
        },
        "rejected_numbers": snapshot.tally.rejected,
    })
}

fn findings(snapshot: &Snapshot) -> Value {
    let view = &snapshot.seen;
    let known: Vec<&str> = view.rules.all().iter().map(|rule| rule.id.as_str()).collect();
    json!({ "time": view.at, "since": view.since, "findings": view.findings, "known": known })
}

fn errors(snapshot: &Snapshot) -> Value {
    let view = &snapshot.seen;
    let codes: Vec<Value> = view.top.iter().map(|top| code(top, &snapshot.catalog)).collect();
    let calls: BTreeMap<&str, BTreeMap<Category, u64>> = WINDOWS
        .iter()
        .zip(view.calls)
        .map(|((window, _), calls)| (*window, Category::ALL.into_iter().zip(calls).collect()))
        .collect();
    json!({ "time": view.at, "since": view.since, "hour": view.hour, "day": view.day, "codes": codes, "calls": calls })
}

fn code(top: &Top, catalog: &Catalog) -> Value {
    let (code, entry) = match top.series.code {
        Label::Code(code) => (json!(code), catalog.get(code)),
        Label::Other => (json!("other"), None),
    };
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    json!({
        "code": code, "category": top.series.category, "hour": top.hour, "day": top.day,
        "name": text(entry.map(|entry| &entry.name)), "explanation": text(entry.map(|entry| &entry.explanation)),
        "causes": entry.map(|entry| entry.causes.clone()).unwrap_or_default(),
        "solutions": entry.map(|entry| entry.solutions.clone()).unwrap_or_default(),
        "docs": text(entry.map(|entry| &entry.docs)),
    })
}

fn records(snapshot: &Snapshot) -> Value {
    json!({ "time": snapshot.seen.at, "since": snapshot.seen.since, "records": snapshot.seen.recent })
}
