//! What must hold between the values of a configuration, each of which is right by itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::Texts;
use super::written::{Source, Written, holds};
use crate::catalog::{Catalog, Category};
use crate::input::STDIN;
use crate::problem::{Problem, Problems, suggestion};
use crate::record::Code;
use crate::tail::{self, Files};

/// Labels that are twdiag's own, or Prometheus'.
const RESERVED: [&str; 15] = [
    "category", "code", "family", "finding", "group", "instance", "job", "kind", "le", "name", "quantile", "rule",
    "source", "version", "window",
];

/// What is wrong with a path that names nothing; it may come of a variable that is empty.
const EMPTY: &str = "a path is empty";

/// Collects what is wrong.
pub(super) struct Checks<'a> {
    texts: &'a Texts,
    /// What was wrong already, before values are held against one another.
    read: &'a [Problem],
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    absent: Vec<Problem>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(texts: &'a Texts, read: &'a [Problem]) -> Checks<'a> {
        Checks { texts, read, problems: Vec::new(), warnings: Vec::new(), absent: Vec::new() }
    }

    /// Everything that is wrong, what should only be known, and paths that stand for nothing yet. What is wrong comes in
    /// the order of its places, file by file.
    pub(super) fn found(mut self) -> (Vec<Problem>, Vec<Problem>, Vec<Problem>) {
        self.problems.splice(0..0, self.read.iter().cloned());
        let mut files: Vec<String> = Vec::new();
        for problem in &self.problems {
            if !files.contains(&problem.path) {
                files.push(problem.path.clone());
            }
        }
        let order = |problem: &Problem| files.iter().position(|file| *file == problem.path);
        self.problems.sort_by_key(|problem| (order(problem), problem.span.start));
        (self.problems, self.warnings, self.absent)
    }

    /// What is wrong in other files; each problem once.
    pub(super) fn add(&mut self, problems: Problems) {
        let new: Vec<Problem> = problems.0.into_iter().filter(|problem| !self.problems.contains(problem)).collect();
        self.problems.extend(new);
    }

    /// Something that is wrong at a place, unless that comes of what was wrong there already.
    pub(super) fn wrong(&mut self, place: &Range<usize>, message: String, help: &str) {
        let problem = self.texts.problem(place.clone(), message, Some(help.to_owned()));
        if !self.read.iter().any(|read| read.path == problem.path && holds(&problem.span, &read.span)) {
            self.problems.push(problem);
        }
    }

    pub(super) fn warn(&mut self, place: &Range<usize>, message: String) {
        self.warnings.push(self.texts.problem(place.clone(), message, None));
    }

    /// The category that a code is given; nothing where one of the two is wrong.
    pub(super) fn category(
        &mut self,
        code: &Spanned<String>,
        category: &Spanned<String>,
        catalog: &Catalog,
    ) -> Option<(Code, Category)> {
        let number = code.get_ref().parse().ok().and_then(Code::new);
        let Some(number) = number else {
            let message = format!("`{}` is no error code", code.get_ref());
            self.wrong(&code.span(), message, "codes have five digits, 10000 to 99999");
            return None;
        };
        if catalog.get(number).is_none() {
            let near: Vec<String> = catalog.nearest(number, 3).iter().map(|entry| entry.code.to_string()).collect();
            let near = if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) };
            let help = format!("describe it in a file of its own and name that in `catalog`{near}");
            self.wrong(&code.span(), format!("{number} is not in the catalogue"), &help);
            return None;
        }
        let names =
            || Category::ALL.into_iter().filter(|category| *category != Category::Uncatalogued).map(Category::name);
        match category.get_ref().parse() {
            Ok(category) if category != Category::Uncatalogued => Some((number, category)),
            _ => {
                let help = match suggestion(category.get_ref(), names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the categories are {}", names().collect::<Vec<_>>().join(", ")),
                };
                self.wrong(&category.span(), format!("no category is called `{}`", category.get_ref()), &help);
                None
            }
        }
    }

    /// Everything that the catalogue and the rules have no part in.
    pub(super) fn check(&mut self, written: &Written) {
        for (at, label) in written.labels.iter().enumerate() {
            self.label(label, written.labels.iter().take(at).any(|before| before.get_ref() == label.get_ref()));
        }
        let of_one = written.state.iter().chain(&written.web_config);
        let of_many = written.catalog.iter().chain(&written.rules).chain(&written.sandbox.read);
        for path in of_one.chain(of_many).filter(|path| path.get_ref().as_os_str().is_empty()) {
            self.wrong(&path.span(), EMPTY.to_owned(), "name a file or a directory, or leave the key out");
        }
        let mut names: BTreeMap<&str, &Source> = BTreeMap::new();
        for source in &written.source {
            let name = source.name.get_ref().as_str();
            if name.is_empty() {
                self.wrong(&source.name.span(), "a source has no name".to_owned(), "name it: counts bear the name");
            }
            if names.insert(name, source).is_some() {
                let message = format!("two sources are called `{name}`");
                self.wrong(
                    &source.name.span(),
                    message,
                    "name one of the two otherwise, or give all paths to one source",
                );
            }
            self.source(source, written);
        }
        self.overlaps(&written.source);
    }

    fn label(&mut self, label: &Spanned<String>, is_known: bool) {
        let name = label.get_ref().as_str();
        let is_valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit());
        if !is_valid {
            let message = format!("`{name}` is no name of a label");
            self.wrong(&label.span(), message, "letters, digits and underscores, no digit first");
        } else if name.starts_with("__") || RESERVED.contains(&name) {
            let message = format!("the label `{name}` has a meaning already");
            self.wrong(&label.span(), message, "choose another name");
        } else if is_known {
            self.wrong(&label.span(), format!("the label `{name}` is named twice"), "keep one of the two");
        }
    }

    fn source(&mut self, source: &Source, written: &Written) {
        let paths = source.paths.get_ref();
        if paths.is_empty() {
            let message = format!("the source `{}` has no path", source.name.get_ref());
            self.wrong(&source.paths.span(), message, "name a file, a directory or a glob");
        }
        for path in paths {
            self.path(path, written);
            if path.get_ref() == STDIN && paths.len() > 1 {
                let message = "standard input stands beside other paths".to_owned();
                self.wrong(&path.span(), message, "give it a source of its own");
            }
        }
        for glob in paths.iter().chain(&source.exclude) {
            if let Err(error) = glob::Pattern::new(glob.get_ref()) {
                let message = format!("`{}` is no glob: {}", glob.get_ref(), error.msg);
                self.wrong(&glob.span(), message, "write `[[]` for a bracket, and `**` only between slashes");
            }
        }
        for name in source.labels.keys() {
            if !written.labels.iter().any(|known| known.get_ref() == name.get_ref()) {
                let known = written.labels.iter().map(|known| known.get_ref().as_str());
                let help = match suggestion(name.get_ref(), known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("name it at the top: labels = [\"{}\"]", name.get_ref()),
                };
                self.wrong(&name.span(), format!("the label `{}` is not among `labels`", name.get_ref()), &help);
            }
        }
    }

    fn path(&mut self, path: &Spanned<String>, written: &Written) {
        let text = path.get_ref();
        if text == STDIN {
            return;
        }
        if text.is_empty() {
            self.wrong(&path.span(), EMPTY.to_owned(), "name a file, a directory or a glob");
            return;
        }
        let roots = &written.sandbox.read;
        let stem = super::absolute(stem(text));
        if !roots.is_empty() && !roots.iter().any(|root| stem.starts_with(super::absolute(root.get_ref()))) {
            let message = format!("`{text}` lies outside of what `[sandbox] read` leaves to be read");
            self.wrong(&path.span(), message, "add its directory there");
        }
        if let Some(state) = written.state.as_ref().filter(|state| !state.get_ref().as_os_str().is_empty()) {
            let state = super::absolute(state.get_ref());
            let is_in = |name: &str| covers(text, &state.join(name));
            if is_in("lock") || is_in("state.v1.0") || stem.starts_with(&state) {
                let message =
                    format!("`{text}` reaches into the state directory, which changes with every line that is read");
                self.wrong(&path.span(), message, "keep `state` in another directory");
            }
        }
        if tail::matching(text).is_empty() {
            self.absent.push(self.texts.problem(path.span(), format!("`{text}` is not there yet"), None));
        }
    }

    /// Two sources that read the same file, which would be counted twice.
    fn overlaps(&mut self, sources: &[Source]) {
        let mut seen: Vec<(&Source, &Spanned<String>)> = Vec::new();
        let mut files: BTreeMap<PathBuf, &Source> = BTreeMap::new();
        for source in sources {
            let mut overlap = None;
            for path in source.paths.get_ref() {
                let others = seen.iter().filter(|(of, _)| of.name.get_ref() != source.name.get_ref());
                let mut both = others.filter_map(|(of, before)| Some((*of, shared(before.get_ref(), path.get_ref())?)));
                if let Some((of, what)) = both.next() {
                    overlap = Some((path, of, what.to_owned()));
                    break;
                }
            }
            for file in tail::present(&files_of(source)) {
                let before = *files.entry(std::fs::canonicalize(&file).unwrap_or(file.clone())).or_insert(source);
                if overlap.is_none() && before.name.get_ref() != source.name.get_ref() {
                    let path =
                        source.paths.get_ref().iter().find(|path| tail::matching(path.get_ref()).contains(&file));
                    overlap = path.map(|path| (path, before, file.display().to_string()));
                }
            }
            if let Some((path, before, what)) = overlap
                && !is_excluded(source, before)
            {
                self.overlap(&path.span(), [before.name.get_ref(), source.name.get_ref()], &what);
            }
            seen.extend(source.paths.get_ref().iter().map(|path| (source, path)));
        }
    }

    fn overlap(&mut self, place: &Range<usize>, [one, other]: [&str; 2], what: &str) {
        if what == STDIN {
            let message = format!("`{one}` and `{other}` both read standard input, which there is once");
            return self.wrong(place, message, "leave it to one of the two");
        }
        let help = if self.texts.is_command_line(place) {
            "name it once: each path that is given is a source of its own"
        } else {
            "leave it out of one of the two with `exclude`, or make them one source"
        };
        let message = format!("`{one}` and `{other}` both read `{what}`, which would be counted twice");
        self.wrong(place, message, help);
    }
}

/// What a source reads, as it was written.
fn files_of(source: &Source) -> Files {
    let texts = |texts: &[Spanned<String>]| texts.iter().map(|text| text.get_ref().clone()).collect();
    Files { paths: texts(source.paths.get_ref()), exclude: texts(&source.exclude) }
}

/// Whether one of two sources says what it leaves to the other: then only files that are there can tell.
fn is_excluded(one: &Source, other: &Source) -> bool {
    let of = |source| tail::present(&files_of(source));
    let says_so = !one.exclude.is_empty() || !other.exclude.is_empty();
    says_so && of(one).iter().all(|file| !of(other).contains(file))
}

/// The narrower of two paths where the other reads all of it.
fn shared<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    // No path reads standard input, whatever a file may be called.
    if one == other || (one != STDIN && other != STDIN && covers(one, Path::new(other))) {
        Some(other)
    } else {
        (one != STDIN && other != STDIN && covers(other, Path::new(one))).then_some(one)
    }
}

/// Whether a path of a source names the file, as a glob, as its directory, or as itself.
fn covers(pattern: &str, file: &Path) -> bool {
    let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
    let (pattern, file) = (super::absolute(Path::new(pattern)), super::absolute(file));
    let is_glob = || pattern.to_str().and_then(|pattern| glob::Pattern::new(pattern).ok());
    file == pattern
        || file.parent() == Some(&pattern)
        || is_glob().is_some_and(|glob| glob.matches_path_with(&file, options))
}

/// The directory that a glob cannot leave, or the path itself.
fn stem(pattern: &str) -> &Path {
    let is_literal = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let path = Path::new(pattern);
    let literal = path.components().take_while(is_literal).count();
    path.ancestors().nth(path.components().count() - literal).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_pattern_covers() {
        for (pattern, file, expected) in [
            ("/l/*.log", "/l/a.log", true),
            ("/l/*.log", "/l/x/a.log", false),
            ("/l/**/*.log", "/l/x/a.log", true),
            ("/l", "/l/a.log", true),
            ("/l", "/l/x/a.log", false),
            ("/l/a.log", "/l/a.log", true),
            ("/l/a.log", "/l/*.log", false),
        ] {
            assert_eq!(covers(pattern, Path::new(file)), expected, "{pattern} {file}");
        }
    }

    #[test]
    fn knows_what_a_glob_cannot_leave() {
        assert_eq!(stem("/var/log/*/a.log"), Path::new("/var/log"));
        assert_eq!(stem("/var/log/a.log"), Path::new("/var/log/a.log"));
        assert_eq!(stem("*.log"), Path::new(""));
    }
}
