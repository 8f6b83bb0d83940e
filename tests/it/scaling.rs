//! The figures of `docs/scaling.md` that everything else there is computed from.

use super::program::Serving;

/// The value of a row of the page's tables.
fn written(page: &str, figure: &str) -> f64 {
    let row = page.lines().find(|line| line.starts_with(&format!("| {figure} |"))).unwrap();
    row.split('|').nth(2).unwrap().trim().parse().unwrap()
}

/// A scrape of a program that follows this many files, each a source.
fn scrape(sources: usize) -> String {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<String> =
        (0..sources).map(|n| directory.path().join(format!("{n}.log")).display().to_string()).collect();
    let state = directory.path().join("state");
    let mut arguments = vec!["--state", state.to_str().unwrap()];
    arguments.extend(paths.iter().map(String::as_str));
    let answer = Serving::start(&arguments).get("/metrics");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_node_costs_what_the_page_says() {
    let page = std::fs::read_to_string("docs/scaling.md").unwrap();
    let series = |scrape: &str| scrape.lines().filter(|line| !line.starts_with('#')).count() as f64;
    let (one, two) = (scrape(1), scrape(2));
    for (figure, value) in [
        ("series with one source", series(&one)),
        ("further series for each further source", series(&two) - series(&one)),
        ("bytes of a scrape", one.len() as f64),
    ] {
        let said = written(&page, figure);
        assert!((said - value).abs() <= said / 10.0, "{figure}: {value}, and docs/scaling.md says {said}");
    }
}
