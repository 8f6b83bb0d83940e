//! What a person reads in a browser: the parts that the status page and the report of a scan are made of.
//!
//! A page is one file without anything from outside. Every text is escaped by the templates; the policy of the page
//! names its one style and its one script by their hashes, so that nothing else can run.

mod chart;
mod parts;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use chart::bars;
pub use parts::{Explained, affected, categories, clock, count, explained, finding, grouped, record, size, when};

/// How every page looks.
const STYLE: &str = include_str!("style.css");

/// What brings the status page up to date.
const SCRIPT: &str = include_str!("refresh.js");

/// The content security policy of the status page; one without network is `policy_of_a_file`.
pub static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// The policy of a page that is a file: nothing runs and nothing is fetched.
fn policy_of_a_file() -> String {
    format!("default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'", hash(STYLE))
}

fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest))
}

/// A page that is served and keeps itself up to date. `main` is replaced by it; `bar` stays.
pub fn live(title: &str, main: &Markup) -> String {
    let bar = html! {
        p #state role="status" { "as of when the page was loaded" }
        button #pause type="button" hidden { "Pause" }
    };
    document(title, &html! {}, &bar, main, &html! { script { (PreEscaped(SCRIPT)) } })
}

/// A page that is a file.
pub fn file(title: &str, main: &Markup) -> String {
    let policy = html! { meta http-equiv="Content-Security-Policy" content=(policy_of_a_file()); };
    document(title, &policy, &html! {}, main, &html! {})
}

fn document(title: &str, policy: &Markup, bar: &Markup, main: &Markup, script: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                (policy)
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { div .brand { "twdiag" } (bar) }
                main { (main) }
                (script)
            }
        }
    };
    page.into_string()
}
