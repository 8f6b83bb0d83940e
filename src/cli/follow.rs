//! The default command: follow files or standard input, report matches, serve the page.

use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{CommandFactory, ValueEnum};

use crate::detect::Detector;
use crate::http::{self, WebConfig};
use crate::output::{self, Full, Mode, Row};
use crate::record::Delivery;
use crate::tail::{self, Handle, Input, Plan, Source, StartAt};
use crate::tally::{Series, Tally};

/// Where the page is served unless told otherwise.
pub(super) const DEFAULT: &str = "127.0.0.1:9853";

/// How many addresses after the default one are tried for standard input.
const NEXT: u16 = 100;

/// What to follow, and how to report it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files, directories (their files) and globs to follow; `-` or nothing for standard input
    #[arg(value_name = "PATH|GLOB|-")]
    paths: Vec<String>,
    /// How to print matches [default: pretty on a terminal, json otherwise]
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Where to serve the page, or `none` [default: 127.0.0.1:9853]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// Where to begin in files that are there at the start
    #[arg(long, value_enum, default_value_t = StartAt::End)]
    start_at: StartAt,
    /// A directory that keeps offsets and counts over restarts
    #[arg(long, value_name = "DIR")]
    state: Option<std::path::PathBuf>,
    /// A file with TLS and users for the page, in the format of Prometheus' exporter-toolkit
    #[arg(long, value_name = "FILE")]
    web_config: Option<std::path::PathBuf>,
}

/// How matches are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people, in colour
    Pretty,
    /// One object a line
    Json,
    /// Not at all
    None,
}

/// Where the page is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    /// Nowhere.
    None,
    /// At an address and port.
    At(SocketAddr),
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text {
            "none" => Ok(Listen::None),
            _ => text
                .parse()
                .map(Listen::At)
                .map_err(|_| "give an address and a port, 127.0.0.1:9853, or `none`".to_owned()),
        }
    }
}

/// Follows until standard input ends or a signal comes.
///
/// # Errors
/// A taken port, no input, and those of standard output.
pub fn run(arguments: &Arguments, detector: &Detector) -> anyhow::Result<ExitCode> {
    let mut sources: Vec<Source> = Vec::new();
    for path in &arguments.paths {
        let (name, input) =
            if path == "-" { ("stdin", Input::Stdin) } else { (path.as_str(), Input::Pattern(path.clone())) };
        if sources.iter().all(|source| source.input != input) {
            sources.push(Source { name: name.into(), input });
        }
    }
    if sources.is_empty() {
        if io::stdin().is_terminal() {
            super::Arguments::command().print_help()?;
            return Ok(ExitCode::from(2));
        }
        if is_null(&io::stdin()) {
            bail!("standard input is /dev/null: give a PATH to follow");
        }
        sources.push(Source { name: "stdin".into(), input: Input::Stdin });
    }
    let only_stdin = sources.iter().all(|source| source.input == Input::Stdin);
    // Bound before anything is spawned, so that nothing can fail late.
    let web = arguments.web_config.as_deref().map(WebConfig::open).transpose()?.unwrap_or_default();
    let scheme = if web.is_encrypted() { "https" } else { "http" };
    let listener = bind(arguments.listen, only_stdin, scheme)?;
    let mode = match arguments.output {
        Some(Output::Pretty) => Mode::Pretty,
        Some(Output::Json) => Mode::Json,
        Some(Output::None) => Mode::None,
        None if io::stdout().is_terminal() => Mode::Pretty,
        None => Mode::Json,
    };
    let color = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    // Standard input can wait for a reader; files and scrapes must not.
    let full = if only_stdin { Full::Wait } else { Full::Drop };
    let (mut printer, drain) = output::Output::start(mode, color, full, detector.clone(), io::stdout())?;
    let mut dropping = false;
    let sink = Box::new(move |sighting: &crate::record::Sighting<'_>, now: &jiff::Zoned| {
        let dropped = printer.take(sighting, now)? == Delivery::Dropped;
        if dropped && !dropping {
            tracing::warn!("standard output does not drain: matches are dropped, and still counted");
        }
        dropping = dropped;
        Ok(())
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = Plan { start_at: arguments.start_at, state: arguments.state.clone(), ..Plan::new(sources) };
    let (handle, thread) = tail::start(plan, detector, sink)?;
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let result = thread.join().unwrap_or_else(|_| Err(io::Error::other("the reader failed")));
        let result = result.and_then(|()| drain.finish());
        // Nobody listens once a second signal ended the process.
        drop(ended.send(result));
    });
    let result = runtime.block_on(serve(listener, web, handle.clone(), end));
    if only_stdin {
        let summary = output::table(&rows(&handle.latest().tally), detector.catalog());
        write!(anstream::stderr(), "{summary}")?;
    }
    result?;
    Ok(ExitCode::SUCCESS)
}

/// Serves the page until the reader ended; the first signal asks it to, a second one does not wait for it.
async fn serve(
    listener: Option<TcpListener>,
    web: WebConfig,
    handle: Handle,
    mut end: tokio::sync::oneshot::Receiver<io::Result<()>>,
) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = listener.map(|listener| {
        let router = http::router(http::Site { handle: handle.clone(), reload: None });
        let stopped = async move { drop(stopped.await) };
        tokio::spawn(http::serve(listener, router, web, stopped))
    });
    let mut asked = false;
    let result = loop {
        tokio::select! {
            result = &mut end => break result.unwrap_or(Ok(())),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked {
            return Ok(());
        }
        asked = true;
        let handle = handle.clone();
        // The queue may be full: asking must not hold up a second signal.
        tokio::task::spawn_blocking(move || handle.stop());
    };
    // The page was served to the last count; scrapes that are under way are answered.
    drop(stop);
    if let Some(server) = server {
        server.await.map_err(io::Error::other)??;
    }
    result
}

fn bind(listen: Option<Listen>, only_stdin: bool, scheme: &str) -> anyhow::Result<Option<TcpListener>> {
    let address: SocketAddr = match listen {
        Some(Listen::None) => return Ok(None),
        Some(Listen::At(address)) => address,
        None => DEFAULT.parse()?,
    };
    let listener = match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && listen.is_none() && only_stdin => (1..NEXT)
            .find_map(|n| TcpListener::bind((address.ip(), address.port() + n)).ok())
            .with_context(|| format!("{address} and the ports after it are taken: give one with --listen"))?,
        bound => bound
            .with_context(|| format!("cannot listen on {address}: give another address with --listen, or `none`"))?,
    };
    writeln!(anstream::stderr(), "twdiag: metrics on {scheme}://{}/metrics", listener.local_addr()?)?;
    Ok(Some(listener))
}

/// Whether standard input is `/dev/null`.
fn is_null(stdin: &io::Stdin) -> bool {
    let status = |fd| rustix::fs::fstat(fd).ok().map(|status| status.st_rdev);
    let null = std::fs::File::open("/dev/null").ok();
    let null = null.as_ref().and_then(|null| rustix::fs::fstat(null).ok()).map(|status| status.st_rdev);
    null.is_some() && status(stdin) == null
}

fn rows(tally: &Tally) -> Vec<Row> {
    let mut sums: std::collections::BTreeMap<Series, Row> = std::collections::BTreeMap::new();
    for (series, errors) in tally.sources.values().flat_map(|source| &source.errors) {
        let row = sums.entry(*series).or_insert(Row { series: *series, count: 0, first: None, last: None });
        row.count += errors.total;
        row.last = row.last.max(errors.last_seen);
    }
    sums.into_values().collect()
}
