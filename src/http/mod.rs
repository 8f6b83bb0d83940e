//! The HTTP server: the page for Prometheus, and whether the process lives and is ready.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics;
use crate::tail::Handle;

/// The routes, answered from what the owner of the counts publishes.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(handle)
}

async fn page(State(handle): State<Handle>) -> impl IntoResponse {
    match metrics::render(handle.publish().await) {
        Ok(page) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "the page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(handle): State<Handle>) -> impl IntoResponse {
    if handle.latest().caught_up {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "catching up\n")
    }
}
