//! Accepts connections, and bounds how many there are and how long each may take.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::gate::Gate;
use super::web_config::WebConfig;

/// Connections at a time. Prometheus needs one, a browser six; each costs a descriptor and at most some 40 KiB.
const CONNECTIONS: usize = 256;

/// How long a client may take over its TLS handshake and over a request's head. Honest ones take milliseconds.
const HEAD: Duration = Duration::from_secs(10);

/// How long a request may take from its head to the last byte of its answer: a minute-long reload would be odd, and
/// Prometheus gives up after 10 seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a connection is kept between requests: Prometheus asks every minute unless told otherwise.
const IDLE: Duration = Duration::from_secs(150);

/// The bytes of a request's first line and headers. Browsers send every cookie of `localhost`, and little else is long.
const HEAD_SIZE: usize = 16 << 10;

/// Headers of a request.
const HEADERS: usize = 64;

/// How long open requests are answered after the end was asked for.
const GRACE: Duration = Duration::from_secs(1);

/// How long to wait where the system has no descriptor or memory for a connection: accepting again at once would spin.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Serves until `end`, and then answers the requests that are open, for a second at most.
///
/// # Errors
/// None of a client's making: only where the listener cannot be used at all.
pub async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    web: WebConfig,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let gate = Arc::new(Gate::new(router, web));
    let seats = Arc::new(Mutex::new(Seats::new(CONNECTIONS)));
    let (ending, ends) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut exhausted = false;
    let mut end = pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    exhausted = false;
                    if let Some(seat) = Seat::take(&seats, peer.ip()) {
                        connections.spawn(converse(stream, peer, Arc::clone(&gate), seat, ends.clone()));
                    }
                }
                // The client went away before it was let in.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut exhausted, true) {
                        tracing::warn!(%error, "no connection can be accepted: trying again");
                    }
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }
    drop(listener);
    ending.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    // What is not answered by now is cut when the tasks are dropped.
    if timeout(GRACE, all).await.is_err() {
        tracing::debug!("requests were cut at the end");
    }
    Ok(())
}

/// One connection, from its handshake to its end.
async fn converse(stream: TcpStream, peer: SocketAddr, gate: Arc<Gate>, seat: Seat, ends: watch::Receiver<bool>) {
    // An answer is written at once and whole; waiting for more to fill a packet would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone");
        return;
    }
    let watch = Arc::clone(&seat.watch);
    tokio::select! {
        () = watch.over() => {}
        () = async {
            match gate.tls().await {
                None => answer(stream, peer, gate, &watch, ends).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => answer(stream, peer, gate, &watch, ends).await,
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                }
            }
        } => {}
    }
    drop(seat);
}

/// Answers one request after the other.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    gate: Arc<Gate>,
    watch: &Arc<Watch>,
    mut ends: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        watch.enter(Phase::Answering);
        let (gate, watch) = (Arc::clone(&gate), Arc::clone(watch));
        async move {
            let answer = gate.answer(request, peer.ip()).await;
            Ok::<_, std::convert::Infallible>(answer.map(|body| Watched { body, watch }))
        }
    });
    let stream = TokioIo::new(Watched { body: stream, watch: Arc::clone(watch) });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(HEAD_SIZE)
            .max_headers(HEADERS)
            // The watch bounds this time and every other.
            .header_read_timeout(None)
            .serve_connection(stream, service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = async { drop(ends.wait_for(|ending| *ending).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection failed");
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It makes its handshake or sends a request's head.
    Asking,
    /// A request is answered.
    Answering,
    /// The whole answer is written; its last bytes are on their way out.
    Written,
    /// It is open for a next request.
    Idle,
}

impl Phase {
    fn limit(self) -> Duration {
        match self {
            Phase::Asking => HEAD,
            Phase::Answering | Phase::Written => ANSWER,
            Phase::Idle => IDLE,
        }
    }
}

/// The clock of one connection.
#[derive(Debug)]
struct Watch {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    since: Instant,
    deadline: Instant,
    /// Whether it was ended for another one: nothing gives it time again.
    cut: bool,
}

impl Watch {
    fn new() -> Watch {
        let now = Instant::now();
        let state = State { phase: Phase::Asking, since: now, deadline: now + Phase::Asking.limit(), cut: false };
        Watch { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        let since = Instant::now();
        // An answer that is written goes on under the deadline of its request.
        let deadline = if phase == Phase::Written { state.deadline } else { since + phase.limit() };
        let sooner = deadline < state.deadline;
        *state = State { phase, since, deadline, ..*state };
        drop(state);
        if sooner {
            self.changed.notify_one();
        }
    }

    /// Enters a phase where the connection is in another one.
    fn leave(&self, from: Phase, to: Phase) {
        if self.state().phase == from {
            self.enter(to);
        }
    }

    /// Ends the connection now.
    fn cut(&self) {
        self.state().cut = true;
        self.changed.notify_one();
    }

    /// Waits until the time of the connection is over.
    async fn over(&self) {
        loop {
            let State { deadline, cut, .. } = *self.state();
            if cut || deadline <= Instant::now() {
                return;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(deadline) => {}
            }
        }
    }
}

/// The body of an answer, or the stream of a connection, whose progress moves the connection's clock.
struct Watched<B> {
    body: B,
    watch: Arc<Watch>,
}

impl HttpBody for Watched<Body> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) {
            self.watch.leave(Phase::Answering, Phase::Written);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.body.is_end_stream();
        if ended {
            self.watch.leave(Phase::Answering, Phase::Written);
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.body).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.watch.leave(Phase::Idle, Phase::Asking);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.body).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.body).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.watch.leave(Phase::Written, Phase::Idle);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.body).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.body).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.body.is_write_vectored()
    }
}

/// The connections that are open.
#[derive(Debug)]
struct Seats {
    limit: usize,
    next: u64,
    taken: BTreeMap<u64, (IpAddr, Arc<Watch>)>,
    /// Whether connections were closed or refused since there was room again.
    crowded: bool,
}

/// The right to be open.
#[derive(Debug)]
struct Seat {
    number: u64,
    watch: Arc<Watch>,
    seats: Arc<Mutex<Seats>>,
}

impl Seats {
    fn new(limit: usize) -> Seats {
        Seats { limit, next: 0, taken: BTreeMap::new(), crowded: false }
    }

    /// Closes a connection for one from this address; `false` where the newcomer has to go instead.
    ///
    /// First goes the connection that has waited longest for its client. Where all are being answered, the oldest
    /// of the address that has most goes, unless the newcomer comes from there too.
    fn make_room(&mut self, newcomer: IpAddr) -> bool {
        let held = |address: IpAddr| self.taken.values().filter(|(other, _)| *other == address).count();
        let rank = |address: IpAddr, watch: &Watch| {
            let State { phase, since, .. } = *watch.state();
            let waits = matches!(phase, Phase::Asking | Phase::Idle);
            (waits, if waits { 0 } else { held(address) }, std::cmp::Reverse(since))
        };
        let Some((number, waits, most)) = self
            .taken
            .iter()
            .map(|(number, (address, watch))| (rank(*address, watch), *number))
            .max()
            .map(|((waits, most, _), number)| (number, waits, most))
        else {
            return false;
        };
        if !waits && held(newcomer) >= most {
            return false;
        }
        if let Some((_, watch)) = self.taken.remove(&number) {
            watch.cut();
        }
        true
    }
}

impl Seat {
    /// A seat for a connection from this address, where need be another one's.
    fn take(seats: &Arc<Mutex<Seats>>, address: IpAddr) -> Option<Seat> {
        let mut held = seats.lock().unwrap_or_else(PoisonError::into_inner);
        if held.taken.len() >= held.limit {
            if !std::mem::replace(&mut held.crowded, true) {
                tracing::warn!(
                    limit = held.limit,
                    "too many connections: those that wait longest are closed for new ones"
                );
            }
            if !held.make_room(address) {
                return None;
            }
        }
        let (number, watch) = (held.next, Arc::new(Watch::new()));
        held.next += 1;
        held.taken.insert(number, (address, Arc::clone(&watch)));
        drop(held);
        Some(Seat { number, watch, seats: Arc::clone(seats) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.taken.remove(&self.number);
        if seats.crowded && seats.taken.len() <= seats.limit / 2 {
            seats.crowded = false;
            tracing::info!("there is room for connections again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(limit: usize) -> Arc<Mutex<Seats>> {
        Arc::new(Mutex::new(Seats::new(limit)))
    }

    fn is_cut(seat: &Seat) -> bool {
        seat.watch.state().cut
    }

    #[tokio::test]
    async fn the_longest_waiting_connection_makes_room() {
        let seats = seats(3);
        let (here, there): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [10, 0, 0, 1].into());
        let first = Seat::take(&seats, here).unwrap();
        first.watch.enter(Phase::Answering);
        let second = Seat::take(&seats, here).unwrap();
        let third = Seat::take(&seats, here).unwrap();
        third.watch.enter(Phase::Answering);
        let fourth = Seat::take(&seats, here).unwrap();
        assert!(is_cut(&second) && !is_cut(&first) && !is_cut(&third));
        fourth.watch.enter(Phase::Answering);
        assert!(Seat::take(&seats, here).is_none(), "all of one address are being answered");
        let guest = Seat::take(&seats, there).expect("an address that has none is let in");
        assert!(is_cut(&first) && !is_cut(&third));
        drop((second, third, fourth, guest));
        assert!(seats.lock().unwrap().taken.is_empty());
    }

    #[tokio::test]
    async fn a_shorter_deadline_is_noticed() {
        let watch = Watch::new();
        watch.enter(Phase::Idle);
        let begun = Instant::now();
        let (over, ()) = tokio::join!(timeout(IDLE, watch.over()), async { watch.cut() });
        assert!(over.is_ok() && begun.elapsed() < HEAD);
    }

    #[tokio::test]
    async fn every_phase_has_its_deadline() {
        let watch = Watch::new();
        let left = || watch.state().deadline.saturating_duration_since(Instant::now());
        assert!(left() <= HEAD);
        watch.enter(Phase::Answering);
        assert!(left() > HEAD && left() <= ANSWER);
        watch.leave(Phase::Idle, Phase::Asking);
        assert_eq!(watch.state().phase, Phase::Answering, "bytes that come with a request do not end it");
        let deadline = watch.state().deadline;
        watch.leave(Phase::Answering, Phase::Written);
        assert_eq!(watch.state().deadline, deadline, "an answer that nobody reads ends in time");
        watch.leave(Phase::Written, Phase::Idle);
        assert!(left() > ANSWER && left() <= IDLE);
        watch.leave(Phase::Idle, Phase::Asking);
        assert!(left() <= HEAD, "a first byte begins the time for a head");
    }
}
