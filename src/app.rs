//! The daemon: built from a configuration, and run until its input ends or someone ends it.
//!
//! The order of a start is what keeps it from failing late. Signals are listened to first, so that none ends the
//! process the rough way any more. The socket is bound next, because a taken port must not disturb the state of
//! whoever has it; then the process gives up the rights that it does not need, before any thread has them; then the
//! state is opened, which takes the directory for this process; then threads are spawned; and only when all of that
//! holds does anybody learn the address and get an answer from it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Listen, Output, Page};
use crate::detect::Detector;
use crate::http::{self, WebConfig};
use crate::logging::{self, Log};
use crate::output::{self, Full, Mode, Row};
use crate::reload::{Again, Reload};
use crate::signal::{Request, Signals};
use crate::systemd;
use crate::tail::{self, Handle, Sink};
use crate::tally::{Series, Tally};

/// How long past the time to drain the end may take: what was read is still written and the state saved.
const GRACE: Duration = Duration::from_secs(3);

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
pub fn run(config: Config, port: Port, log: Log, again: Again) -> anyhow::Result<ExitCode> {
    let only_stdin = config.reads_only_stdin();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let web = config.page.web_config.as_deref().map(WebConfig::open).transpose()?.unwrap_or_default();
    let listener = bind(config.page.listen, port)?;
    if let Some(state) = &config.plan.state
        && let Err(error) = std::fs::create_dir_all(state)
    {
        // Whoever keeps the state says so, and tries again.
        tracing::debug!(directory = %state.display(), %error, "the state directory cannot be made");
    }
    config.sandbox.clone().with_readable(&web.files()).enforce()?;
    let (sink, drain) = printer(config.output, config.findings, only_stdin, &config.detector)?;
    let (handle, thread) = tail::start(config.plan.clone(), &config.detector, sink)?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("end".into()).spawn(move || {
        let result = thread.join().unwrap_or_else(|_| Err(io::Error::other("the reader failed")));
        let result = result.and_then(|()| drain.finish());
        // Nobody listens once a second signal ended the process.
        drop(ended.send(result));
    })?;
    let catalog = Arc::clone(config.detector.catalog());
    let reload = Reload::new(&config, again, log, handle.clone());
    let daemon = Daemon { signals, handle: handle.clone(), reload, page: config.page };
    let result = runtime.block_on(daemon.serve(listener, web, end));
    // A second signal does not wait for what hangs.
    runtime.shutdown_background();
    // Counts that were cut off, or that nobody waits for, are no summary.
    if only_stdin && matches!(result, Ok(Ended::InOrder)) {
        let summary = output::table(&rows(&handle.latest().tally), &catalog);
        write!(anstream::stderr(), "{summary}")?;
    }
    result?;
    Ok(ExitCode::SUCCESS)
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Everything that was read is counted and written.
    InOrder,
    /// Something did not come to its end in time, or was not waited for.
    AtOnce,
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

/// What answers while the reader reads.
struct Daemon {
    signals: Signals,
    handle: Handle,
    reload: Reload,
    page: Page,
}

impl Daemon {
    /// Serves the page until the reader ended and whoever wanted one more look had it.
    async fn serve(
        mut self,
        listener: Option<TcpListener>,
        web: WebConfig,
        mut end: oneshot::Receiver<io::Result<()>>,
    ) -> io::Result<Ended> {
        let (stop_serving, stopped) = oneshot::channel::<()>();
        let (ask, mut asked) = mpsc::channel(1);
        let server = match listener {
            Some(listener) => {
                let scheme = if web.is_encrypted() { "https" } else { "http" };
                tracing::info!("metrics on {scheme}://{}/metrics", listener.local_addr()?);
                let site = http::Site {
                    handle: self.handle.clone(),
                    outcomes: self.reload.outcomes(),
                    reload: self.page.enable_reload.then(|| ask.clone()),
                };
                let stopped = async move { drop(stopped.await) };
                Some(tokio::spawn(http::serve(listener, http::router(site), web, stopped)))
            }
            None => None,
        };
        systemd::ready();
        let watchdog = tokio::spawn(systemd::watch(self.handle.clone()));
        let result = loop {
            tokio::select! {
                result = &mut end => {
                    self.linger().await;
                    break result.unwrap_or(Ok(()));
                }
                request = self.signals.next() => match request {
                    Request::Stop(name) => match self.stop(name, end).await {
                        Some(result) => break result,
                        None => return Ok(Ended::AtOnce),
                    },
                    Request::Reload => {
                        self.reload.run("SIGHUP").await;
                    }
                    Request::Dump => self.dump().await?,
                },
                () = self.reload.watch.changed() => {
                    self.reload.run("a change of its files").await;
                }
                Some(reply) = asked.recv() => {
                    let is_successful = self.reload.run("POST /-/reload").await;
                    if reply.send(is_successful).is_err() {
                        tracing::debug!("whoever asked for the reload went away");
                    }
                }
            }
        };
        watchdog.abort();
        // The page was served to the last count; scrapes that are under way are answered.
        drop(stop_serving);
        if let Some(server) = server {
            server.await.map_err(io::Error::other)??;
        }
        result.map(|()| Ended::InOrder)
    }

    /// Keeps the page there after the end of the input, for one more scrape.
    async fn linger(&mut self) {
        let time = self.reload.times.linger;
        if time.is_zero() || self.page.listen == Listen::None {
            return;
        }
        tracing::info!(seconds = time.as_secs_f64(), "standard input ended: the page is still served");
        let mut over = pin!(tokio::time::sleep(time));
        loop {
            tokio::select! {
                () = &mut over => return,
                request = self.signals.next() => if let Request::Stop(_) = request { return },
            }
        }
    }

    /// Lets the reader read what is there, for as long as it may: `None` where it took longer, or where a second signal
    /// did not wait for it.
    async fn stop(&mut self, name: &'static str, mut end: oneshot::Receiver<io::Result<()>>) -> Option<io::Result<()>> {
        systemd::stopping();
        tracing::info!(signal = name, "asked to end: reading what is there; a second signal ends at once");
        self.handle.stop();
        let mut over = pin!(tokio::time::sleep(self.reload.times.drain.saturating_add(GRACE)));
        loop {
            tokio::select! {
                () = &mut over => {
                    tracing::warn!("ended by the time to drain: what was not committed is read again at the next start");
                    return None;
                }
                result = &mut end => {
                    tracing::info!("ended in good order");
                    return Some(result.unwrap_or(Ok(())));
                }
                request = self.signals.next() => if let Request::Stop(name) = request {
                    tracing::warn!(signal = name, "ended at once by a second signal: what was not committed is read again at the next start");
                    return None;
                }
            }
        }
    }

    /// Writes what is known of sources, files and rules to the log, as one object.
    async fn dump(&self) -> io::Result<()> {
        let snapshot = self.handle.publish().await;
        let files = self.handle.files().await;
        let sources = snapshot.gauges.iter().map(|(name, gauges)| {
            let tally = snapshot.tally.sources.get(name);
            let of_source = files.iter().filter(|file| file.source == *name).map(|file| {
                serde_json::json!({
                    "path": file.path.to_string_lossy(),
                    "offset": file.cursor.offset,
                    "size": file.size,
                    "place": format!("{:?}", file.place).to_lowercase(),
                })
            });
            serde_json::json!({
                "name": &**name,
                "files": of_source.collect::<Vec<_>>(),
                "lag_bytes": gauges.lag_bytes,
                "read_bytes": tally.map_or(0, |tally| tally.read_bytes),
                "read_lines": tally.map_or(0, |tally| tally.read_lines),
                "errors": tally.map_or(0, |tally| tally.errors.values().map(|errors| errors.total).sum()),
            })
        });
        let outcome = self.reload.outcomes().latest();
        logging::object(serde_json::json!({
            "timestamp": jiff::Timestamp::now().to_string(),
            "level": "INFO",
            "message": "the state, asked for by SIGUSR1",
            "target": module_path!(),
            "caught_up": snapshot.caught_up,
            "sources": sources.collect::<Vec<_>>(),
            "state": {
                "writes": snapshot.state.writes,
                "write_errors": snapshot.state.write_errors,
                "failing": snapshot.state.failing,
            },
            "rejected": snapshot.tally.rejected.iter().map(|(rule, count)| (rule.to_string(), *count)).collect::<BTreeMap<_, _>>(),
            "codes": snapshot.catalog.entries().len(),
            "configuration": {
                "last_reload_successful": outcome.is_successful,
                "last_success": outcome.last_success.to_string(),
            },
        }))
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
