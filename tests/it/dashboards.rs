//! The dashboards as data: the rules of Grafana's dashboard-linter, and ours.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::time::Duration;

use promql_parser::parser::{self, Expr, VectorSelector};
use serde_json::Value;
use twdiag::catalog::Catalog;

use crate::kept::{assert_current, filled};

/// What stands in place of Grafana's variables when a query is parsed or run.
const VARIABLES: [(&str, &str); 4] =
    [("$__rate_interval", "61s"), ("$__range", "5m"), ("$job", "twdiag"), ("$instance", ".+")];

/// The units of Grafana that the dashboards use.
const UNITS: [&str; 11] =
    ["short", "none", "string", "cpm", "ops", "percentunit", "bytes", "Bps", "s", "dateTimeFromNow", "bool_yes_no"];

/// One query of one dashboard.
pub(crate) struct Query {
    /// Dashboard and panel.
    pub(crate) place: String,
    /// As Grafana would send it.
    pub(crate) expression: String,
}

pub(crate) fn dashboards() -> [Value; 2] {
    ["twilio-voice-errors", "twdiag"].map(|name| {
        let text = read_to_string(format!("deploy/grafana/{name}.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    })
}

/// Every query of a dashboard, those of its annotations and variables too.
pub(crate) fn queries(dashboard: &Value) -> Vec<Query> {
    let panels = panels(dashboard);
    let targets = panels.iter().flat_map(|panel| {
        list(&panel["targets"]).iter().map(|target| (text(&panel["title"]), text(&target["expr"]).to_owned()))
    });
    let annotations = list(&dashboard["annotations"]["list"]);
    let annotations =
        annotations.iter().map(|annotation| (text(&annotation["name"]), text(&annotation["expr"]).to_owned()));
    let variables = list(&dashboard["templating"]["list"]).iter().filter_map(|variable| {
        let selected = variable["query"]["query"].as_str()?;
        let (selector, _) = selected.strip_prefix("label_values(")?.rsplit_once(", ")?;
        Some((text(&variable["label"]), selector.to_owned()))
    });
    let title = text(&dashboard["title"]);
    let filled_in = |(place, expression): (&str, String)| Query {
        place: format!("{title} / {place}"),
        expression: VARIABLES
            .iter()
            .chain(&[("$application", "voice-backend")])
            .fold(expression, |text, (name, value)| text.replace(name, value)),
    };
    targets.chain(annotations).chain(variables).map(filled_in).collect()
}

/// Calls `visit` for each selector of series, with its range and the function that gets that range.
pub(crate) fn selectors<'a>(
    expression: &'a Expr,
    function: Option<&'a str>,
    visit: &mut impl FnMut(&'a VectorSelector, Option<Duration>, Option<&'a str>),
) {
    match expression {
        Expr::VectorSelector(selector) => visit(selector, None, None),
        Expr::MatrixSelector(matrix) => visit(&matrix.vs, Some(matrix.range), function),
        Expr::Aggregate(aggregate) => selectors(&aggregate.expr, None, visit),
        Expr::Unary(unary) => selectors(&unary.expr, None, visit),
        Expr::Paren(paren) => selectors(&paren.expr, None, visit),
        Expr::Subquery(subquery) => selectors(&subquery.expr, None, visit),
        Expr::Binary(binary) => {
            selectors(&binary.lhs, None, visit);
            selectors(&binary.rhs, None, visit);
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                selectors(argument, Some(call.func.name), visit);
            }
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Every panel that is no row.
fn panels(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row").collect()
}

/// What is wrong with a dashboard.
fn complaints(dashboard: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |holds: bool, complaint: String| {
        if !holds {
            wrong.push(complaint);
        }
    };
    let by_variable = |value: &Value| text(&value["datasource"]["uid"]) == "${datasource}";
    expect(dashboard["editable"] == false, "it is provisioned and must not be editable".to_owned());
    expect(text(&dashboard["uid"]).len() > 3, "it has no stable uid".to_owned());
    for absent in ["__inputs", "__requires", "style", "id", "version"] {
        expect(dashboard[absent].is_null(), format!("it must not have {absent}"));
    }
    let variables = list(&dashboard["templating"]["list"]);
    let variable = |name: &str| variables.iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null);
    let datasource = variable("datasource");
    expect(datasource["type"] == "datasource" && datasource["query"] == "prometheus", "no data source".to_owned());
    expect(datasource["label"] == "Data source", "the data source needs its label".to_owned());
    for (name, label) in [("job", "Job"), ("instance", "Instance")] {
        let variable = variable(name);
        expect(variable["type"] == "query" && variable["multi"] == true, format!("{name} selects several"));
        expect(variable["label"] == label && variable["allValue"] == ".+", format!("{name} has a label, all is .+"));
    }
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        expect(variable["refresh"] == 2 && by_variable(variable), format!("{} is not refreshed", variable["name"]));
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        expect(by_variable(annotation), format!("{} has a data source of its own", annotation["name"]));
    }
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let title = text(&panel["title"]);
        expect(ids.insert(panel["id"].as_u64()), format!("{title} has the id of another panel"));
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            expect(x < 24, format!("{title} is wider than the page"));
            for y in place("y")..place("y") + place("h") {
                expect(taken.insert((x, y)), format!("{title} lies over another panel"));
            }
        }
    }
    for panel in panels(dashboard) {
        let title = text(&panel["title"]);
        expect(!title.is_empty() && text(&panel["description"]).len() > 10, format!("{title} has no description"));
        expect(by_variable(panel), format!("{title} has a data source of its own"));
        let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
        expect(UNITS.contains(&unit), format!("{title} has the unit {unit:?}"));
        expect(!list(&panel["targets"]).is_empty(), format!("{title} has no query"));
        let colors = panel["fieldConfig"].to_string();
        expect(!colors.contains("\"#") && !colors.contains("rgb"), format!("{title} has a colour of one theme"));
        for target in list(&panel["targets"]) {
            let written = text(&target["expr"]);
            expect(by_variable(target), format!("{title} has a query with a data source of its own"));
            let sent = VARIABLES.iter().fold(written.to_owned(), |text, (name, value)| text.replace(name, value));
            let parsed = match parser::parse(&sent) {
                Ok(parsed) => parsed,
                Err(error) => {
                    expect(false, format!("{title}: {error}: {written}"));
                    continue;
                }
            };
            selectors(&parsed, None, &mut |selector, range, function| {
                let name = selector.name.as_deref().unwrap_or_default();
                for (label, value) in [("job", "twdiag"), ("instance", ".+")] {
                    let matches =
                        |matcher: &promql_parser::label::Matcher| matcher.name == label && matcher.value == value;
                    let chosen = selector.matchers.matchers.iter().any(matches);
                    expect(chosen, format!("{title}: {name} is not chosen by {label}"));
                }
                if matches!(function, Some("rate" | "irate")) {
                    let right = range == Some(Duration::from_secs(61));
                    expect(right, format!("{title}: the range of {name} is not $__rate_interval"));
                }
                if name.ends_with("_total") || name.ends_with("_bucket") {
                    let right = matches!(function, Some("rate" | "irate" | "increase"));
                    expect(right, format!("{title}: the counter {name} is used without rate or increase"));
                }
            });
        }
    }
    wrong
}

#[test]
fn dashboards_obey_the_rules() {
    for dashboard in dashboards() {
        assert_eq!(complaints(&dashboard), [] as [String; 0], "{}", dashboard["title"]);
    }
}

#[test]
fn the_rules_see_what_is_wrong() {
    let [good, _] = dashboards();
    let panel = |pointer: &str, value: Value| {
        let mut dashboard = good.clone();
        let position = list(&good["panels"]).iter().position(|panel| panel["type"] == "timeseries").unwrap();
        *dashboard.pointer_mut(&format!("/panels/{position}{pointer}")).unwrap() = value;
        complaints(&dashboard)
    };
    let query = |expression: &str| panel("/targets/0/expr", expression.into());
    for (wrong, expected) in [
        (panel("/gridPos/x", 0.into()), "lies over another"),
        (panel("/description", "".into()), "no description"),
        (panel("/fieldConfig/defaults/unit", "errors".into()), "has the unit"),
        (panel("/datasource/uid", "abc".into()), "a data source of its own"),
        (query("sum(rate(twilio_errors_total[$__rate_interval]))"), "not chosen by job"),
        (query(r#"rate(twilio_errors_total{job=~"$job", instance=~"$instance"}[5m])"#), "not $__rate_interval"),
        (query(r#"sum(twilio_errors_total{job=~"$job", instance=~"$instance"})"#), "without rate or increase"),
        (query("sum(rate("), "sum(rate("),
    ] {
        assert!(wrong.iter().any(|complaint| complaint.contains(expected)), "{expected}: {wrong:?}");
    }
}

#[test]
fn a_dashboard_shows_what_the_catalogue_says() {
    const PATH: &str = "deploy/grafana/twilio-voice-errors.json";
    let catalog = Catalog::embedded();
    let meanings: Vec<String> = catalog
        .entries()
        .iter()
        .filter(|entry| !entry.explanation.is_empty())
        .map(|entry| {
            format!("  \"{}\": {{\"text\": {}}}", entry.code, serde_json::to_string(&entry.explanation).unwrap())
        })
        .collect();
    let kept = read_to_string(PATH).unwrap();
    let made = filled(&kept, r#"{"type": "value", "options": {"#, "}}", |_| meanings.join(",\n"));
    assert_current(PATH, &made);
}
