//! The HTTP server: the page for Prometheus, the probes, and reloading where it is enabled.
//!
//! What a request asks for is routed here; what a client may do to the process is limited around it.

mod api;
mod gate;
mod page;
mod server;
mod tls;
mod users;
mod web_config;

use std::io::Write;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot};

use crate::metrics;
use crate::reload::Outcomes;
use crate::tail::Handle;

pub use server::serve;
pub use web_config::{WebConfig, WebConfigError};

/// What the routes answer from.
#[derive(Clone, Debug)]
pub struct Site {
    /// The counts.
    pub handle: Handle,
    /// How the configuration was last read.
    pub outcomes: Outcomes,
    /// Asks for a reload; `None` where reloading over HTTP is not enabled.
    pub reload: Option<Reload>,
}

/// Asks for the configuration to be read again; the answer says whether the new one runs.
pub type Reload = mpsc::Sender<oneshot::Sender<bool>>;

/// Every route that there is.
pub fn router(site: Site) -> Router {
    Router::new()
        .merge(page::routes())
        .merge(api::routes())
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/-/reload", post(reload))
        .with_state(site)
}

async fn metrics_page(State(site): State<Site>, asked: HeaderMap) -> Response {
    let page = match metrics::render(site.handle.publish().await, site.outcomes.latest()) {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(%error, "the page cannot be rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let head = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::VARY, header::ACCEPT_ENCODING.as_str()),
    ];
    match packed(&page, &asked) {
        Some(packed) => (head, [(header::CONTENT_ENCODING, "gzip")], packed).into_response(),
        None => (head, page).into_response(),
    }
}

/// The page as gzip, where the client takes that: a tenth of the bytes, for less time than rendering takes.
fn packed(page: &str, asked: &HeaderMap) -> Option<Vec<u8>> {
    let is_taken = |coding: &str| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && quality.is_ok_and(|quality| quality > 0.0)
    };
    let mut accepted = asked.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    if !accepted.any(|value| value.split(',').any(is_taken)) {
        return None;
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::with_capacity(page.len() / 8), flate2::Compression::fast());
    packer.write_all(page.as_bytes()).and_then(|()| packer.finish()).ok()
}

async fn ready(State(site): State<Site>) -> impl IntoResponse {
    if site.handle.latest().caught_up {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "catching up\n")
    }
}

async fn reload(State(site): State<Site>) -> impl IntoResponse {
    let Some(reload) = site.reload else {
        return (StatusCode::FORBIDDEN, "reloading over HTTP is not enabled: start with --enable-reload\n");
    };
    let (reply, answer) = oneshot::channel();
    // The daemon takes one request at a time; when it is ending it takes none.
    match (reload.try_send(reply), answer.await) {
        (Ok(()), Ok(true)) => (StatusCode::OK, "reloaded\n"),
        (Ok(()), Ok(false)) => (StatusCode::INTERNAL_SERVER_ERROR, "the old configuration is kept: the log says why\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "busy: try again\n"),
    }
}
