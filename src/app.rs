//! The daemon: built from a configuration, and run until its input ends or someone ends it.
//!
//! The order of a start is what keeps it from failing late. Signals are listened to first, so that none ends the
//! process the rough way any more. The socket is bound next, because a taken port must not disturb the state of
//! whoever has it; then the state is opened, which takes the directory for this process; then threads are spawned;
//! and only when all of that holds does anybody learn the address and get an answer from it.

use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

use crate::config::{Config, Listen, Output, Page};
use crate::detect::Detector;
use crate::http::{self, WebConfig};
use crate::output::{self, Full, Mode, Row};
use crate::sandbox::Sandbox;
use crate::signal::{Request, Signals};
use crate::systemd;
use crate::tail::{self, Handle, Input, Plan, Sink};
use crate::tally::{Series, Tally};

/// How many ports after the one that is taken are tried where any will do.
const NEXT: u16 = 100;

/// Whether the page must be served where it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// There or not at all.
    Fixed,
    /// At a port after it where it is taken.
    NextFree,
}

/// Runs until standard input ends, where that is all there is to read, or until a signal comes.
///
/// # Errors
/// A taken port, a state directory in use, and those of standard output.
pub fn run(config: Config, port: Port) -> anyhow::Result<ExitCode> {
    let Config { detector, plan, page, output, findings, .. } = config;
    let only_stdin = plan.sources.iter().all(|source| source.input == Input::Stdin);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let web = page.web_config.as_deref().map(WebConfig::open).transpose()?.unwrap_or_default();
    let listener = bind(page.listen, port)?;
    confine(&plan)?;
    let (sink, drain) = printer(output, findings, only_stdin, &detector)?;
    let (handle, thread) = tail::start(plan, &detector, sink)?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("end".into()).spawn(move || {
        let result = thread.join().unwrap_or_else(|_| Err(io::Error::other("the reader failed")));
        let result = result.and_then(|()| drain.finish());
        // Nobody listens once a second signal ended the process.
        drop(ended.send(result));
    })?;
    let result = runtime.block_on(serve(signals, listener, web, &page, handle.clone(), end));
    // A second signal does not wait for what hangs.
    runtime.shutdown_background();
    if only_stdin {
        let summary = output::table(&rows(&handle.latest().tally), detector.catalog());
        write!(anstream::stderr(), "{summary}")?;
    }
    result?;
    Ok(ExitCode::SUCCESS)
}

/// Gives up the rights that nothing needs from here on: threads that start later have no more than this one.
fn confine(plan: &Plan) -> anyhow::Result<()> {
    if let Some(state) = &plan.state
        && let Err(error) = std::fs::create_dir_all(state)
    {
        // Tried again at every commit; said when the state is opened.
        tracing::debug!(%error, "the state directory cannot be made now");
    }
    let sandbox = Sandbox { write: plan.state.iter().cloned().collect(), read: None };
    sandbox.enforce().context("the sandbox cannot be set up")?;
    Ok(())
}

/// Takes the port.
fn bind(listen: Listen, port: Port) -> anyhow::Result<Option<TcpListener>> {
    let Listen::At(address) = listen else { return Ok(None) };
    let listener = match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && port == Port::NextFree => (1..NEXT)
            .find_map(|n| TcpListener::bind((address.ip(), address.port().checked_add(n)?)).ok())
            .with_context(|| format!("{address} and the ports after it are taken: give one with --listen"))?,
        bound => bound
            .with_context(|| format!("cannot listen on {address}: give another address with --listen, or `none`"))?,
    };
    Ok(Some(listener))
}

/// What takes the matches, and what waits for them to be written.
fn printer(
    output: Output,
    findings: bool,
    only_stdin: bool,
    detector: &Detector,
) -> io::Result<(Box<dyn Sink>, output::Drain)> {
    let mode = match output {
        Output::Pretty => Mode::Pretty,
        Output::Json => Mode::Json,
        Output::None => Mode::None,
        Output::Auto if io::stdout().is_terminal() => Mode::Pretty,
        Output::Auto => Mode::Json,
    };
    let color = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    // Standard input can wait for a reader; files and scrapes must not.
    let full = if only_stdin { Full::Wait } else { Full::Drop };
    let (sink, drain) = output::Output::start(mode, color, full, detector.clone(), io::stdout())?;
    Ok((Box::new(if findings { sink.with_findings() } else { sink }), drain))
}

/// Serves the page until the reader ended and whoever wanted one more look had it.
async fn serve(
    mut signals: Signals,
    listener: Option<TcpListener>,
    web: WebConfig,
    page: &Page,
    handle: Handle,
    mut end: oneshot::Receiver<io::Result<()>>,
) -> io::Result<()> {
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let mut server = None;
    if let Some(listener) = listener {
        let scheme = if web.is_encrypted() { "https" } else { "http" };
        tracing::info!("metrics on {scheme}://{}/metrics", listener.local_addr()?);
        let router = http::router(http::Site { handle: handle.clone(), reload: None });
        let stopped = async move { drop(stopped.await) };
        server = Some(tokio::spawn(http::serve(listener, router, web, stopped)));
    }
    tokio::spawn(systemd::watch(handle.clone()));
    systemd::ready();
    let result = loop {
        tokio::select! {
            result = &mut end => {
                linger(page.linger, &mut signals).await;
                break result.unwrap_or(Ok(()));
            }
            request = signals.next() => match request {
                Request::Stop(name) => match stop(name, &handle, &mut signals, end).await {
                    Some(result) => break result,
                    None => return Ok(()),
                },
                Request::Reload => tracing::warn!("the configuration cannot be read again yet"),
                Request::Dump => tracing::warn!("the state cannot be written to the log yet"),
            }
        }
    };
    // The page was served to the last count; scrapes that are under way are answered.
    drop(stop_serving);
    if let Some(server) = server {
        server.await.map_err(io::Error::other)??;
    }
    result
}

/// Keeps the page there after the end of the input, for one more scrape.
async fn linger(time: Duration, signals: &mut Signals) {
    if time == Duration::ZERO {
        return;
    }
    tracing::info!(seconds = time.as_secs_f64(), "standard input ended: the page is still served");
    let over = tokio::time::sleep(time);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            request = signals.next() => if let Request::Stop(_) = request { return },
        }
    }
}

/// Lets the reader read what is there, for as long as it may. A second signal does not wait for it: `None`.
async fn stop(
    name: &'static str,
    handle: &Handle,
    signals: &mut Signals,
    mut end: oneshot::Receiver<io::Result<()>>,
) -> Option<io::Result<()>> {
    tracing::info!(signal = name, "asked to end: reading what is there; a second signal ends at once");
    systemd::stopping();
    handle.stop();
    loop {
        tokio::select! {
            result = &mut end => {
                tracing::info!("ended in good order");
                return Some(result.unwrap_or(Ok(())));
            }
            request = signals.next() => if let Request::Stop(name) = request {
                tracing::warn!(signal = name, "ended at once by a second signal: what was not committed is read again at the next start");
                return None;
            }
        }
    }
}

/// The counts of all sources as rows of the summary.
fn rows(tally: &Tally) -> Vec<Row> {
    let mut sums: std::collections::BTreeMap<Series, Row> = std::collections::BTreeMap::new();
    for (series, errors) in tally.sources.values().flat_map(|source| &source.errors) {
        let row = sums.entry(*series).or_insert(Row { series: *series, count: 0, first: None, last: None });
        row.count += errors.total;
        row.last = row.last.max(errors.last_seen);
    }
    sums.into_values().collect()
}
