//! What each code means: the embedded catalogue and the files layered over it.

mod dictionary;
mod own;
mod voice_errors;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize, Serializer};

use crate::problem::{Problem, Problems};
use crate::record::Code;

/// Codes that one sentence names.
const NAMED: usize = 5;

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

impl Serialize for Category {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// By number: a bit, set where there is an entry. 12.5 KB that stay in the first cache where most numbers are none.
    known: Box<[u64]>,
}

/// What a layered file changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layered {
    /// Codes that were not known before.
    pub added: usize,
    /// Codes that were known and are now described by the file.
    pub replaced: usize,
    /// Where the file and what was known disagree. The file won.
    pub conflicts: Vec<Conflict>,
}

impl Layered {
    /// What the file and what was known disagree about, after the file's name in one sentence; `None` where they agree.
    pub fn disagreement(&self) -> Option<String> {
        let fields: BTreeSet<&str> = self.conflicts.iter().map(|conflict| conflict.field).collect();
        let codes: BTreeSet<Code> = self.conflicts.iter().map(|conflict| conflict.code).collect();
        let fields: Vec<&str> = fields.into_iter().collect();
        let named: Vec<String> = codes.iter().take(NAMED).map(Code::to_string).collect();
        let more = match codes.len() - named.len() {
            0 if named.is_empty() => return None,
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (fields, named) = (fields.join(", "), named.join(", "));
        Some(format!("says another {fields} of {named}{more}, which holds now"))
    }
}

/// A code that two catalogues describe differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The code.
    pub code: Code,
    /// The field, as `explain --format json` names it.
    pub field: &'static str,
    /// What was known.
    pub before: String,
    /// What the file says.
    pub after: String,
}

/// What a file says about one code; the category may be left to what is known.
struct Described {
    entry: Entry,
    category: Option<Category>,
    /// Where in the file, in bytes.
    span: Range<usize>,
}

impl Catalog {
    /// The catalogue compiled into the binary.
    pub fn embedded() -> Catalog {
        let mut catalog = Catalog {
            entries: Vec::new(),
            index: vec![0; 100_000].into_boxed_slice(),
            known: vec![0; 100_000_usize.div_ceil(64)].into_boxed_slice(),
        };
        if let Err(problems) = catalog.layer("rules/catalog.toml", include_str!("../../rules/catalog.toml")) {
            panic!("the embedded catalogue is tested: {problems}");
        }
        catalog
    }

    /// Lays a file over what is known: twdiag's own TOML, the JSON of `@twilio/voice-errors`, or Twilio's full
    /// dictionary, told apart by what is in it. `path` names the file in messages.
    ///
    /// # Errors
    /// Every problem of the file with its place; nothing is changed then.
    pub fn layer(&mut self, path: &str, text: &str) -> Result<Layered, Problems> {
        let file = File { path, text: text.into() };
        let described = match text.trim_start().as_bytes().first() {
            Some(b'[' | b'{') if !text.trim_start().starts_with("[[") => json(&file)?,
            _ => own::read(&file)?,
        };
        let mut problems = Vec::new();
        let mut seen = vec![false; 100_000];
        for Described { entry, span, .. } in &described {
            if std::mem::replace(&mut seen[entry.code.get() as usize], true) {
                let message = format!("code {} is described twice in this file", entry.code);
                problems.push(file.problem(span.clone(), message, "keep one of the two"));
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let mut layered = Layered::default();
        for Described { mut entry, category, .. } in described {
            let known = self.get(entry.code);
            entry.category = category.or(known.map(|known| known.category)).unwrap_or_else(|| derived(entry.code));
            match known {
                Some(known) => {
                    layered.conflicts.extend(conflicts(known, &entry));
                    layered.replaced += 1;
                    let position = self.index[entry.code.get() as usize] as usize - 1;
                    self.entries[position] = entry;
                }
                None => {
                    layered.added += 1;
                    self.entries.push(entry);
                    let last = self.entries.len() - 1;
                    self.index[self.entries[last].code.get() as usize] = last as u16 + 1;
                }
            }
        }
        self.entries.sort_by_key(|entry| entry.code);
        for (position, entry) in self.entries.iter().enumerate() {
            self.index[entry.code.get() as usize] = position as u16 + 1;
            self.known[entry.code.get() as usize / 64] |= 1 << (entry.code.get() % 64);
        }
        Ok(layered)
    }

    /// Whether there is an entry for a code.
    #[inline]
    pub fn knows(&self, code: Code) -> bool {
        self.known[code.get() as usize / 64] >> (code.get() % 64) & 1 == 1
    }

    /// Gives a code another category; one that is not known stays so.
    pub fn recategorise(&mut self, code: Code, category: Category) {
        let position = self.index[code.get() as usize] as usize;
        if position > 0 {
            self.entries[position - 1].category = category;
        }
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

    /// Up to `count` known codes that an unknown one may have been meant for: a digit mistyped or two swapped
    /// first, then its neighbours in the same hundred.
    pub fn nearest(&self, code: Code, count: usize) -> Vec<&Entry> {
        let digits = code.get().to_string().into_bytes();
        let distance = |entry: &Entry| {
            let other = entry.code.get().to_string().into_bytes();
            let wrong: Vec<usize> = (0..5).filter(|&i| digits[i] != other[i]).collect();
            let swapped =
                wrong.len() == 2 && digits[wrong[0]] == other[wrong[1]] && digits[wrong[1]] == other[wrong[0]];
            let apart = entry.code.get().abs_diff(code.get());
            let typed = wrong.len() == 1 || swapped;
            let near = entry.code.get() / 100 == code.get() / 100;
            (typed || near).then_some((!typed, apart))
        };
        let mut near: Vec<_> = self.entries.iter().filter_map(|entry| Some((distance(entry)?, entry))).collect();
        near.sort_by_key(|(distance, _)| *distance);
        near.into_iter().take(count).map(|(_, entry)| entry).collect()
    }
}

/// Where what is known and what a file says disagree.
fn conflicts(known: &Entry, new: &Entry) -> Vec<Conflict> {
    let fields = [
        ("category", known.category.name().to_owned(), new.category.name().to_owned()),
        ("name", known.name.clone(), new.name.clone()),
        ("explanation", known.explanation.clone(), new.explanation.clone()),
        ("causes", known.causes.join("; "), new.causes.join("; ")),
        ("solutions", known.solutions.join("; "), new.solutions.join("; ")),
    ];
    fields
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(field, before, after)| Conflict { code: new.code, field, before, after })
        .collect()
}

/// The category of a code that no file names one for, from `rules/categories.toml`.
fn derived(code: Code) -> Category {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ranges {
        range: Vec<Span>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Span {
        codes: (u32, u32),
        category: String,
    }
    static RANGES: LazyLock<Vec<(u32, u32, Category)>> = LazyLock::new(|| {
        let ranges: Ranges =
            toml::from_str(include_str!("../../rules/categories.toml")).expect("the embedded mapping is tested");
        let known = |name: &str| name.parse().expect("the embedded mapping is tested");
        ranges.range.iter().map(|range| (range.codes.0, range.codes.1, known(&range.category))).collect()
    });
    RANGES
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&code.get()))
        .map_or(Category::General, |(_, _, category)| *category)
}

/// A catalogue file that is being read.
struct File<'a> {
    path: &'a str,
    text: Arc<str>,
}

impl File<'_> {
    fn problem(&self, span: Range<usize>, message: String, help: &str) -> Problem {
        let (path, text) = (self.path.to_owned(), Arc::clone(&self.text));
        Problem { path, text, span, message, help: Some(help.to_owned()) }
    }

    /// The code with this number, or what is wrong with it.
    fn code(&self, number: i64, span: Range<usize>) -> Result<Code, Problem> {
        u32::try_from(number).ok().and_then(Code::new).ok_or_else(|| {
            self.problem(span, format!("{number} is no error code"), "codes have five digits, 10000 to 99999")
        })
    }
}

const FORMATS: &str = "a catalogue is twdiag's own TOML ([[code]] tables), the JSON of @twilio/voice-errors, or Twilio's \
                       twilio-error-codes.json";

/// Reads one of the two JSON formats.
fn json(file: &File<'_>) -> Result<Vec<Described>, Problems> {
    let value: serde_json::Value = serde_json::from_str(&file.text).map_err(|error| {
        let line_start: usize = file.text.split_inclusive('\n').take(error.line().max(1) - 1).map(str::len).sum();
        let at = (line_start + error.column().max(1) - 1).min(file.text.len());
        let message = format!("this is no JSON: {}", error.to_string().split(" at line ").next().unwrap_or_default());
        Problems(vec![file.problem(at..at + 1, message, FORMATS)])
    })?;
    let first = value.as_array().map_or(Some(&value), |array| array.first());
    match first {
        Some(object) if object.get("subclasses").is_some() => voice_errors::read(file, &value),
        Some(object) if object.get("code").is_some() && object.get("message").is_some() => {
            dictionary::read(file, &value)
        }
        _ => Err(Problems(vec![file.problem(0..1, "this JSON is no catalogue".to_owned(), FORMATS)])),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_refused(text: &str, expected: &[&str]) {
        let mut catalog = Catalog::embedded();
        let shown = catalog.layer("my.file", text).unwrap_err().to_string();
        for part in expected {
            assert!(shown.contains(part), "{shown}");
        }
        assert_eq!(catalog.entries(), Catalog::embedded().entries(), "a refused file changes nothing");
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        check_refused("hello\n", &["my.file:1:6", "hello"]);
        check_refused("[1, 2]", &["my.file:1:1", "this JSON is no catalogue", "twilio-error-codes.json"]);
        check_refused("{\n  \"code\": 31,\n  oops\n}", &["my.file:3:3", "this is no JSON"]);
        check_refused("[[code]]\ncode = 31\nname = \"x\"\n", &["my.file:2:8", "31 is no error code"]);
        check_refused(
            "[[code]]\ncode = 31005\ncategory = \"medium\"\nname = \"x\"\n",
            &["my.file:3:12", "did you mean `media`"],
        );
        check_refused("[[code]]\ncode = 31005\nnmae = \"x\"\n", &["my.file:3:1", "did you mean `name`"]);
        let twice = "[[code]]\ncode = 31005\nname = \"x\"\n[[code]]\ncode = 31005\nname = \"y\"\n";
        check_refused(twice, &["my.file:5:8", "code 31005 is described twice"]);
        check_refused(r#"[{"code": 7, "message": "x"}]"#, &["7 is no error code"]);
        check_refused(
            r#"[{"code": 31, "class": "Voice", "subclasses": [{"code": 0}]}]"#,
            &["my.file:1:1", "subclasses[0]"],
        );
    }

    #[test]
    fn layers_its_own_format() {
        let mut catalog = Catalog::embedded();
        let text =
            "[[code]]\ncode = 31005\ncategory = \"media\"\nname = \"Mine\"\n\n[[code]]\ncode = 64999\nname = \"New\"\n";
        let layered = catalog.layer("my.toml", text).unwrap();
        assert_eq!((layered.added, layered.replaced), (1, 1));
        let code = |number| Code::new(number).unwrap();
        assert_eq!(catalog.get(code(31005)).unwrap().name, "Mine");
        assert_eq!(catalog.category(code(31005)), Category::Media);
        assert_eq!(catalog.category(code(64999)), Category::General);
        assert_eq!(catalog.category(code(31009)), Category::Signaling);
        assert!(
            layered.conflicts.iter().any(|c| c.field == "name" && c.before == "Connection error" && c.after == "Mine")
        );
        let again = catalog.layer("my.toml", text).unwrap();
        assert_eq!(again.conflicts, []);
    }

    #[test]
    fn layers_the_npm_package() {
        let mut catalog = Catalog::embedded();
        let text = r#"[{"code": 31, "class": "Voice", "subclasses": [{"code": 2, "class": "Authorization", "errors": [
            {"code": 9, "name": "PayloadSizeExceededError", "description": "Other words", "explanation": "e", "causes": ["c"]},
            {"code": 7, "name": "JWTTokenExpirationTooLongError", "description": "New", "explanation": ""}]},
            {"class": "General", "errors": [{"code": 5, "name": "ConnectionError", "description": "Without a group code"}]}]}]"#;
        let layered = catalog.layer("errors.json", text).unwrap();
        assert_eq!((layered.added, layered.replaced), (1, 2));
        assert_eq!(catalog.get(Code::new(31005).unwrap()).unwrap().name, "Without a group code");
        let conflict = layered.conflicts.iter().find(|conflict| conflict.field == "name").unwrap();
        assert_eq!((conflict.code.get(), conflict.after.as_str()), (31209, "Other words"));
        let entry = catalog.get(Code::new(31209).unwrap()).unwrap();
        assert_eq!(
            (entry.category, entry.group.as_str(), entry.family.as_str()),
            (Category::Limit, "Authorization Errors", "Voice Errors")
        );
        assert_eq!(catalog.category(Code::new(31207).unwrap()), Category::Auth);
    }

    #[test]
    fn a_refused_object_is_shown_where_it_stands() {
        let text = "[{\"code\": 11200, \"message\": \"as \\\"code: 123, but\"},\n {\"code\": 123, \"message\": \"x\"}]";
        check_refused(text, &["my.file:2:11"]);
    }

    #[test]
    fn layers_the_full_dictionary() {
        let mut catalog = Catalog::embedded();
        let text = r#"[
            {"code": 11200, "message": "HTTP retrieval failure", "log_level": "ERROR", "log_type": "APPLICATION", "secondary_message": null,
             "description": "There was a failure.", "causes": "- Web server down\n- Firewall\n", "solutions": "Check it.\n\nThen again.", "product": "Programmable Voice", "docs": null},
            {"code": 53405, "message": "Media connection failed", "description": null, "causes": null, "solutions": null, "product": null, "docs": "https://x"}]"#;
        let layered = catalog.layer("twilio-error-codes.json", text).unwrap();
        assert_eq!((layered.added, layered.replaced), (1, 1));
        let entry = catalog.get(Code::new(11200).unwrap()).unwrap();
        assert_eq!(entry.category, Category::Server);
        assert_eq!(entry.causes, ["Web server down", "Firewall"]);
        assert_eq!(entry.solutions, ["Check it.", "Then again."]);
        assert_eq!(entry.docs, "https://www.twilio.com/docs/errors/11200");
        assert_eq!(catalog.get(Code::new(53405).unwrap()).unwrap().docs, "https://x");
        assert_eq!(catalog.category(Code::new(53405).unwrap()), Category::Media);
    }

    #[test]
    fn names_near_codes() {
        let catalog = Catalog::embedded();
        let near =
            |number| catalog.nearest(Code::new(number).unwrap(), 3).iter().map(|e| e.code.get()).collect::<Vec<_>>();
        assert_eq!(near(35405), [53405], "two digits swapped");
        assert_eq!(near(53406), [53405, 53407, 53404]);
        assert_eq!(near(99999), [] as [u32; 0]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[\\[\\]{}\"a-z0-9:=,\n ]{0,80}") {
            let mut catalog = Catalog::embedded();
            if catalog.layer("x", &text).is_err() {
                prop_assert_eq!(catalog.entries().len(), 54);
            }
        }
    }
}
