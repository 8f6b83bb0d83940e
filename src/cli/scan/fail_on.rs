//! `--fail-on`: what must not be found.

use std::str::FromStr;

use crate::catalog::Category;
use crate::diagnose::Term;
use crate::problem::suggestion;
use crate::record::Code;

/// A category or a code, and how often it must be found for the scan to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    term: Term,
    least: u64,
}

impl Gate {
    /// Whether it is found often enough among these codes.
    pub(super) fn fails(&self, found: impl Iterator<Item = (Code, Category, u64)>) -> bool {
        let ours = found.filter(|(code, category, _)| match self.term {
            Term::Code(of) => of == *code,
            Term::Category(of) => of == *category,
        });
        ours.map(|(.., count)| count).sum::<u64>() >= self.least
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Gate, String> {
        let (name, least) = text.split_once(':').unwrap_or((text, "1"));
        let least = least.parse().ok().filter(|least| *least > 0);
        let least = least.ok_or_else(|| format!("`{text}` has no number after its colon: write `{name}:5`"))?;
        if let Some(code) = name.parse().ok().and_then(Code::new) {
            return Ok(Gate { term: Term::Code(code), least });
        }
        let names = Category::ALL.map(Category::name);
        let help = || match suggestion(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("give a code of five digits, or one of {}", names.join(", ")),
        };
        let category = name.parse().map_err(|()| format!("`{name}` is neither a category nor a code: {}", help()))?;
        Ok(Gate { term: Term::Category(category), least })
    }
}
