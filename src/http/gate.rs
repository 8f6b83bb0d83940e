//! What a request must be before it reaches a route, and what every answer bears.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

use super::web_config::{Loaded, WebConfig};

/// Requests of one address in a second, once its burst is spent. A scrape commits the state; nobody needs more.
const RATE: u32 = 100;

/// Requests that an address may send at once.
const BURST: u32 = 200;

/// How long a request that comes too early is held back before it is refused.
const PATIENCE: Duration = Duration::from_secs(1);

/// Addresses whose rate is known at a time; more share one rate.
const ADDRESSES: usize = 4096;

/// The paths that are answered without a password: a probe has none, and they tell nothing.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// The only path that may be posted to.
const RELOAD: &str = "/-/reload";

/// What every answer bears, unless the route or the web configuration says otherwise.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("deny")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Stands before the routes.
#[derive(Debug)]
pub(super) struct Gate {
    routes: TowerToHyperService<Router>,
    web: WebConfig,
    rates: Mutex<Rates>,
}

impl Gate {
    pub(super) fn new(router: Router, web: WebConfig) -> Gate {
        Gate { routes: TowerToHyperService::new(router), web, rates: Mutex::default() }
    }

    /// How a new connection is encrypted; `None` where it is not.
    pub(super) async fn tls(&self) -> Option<TlsAcceptor> {
        self.web.current().await.tls.clone().map(TlsAcceptor::from)
    }

    /// Answers a request. Nothing of it stands in a refusal.
    pub(super) async fn answer(&self, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
        let loaded = self.web.current().await;
        let is_head = request.method() == Method::HEAD;
        let mut answer = match self.admit(&request, &loaded, address).await {
            Ok(()) => {
                // No route takes a body.
                let Ok(answer) = self.routes.call(request.map(|_| Body::empty())).await;
                answer
            }
            Err(refusal) if is_head => refusal.map(|_| Body::empty()),
            Err(refusal) => *refusal,
        };
        let headers = answer.headers_mut();
        for (name, value) in HEADERS {
            headers.entry(name).or_insert(value);
        }
        for (name, value) in &loaded.headers {
            headers.insert(name, value.clone());
        }
        answer
    }

    async fn admit(
        &self,
        request: &Request<Incoming>,
        loaded: &Loaded,
        address: IpAddr,
    ) -> Result<(), Box<Response<Body>>> {
        let refuse = |status: StatusCode, text: &'static str| Err(Box::new((status, text).into_response()));
        let due = self.rates.lock().unwrap_or_else(PoisonError::into_inner).take(address, Instant::now());
        let Some(due) = due.filter(|_| loaded.allow(Instant::now())) else {
            let headers = [(header::RETRY_AFTER, "1")];
            return Err(Box::new((StatusCode::TOO_MANY_REQUESTS, headers, "too many requests\n").into_response()));
        };
        if due > Instant::now() {
            sleep_until(due).await;
        }
        if !request.body().is_end_stream() {
            let headers = [(header::CONNECTION, "close")];
            let text = "a request has no body here\n";
            return Err(Box::new((StatusCode::PAYLOAD_TOO_LARGE, headers, text).into_response()));
        }
        let path = request.uri().path();
        let allowed = if path == RELOAD { "POST" } else { "GET, HEAD" };
        let fits = match *request.method() {
            Method::GET | Method::HEAD => path != RELOAD,
            Method::POST => path == RELOAD,
            _ => false,
        };
        if !fits {
            let headers = [(header::ALLOW, allowed)];
            return Err(Box::new((StatusCode::METHOD_NOT_ALLOWED, headers, "not allowed\n").into_response()));
        }
        if !OPEN.contains(&path)
            && let Some(users) = &loaded.users
        {
            match users.admit(request.headers().get(header::AUTHORIZATION)).await {
                Ok(true) => {}
                Ok(false) => {
                    let headers = [(header::WWW_AUTHENTICATE, "Basic realm=\"twdiag\", charset=\"UTF-8\"")];
                    return Err(Box::new((StatusCode::UNAUTHORIZED, headers, "unauthorized\n").into_response()));
                }
                Err(()) => return refuse(StatusCode::SERVICE_UNAVAILABLE, "busy: try again\n"),
            }
        }
        if path == RELOAD && is_foreign(request.headers()) {
            return refuse(StatusCode::FORBIDDEN, "another site's page may not reload this\n");
        }
        Ok(())
    }
}

/// Whether a browser says that the page of another site sends the request.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    match site {
        Some(site) => site != b"same-origin" && site != b"none",
        // Browsers that do not say so name the page's origin at least.
        None => headers.contains_key(header::ORIGIN),
    }
}

/// When each address may send its next request.
#[derive(Debug, Default)]
struct Rates {
    next: HashMap<IpAddr, Instant>,
}

impl Rates {
    /// When the request may be answered; `None` where that is too late.
    fn take(&mut self, address: IpAddr, now: Instant) -> Option<Instant> {
        let mut address = network(address);
        if self.next.len() >= ADDRESSES && !self.next.contains_key(&address) {
            // An address whose time is past has its whole burst again, as one that is not known.
            self.next.retain(|_, next| *next > now);
            if self.next.len() >= ADDRESSES {
                address = Ipv6Addr::UNSPECIFIED.into();
            }
        }
        let next = self.next.entry(address).or_insert(now);
        let spent = (*next).max(now) + Duration::from_secs(1) / RATE;
        let due = spent.checked_sub(BURST * (Duration::from_secs(1) / RATE)).unwrap_or(now).max(now);
        (due <= now + PATIENCE).then(|| {
            *next = spent;
            due
        })
    }
}

/// What one client may have many of: an IPv6 network of 64 bits counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_held_back_and_then_refused() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let here: IpAddr = [127, 0, 0, 1].into();
        for _ in 0..BURST {
            assert_eq!(rates.take(here, now), Some(now));
        }
        let mut held = 0;
        while let Some(due) = rates.take(here, now) {
            assert!(due > now && due <= now + PATIENCE);
            held += 1;
        }
        assert_eq!(held, RATE);
        assert_eq!(rates.take([10, 0, 0, 1].into(), now), Some(now), "others are not");
        let later = now + Duration::from_secs(3600);
        for _ in 0..BURST {
            assert_eq!(rates.take(here, later), Some(later));
        }
    }

    #[tokio::test]
    async fn addresses_without_number_share_a_rate() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        for n in 0..100_000u32 {
            rates.take(std::net::Ipv4Addr::from_bits(n + 1).into(), now);
        }
        assert!(rates.next.len() <= ADDRESSES + 1);
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::ffff:1:2:3".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn a_page_of_another_site_is_foreign() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        assert!(is_foreign(&headers("sec-fetch-site", "cross-site")));
        assert!(is_foreign(&headers("sec-fetch-site", "same-site")));
        assert!(is_foreign(&headers("origin", "https://evil.example")));
        assert!(!is_foreign(&headers("sec-fetch-site", "same-origin")));
        assert!(!is_foreign(&HeaderMap::new()));
    }
}
