//! What a Prometheus makes of the page.

use std::collections::BTreeMap;

use crate::binary::expected;
use crate::program::{LOG, Serving};
use crate::prometheus::Prometheus;

/// Scrapes this twdiag ten times a second.
fn scraping(serving: &Serving) -> Option<Prometheus> {
    Prometheus::start(&format!(
        "global: {{scrape_interval: 100ms}}\n\
         scrape_configs: [{{job_name: twdiag, static_configs: [{{targets: ['{}']}}]}}]\n",
        serving.address
    ))
}

#[test]
fn a_prometheus_sees_the_example_exactly() {
    let categories: BTreeMap<String, u64> = serde_json::from_value(expected()["categories"].clone()).unwrap();
    let serving = Serving::start(&[LOG, "--start-at", "beginning"]);
    serving.wait_for(categories.values().sum());
    let Some(prometheus) = scraping(&serving) else { return };
    prometheus.wait_for("twilio_errors_total");
    for (category, errors) in categories {
        let sum = prometheus.sum(&format!("sum(twilio_errors_total{{category='{category}'}})"));
        assert_eq!(sum, errors as f64, "{category}");
    }
}
