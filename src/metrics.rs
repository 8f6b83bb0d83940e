//! The page for Prometheus: a published snapshot in the text format.

use std::collections::BTreeSet;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::catalog::Category;
use crate::diagnose::{View, WINDOWS};

use crate::reload::Outcome;
use crate::tail::{Labels, Snapshot, StateHealth, WRITE_BUCKETS};
use crate::tally::{Label, Rotation, Series};

/// Renders a snapshot, with how the configuration was last read and with the figures of the process.
///
/// # Errors
/// Those of the encoder.
pub fn render(snapshot: Arc<Snapshot>, reload: Outcome) -> prometheus::Result<String> {
    let process = prometheus::process_collector::ProcessCollector::for_self();
    let figures = [
        (
            "twdiag_config_last_reload_successful",
            "Whether the configuration could be used when it was last read.",
            f64::from(u8::from(reload.is_successful)),
        ),
        (
            "twdiag_config_last_reload_success_timestamp_seconds",
            "When the configuration that runs was read.",
            reload.last_success.as_millisecond() as f64 / 1000.0,
        ),
    ];
    let mut families = Vec::new();
    for (name, help, value) in figures {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        families.extend(gauge.collect());
    }
    families.extend(process.collect());
    let now = TextEncoder::new().encode_to_string(&diagnosis(&snapshot.seen)?)?;
    Ok(render_counts(snapshot)? + &now + &TextEncoder::new().encode_to_string(&families)?)
}

/// Renders the counts alone: in a page that another exporter serves, `process_*` is that exporter's, and a page that
/// is written once knows no present.
///
/// # Errors
/// Those of the encoder.
pub fn render_counts(snapshot: Arc<Snapshot>) -> prometheus::Result<String> {
    let registry = Registry::new();
    registry.register(Box::new(Published(snapshot)))?;
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// A snapshot as a collector: its figures are set on fresh metrics, so that nothing live can be shown by accident.
struct Published(Arc<Snapshot>);

impl Collector for Published {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        collect(&self.0).expect("names and labels are constant and valid")
    }
}

/// What is wrong now.
fn diagnosis(view: &View) -> prometheus::Result<Vec<MetricFamily>> {
    let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
    let active =
        gauge("twdiag_finding_active", "Whether a diagnosis holds now; each is explained on the page.", &["finding"])?;
    for rule in view.rules.all() {
        active.with_label_values(&[&rule.id]).set(0);
    }
    for finding in view.active() {
        active.with_label_values(&[&finding.id]).set(1);
    }
    let calls =
        gauge("twilio_error_calls", "Distinct calls affected within the window, estimated.", &["category", "window"])?;
    for ((window, _), of_window) in WINDOWS.iter().zip(&view.calls) {
        for (category, count) in Category::ALL.into_iter().zip(of_window) {
            calls.with_label_values(&[category.name(), window]).set(count.cast_signed());
        }
    }
    Ok([active, calls].iter().flat_map(Collector::collect).collect())
}

fn collect(snapshot: &Snapshot) -> prometheus::Result<Vec<MetricFamily>> {
    let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
    let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
    let errors =
        counter("twilio_errors_total", "Twilio errors that the logs report.", &["category", "code", "source"])?;
    let known =
        gauge("twilio_error_info", "What each code is; always 1.", &["code", "category", "group", "family", "name"])?;
    let last_seen = GaugeVec::new(
        Opts::new(
            "twilio_error_last_seen_timestamp_seconds",
            "When the error was last reported, by its record's time.",
        ),
        &["category", "code", "source"],
    )?;
    let read_bytes = counter("twdiag_read_bytes_total", "Bytes of logs judged.", &["source"])?;
    let read_lines = counter("twdiag_read_lines_total", "Lines of logs judged.", &["source"])?;
    let lag = gauge("twdiag_source_lag_bytes", "Bytes of logs that are not judged yet.", &["source"])?;
    let files = gauge("twdiag_source_files", "Files followed.", &["source"])?;
    let rejected = counter(
        "twdiag_rejected_numbers_total",
        "Numbers that might have been codes and were rejected, by the rule that did so.",
        &["rule"],
    )?;
    let rotations = counter("twdiag_rotations_total", "Rotations of followed files, by kind.", &["source", "kind"])?;
    let truncated = counter("twdiag_truncated_lines_total", "Lines past the line limit.", &["source"])?;
    let read_errors = counter("twdiag_read_errors_total", "Files that became unreadable.", &["source"])?;
    let lost = counter("twdiag_lost_bytes_total", "Bytes that a rotation destroyed unread.", &["source"])?;
    let deleted = gauge("twdiag_deleted_open_bytes", "Bytes of deleted files that are still held open.", &["source"])?;
    let dropped =
        counter("twdiag_dropped_matches_total", "Matches that a slow reader of the output lost.", &["source"])?;
    let state = [
        ("twdiag_state_writes_total", "Commits of the state file.", snapshot.state.writes),
        ("twdiag_state_write_errors_total", "Commits of the state file that failed.", snapshot.state.write_errors),
        ("twdiag_state_resets_total", "Times the counts began again at zero.", snapshot.state.resets),
    ];
    let build = gauge("twdiag_build_info", "The running version; always 1.", &["version"])?;

    let catalog = &snapshot.catalog;
    let mut shown: BTreeSet<Series> = catalog
        .entries()
        .iter()
        .map(|entry| Series { category: entry.category, code: Label::Code(entry.code) })
        .collect();
    shown.insert(Series { category: Category::Uncatalogued, code: Label::Other });
    let code_of = |series: &Series| match series.code {
        Label::Code(code) => code.to_string(),
        Label::Other => "other".to_owned(),
    };
    for source in snapshot.gauges.keys() {
        for series in &shown {
            errors.with_label_values(&[series.category.name(), &code_of(series), source]);
        }
    }
    rejected.with_label_values(&["none"]);
    for (source, tally) in &snapshot.tally.sources {
        for (series, count) in &tally.errors {
            let labels = [series.category.name(), &code_of(series), source];
            errors.with_label_values(&labels).inc_by(count.total);
            if let Some(time) = count.last_seen {
                last_seen.with_label_values(&labels).set(time.as_millisecond() as f64 / 1000.0);
            }
            shown.insert(*series);
        }
        read_bytes.with_label_values(&[source]).inc_by(tally.read_bytes);
        read_lines.with_label_values(&[source]).inc_by(tally.read_lines);
        lost.with_label_values(&[source]).inc_by(tally.lost_bytes);
        truncated.with_label_values(&[source]).inc_by(tally.truncated_lines);
        read_errors.with_label_values(&[source]).inc_by(tally.read_errors);
        for (kind, count) in Rotation::ALL.into_iter().zip(tally.rotations) {
            rotations.with_label_values(&[source, kind.name()]).inc_by(count);
        }
    }
    for series in &shown {
        let entry = match series.code {
            Label::Code(code) => catalog.get(code),
            Label::Other => None,
        };
        let [group, family, name] =
            entry.map_or(["", "", ""], |entry| [&entry.group, &entry.family, &entry.name].map(String::as_str));
        known.with_label_values(&[code_of(series).as_str(), series.category.name(), group, family, name]).set(1);
    }
    for (source, gauges) in &snapshot.gauges {
        lag.with_label_values(&[source]).set(gauges.lag_bytes.cast_signed());
        files.with_label_values(&[source]).set(gauges.files.cast_signed());
        deleted.with_label_values(&[source]).set(gauges.deleted_open_bytes.cast_signed());
        dropped.with_label_values(&[source]).inc_by(gauges.dropped_matches);
    }
    for (rule, count) in &snapshot.tally.rejected {
        rejected.with_label_values(&[rule]).inc_by(*count);
    }
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);

    let counters = [errors, read_bytes, read_lines, rejected, rotations, lost, truncated, read_errors, dropped];
    let mut families: Vec<MetricFamily> = counters.iter().flat_map(Collector::collect).collect();
    families.extend([known, lag, files, deleted, build].iter().flat_map(Collector::collect));
    families.extend(last_seen.collect());
    for (name, help, count) in state {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(count);
        families.extend(counter.collect());
    }
    families.push(write_seconds(&snapshot.state));
    families.retain(|family| !family.get_metric().is_empty());
    label(&mut families, &snapshot.labels);
    Ok(families)
}

/// Gives every series of a source the labels that the configuration gives the source.
fn label(families: &mut [MetricFamily], labels: &Labels) {
    if labels.names.is_empty() {
        return;
    }
    let none = Vec::new();
    for metric in families.iter_mut().flat_map(|family| family.mut_metric()) {
        let mut pairs = metric.take_label();
        if let Some(source) = pairs.iter().find(|pair| pair.name() == "source") {
            let values = labels.of.get(source.value()).unwrap_or(&none);
            for (at, name) in labels.names.iter().enumerate() {
                let mut pair = LabelPair::default();
                pair.set_name(name.clone());
                pair.set_value(values.get(at).cloned().unwrap_or_default());
                pairs.push(pair);
            }
            pairs.sort();
        }
        metric.set_label(pairs);
    }
}

/// How long commits of the state file took.
fn write_seconds(state: &StateHealth) -> MetricFamily {
    let mut histogram = Histogram::default();
    histogram.set_sample_count(state.writes);
    histogram.set_sample_sum(state.write_seconds);
    let buckets = WRITE_BUCKETS.into_iter().zip(state.write_buckets).map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    histogram.set_bucket(buckets.collect());
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    let mut family = MetricFamily::default();
    family.set_name("twdiag_state_write_seconds".to_owned());
    family.set_help("How long commits of the state file took.".to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(vec![metric]);
    family
}
