//! Every query of the dashboards and every alert, asked of a real Prometheus that scrapes the example.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, read};
use std::io::Write;

use promql_parser::parser::{self, Expr, LabelModifier, VectorMatchCardinality};
use serde_json::Value;

use crate::binary::expected;
use crate::dashboards::{dashboards, queries, selectors};
use crate::program::{LOG, Serving};
use crate::prometheus::Prometheus;

/// What returns nothing after the example, and why.
const EMPTY: &[(&str, &str)] = &[
    ("Twilio voice errors / Findings", "the example's records are older than the windows of the findings"),
    ("Twilio voice errors / Calls affected by category", "the example's records are older than an hour"),
    ("twdiag / Rotations", "nothing is rotated"),
    ("alert TwilioMediaFailureShare", "the example has more of other errors"),
    ("alert TwilioMediaFailures", "the example has fewer than twenty"),
    ("alert TwilioSignalingFailures", "the example has fewer than ten"),
    ("alert TwilioRegistrationFailures", "the example has fewer than five"),
    ("alert TwilioServerErrors", "the example has fewer than five"),
    ("alert TwdiagAbsent", "twdiag is there"),
    ("alert TwdiagInputSilent", "the example was just read"),
    ("alert TwdiagLagging", "all of it was read"),
    ("alert TwdiagLosingBytes", "nothing was lost"),
    ("alert TwdiagStateNotWritten", "the state is written"),
    ("alert TwdiagReloadFailed", "no reload failed"),
];

/// The labels that queries name, beside those of matchers.
fn grouped(expression: &Expr, labels: &mut BTreeSet<String>) {
    let mut add = |modifier: &Option<LabelModifier>| {
        if let Some(LabelModifier::Include(named) | LabelModifier::Exclude(named)) = modifier {
            labels.extend(named.labels.iter().cloned());
        }
    };
    match expression {
        Expr::Aggregate(aggregate) => {
            add(&aggregate.modifier);
            grouped(&aggregate.expr, labels);
        }
        Expr::Binary(binary) => {
            if let Some(modifier) = &binary.modifier {
                add(&modifier.matching);
                if let VectorMatchCardinality::ManyToOne(named) | VectorMatchCardinality::OneToMany(named) =
                    &modifier.card
                {
                    labels.extend(named.labels.iter().cloned());
                }
            }
            grouped(&binary.lhs, labels);
            grouped(&binary.rhs, labels);
        }
        Expr::Unary(unary) => grouped(&unary.expr, labels),
        Expr::Paren(paren) => grouped(&paren.expr, labels),
        Expr::Subquery(subquery) => grouped(&subquery.expr, labels),
        Expr::Call(call) => call.args.args.iter().for_each(|argument| grouped(argument, labels)),
        _ => {}
    }
}

/// The labels of each metric that Prometheus has.
fn series(prometheus: &Prometheus) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let Value::Array(all) = prometheus.api("series", &[("match[]", "{job=~'.+'}")]) else { panic!("a list") };
    for labels in all {
        let labels = labels.as_object().unwrap();
        metrics.entry(labels["__name__"].as_str().unwrap().to_owned()).or_default().extend(labels.keys().cloned());
    }
    metrics
}

/// Panics over a metric that is not there, or a label that none of the query's metrics has.
fn check_names(place: &str, expression: &str, metrics: &BTreeMap<String, BTreeSet<String>>) {
    let parsed = parser::parse(expression).unwrap_or_else(|error| panic!("{place}: {error}: {expression}"));
    let (mut named, mut known) = (BTreeSet::new(), BTreeSet::new());
    selectors(&parsed, None, &mut |selector, _, _| {
        let name = selector.name.as_deref().unwrap_or_default();
        let Some(labels) = metrics.get(name) else { panic!("{place}: no metric {name} is there: {expression}") };
        for matcher in &selector.matchers.matchers {
            assert!(labels.contains(&matcher.name), "{place}: {name} has no label {}: {expression}", matcher.name);
        }
        known.extend(labels.iter().cloned());
    });
    grouped(&parsed, &mut named);
    // Those that a cluster adds.
    known.extend(["node", "pod"].map(str::to_owned));
    for label in named {
        assert!(known.contains(&label), "{place}: no metric has a label {label}: {expression}");
    }
}

#[test]
fn every_query_returns_data_or_has_a_reason_not_to() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("voice.log");
    let mut file = File::create(&log).unwrap();
    let state = directory.path().join("state");
    let serving = Serving::start(&[log.to_str().unwrap(), "--state", state.to_str().unwrap()]);
    // The application's start is that of any process.
    let Some(prometheus) = Prometheus::start(&format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ['{{manifest}}/deploy/prometheus/rules.yml', '{{manifest}}/deploy/prometheus/alerts.yml']
scrape_configs:
  - job_name: twdiag
    static_configs: [{{targets: ['{0}']}}]
  - job_name: voice-backend
    static_configs: [{{targets: ['{0}']}}]
    metric_relabel_configs: [{{source_labels: [__name__], regex: process_.*, action: keep}}]
",
        serving.address
    )) else {
        return;
    };
    // Zeros first, then the errors: what Prometheus sees is an increase.
    prometheus.wait_for("sum(twilio_errors_total) == 0 and on () process_start_time_seconds{job='voice-backend'}");
    file.write_all(&read(LOG).unwrap()).unwrap();
    let categories: BTreeMap<String, u64> = serde_json::from_value(expected()["categories"].clone()).unwrap();
    let total = categories.values().sum::<u64>();
    prometheus.wait_for(&format!("sum(code:twilio_errors:sum) == {total}"));
    // The last of its group: all others were asked for before.
    prometheus.wait_for("ALERTS{alertname='TwilioCodeNewAfterStart', alertstate='firing'}");
    for (category, errors) in categories {
        prometheus.wait_for(&format!("sum(twilio_errors_total{{category='{category}'}}) == {errors}"));
    }

    let rules = prometheus.api("rules", &[]);
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let (alerts, records): (Vec<&Value>, Vec<&Value>) = rules.partition(|rule| rule["type"] == "alerting");
    let of_rule = |rule: &Value, kind: &str| {
        let text = |field: &str| rule[field].as_str().unwrap().to_owned();
        (format!("{kind} {}", text("name")), text("query"))
    };
    let mut all: Vec<(String, String)> = records.iter().map(|rule| of_rule(rule, "record")).collect();
    all.extend(alerts.iter().map(|rule| of_rule(rule, "alert")));
    all.extend(dashboards().iter().flat_map(queries).map(|query| (query.place, query.expression)));

    let mut metrics = series(&prometheus);
    for rule in &records {
        let mut labels = metrics["twilio_errors_total"].clone();
        labels.remove("source");
        metrics.insert(rule["name"].as_str().unwrap().to_owned(), labels);
    }
    metrics.insert("up".to_owned(), ["job", "instance"].map(str::to_owned).into());
    let mut wrong = Vec::new();
    for (place, expression) in &all {
        check_names(place, expression, &metrics);
        let reason = EMPTY.iter().find(|(empty, _)| empty == place).map(|(_, reason)| *reason);
        let found = prometheus.settled(expression, reason.is_none());
        println!("{found:>4} series  {place}{}", reason.map_or(String::new(), |reason| format!(" (empty: {reason})")));
        println!("             {}", expression.split_whitespace().collect::<Vec<_>>().join(" "));
        if (found == 0) != reason.is_some() {
            wrong.push(format!("{found} series: {place}: {expression}"));
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
    for (empty, _) in EMPTY {
        assert!(all.iter().any(|(place, _)| place == empty), "{empty} is no query");
    }

    check_texts(&alerts);
}

/// What an alert says once it fires is whole, and in the catalogue's words.
fn check_texts(alerts: &[&Value]) {
    let mut said = String::new();
    for alert in alerts {
        assert!(matches!(alert["labels"]["severity"].as_str(), Some("warning" | "critical")), "{alert}");
        for firing in alert["alerts"].as_array().unwrap() {
            let annotations = &firing["annotations"];
            for name in ["summary", "description", "runbook_url"] {
                let text = annotations[name].as_str().unwrap_or_default();
                assert!(
                    !text.is_empty() && !text.contains("error expanding") && !text.contains("<no value>"),
                    "{firing}"
                );
            }
            said += annotations["description"].as_str().unwrap();
            assert_ne!(firing["labels"]["category"], "call", "how calls end never alerts");
        }
    }
    println!("{said}");
    for text in [
        " in the last ten minutes: https://www.twilio.com/docs/errors/20104\n\
         Access token expired or expiration date invalid\nThe Access Token provided to the Twilio API has expired,",
        "- Ensure message send rate does not exceed authorized limits.",
    ] {
        assert!(said.contains(text), "{text}");
    }
}
