//! What each code means: the embedded catalogue and the files layered over it.

use std::fmt;
use std::str::FromStr;

use crate::record::Code;

/// The operational category of a code: the `category` label, a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Tokens, keys and permissions.
    Auth,
    /// Rates and sizes past what the account allows.
    Limit,
    /// Audio, codecs, ICE and DTLS.
    Media,
    /// The connection to Twilio's edge.
    Signaling,
    /// Registration for incoming calls.
    Registration,
    /// Requests that Twilio refuses as sent.
    Request,
    /// Failures on Twilio's side or on the way to it.
    Server,
    /// How calls end: busy, declined, cancelled. Counted, never alarming.
    Call,
    /// Errors without a narrower meaning.
    General,
    /// Twilio codes that the catalogue lacks.
    Uncatalogued,
}

impl Category {
    /// Every category, in the order of tables and pages.
    pub const ALL: [Category; 10] = [
        Category::Auth,
        Category::Limit,
        Category::Media,
        Category::Signaling,
        Category::Registration,
        Category::Request,
        Category::Server,
        Category::Call,
        Category::General,
        Category::Uncatalogued,
    ];

    /// The value of the `category` label.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Auth => "auth",
            Category::Limit => "limit",
            Category::Media => "media",
            Category::Signaling => "signaling",
            Category::Registration => "registration",
            Category::Request => "request",
            Category::Server => "server",
            Category::Call => "call",
            Category::General => "general",
            Category::Uncatalogued => "uncatalogued",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Category {
    type Err = ();

    fn from_str(name: &str) -> Result<Category, ()> {
        Category::ALL.into_iter().find(|category| category.name() == name).ok_or(())
    }
}

/// What the catalogue says about one code. A field that its source leaves empty is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// Its operational category.
    pub category: Category,
    /// The family's name, without its numeric prefix.
    pub family: String,
    /// The group's name, without its numeric prefix.
    pub group: String,
    /// The short description.
    pub name: String,
    /// What it means.
    pub explanation: String,
    /// Possible causes; they need not pair with the solutions.
    pub causes: Vec<String>,
    /// Possible solutions.
    pub solutions: Vec<String>,
    /// The address of the page about it.
    pub docs: String,
}

/// All known codes, embedded and layered.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Ascending by code.
    entries: Vec<Entry>,
    /// By number: the index into `entries` plus one, 0 where there is none. 200 KB that make a look-up one load.
    index: Box<[u16]>,
}

impl Catalog {
    /// The catalogue compiled into the binary.
    pub fn embedded() -> Catalog {
        Catalog::from_entries(Vec::new())
    }

    fn from_entries(mut entries: Vec<Entry>) -> Catalog {
        entries.sort_by_key(|entry| entry.code);
        let mut index = vec![0u16; 100_000].into_boxed_slice();
        for (position, entry) in entries.iter().enumerate() {
            index[entry.code.get() as usize] = position as u16 + 1;
        }
        Catalog { entries, index }
    }

    /// What is known about a code.
    pub fn get(&self, code: Code) -> Option<&Entry> {
        let position = self.index[code.get() as usize] as usize;
        if position == 0 { None } else { Some(&self.entries[position - 1]) }
    }

    /// The category of a code; `Uncatalogued` where the catalogue lacks it.
    pub fn category(&self, code: Code) -> Category {
        self.get(code).map_or(Category::Uncatalogued, |entry| entry.category)
    }

    /// Every entry, ascending by code.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
