//! Who may read a file, judged by its mode alone, and the group that would make it so.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The bit of `CAP_DAC_OVERRIDE`, and that of `CAP_DAC_READ_SEARCH`.
const READS_EVERYTHING: u64 = 1 << 1 | 1 << 2;

/// Someone who reads files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// The user's number.
    pub user: u32,
    /// The numbers of all the groups.
    pub groups: Vec<u32>,
    /// Whether modes do not hold for this one.
    pub is_all_seeing: bool,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Barrier {
    /// The file, or the directory above that cannot be passed.
    pub(super) path: PathBuf,
    /// Its mode, without the kind of file.
    pub(super) mode: u32,
    /// Its owner.
    pub(super) user: u32,
    /// The group that it belongs to.
    pub(super) group: u32,
    /// Whether that group could read or pass.
    pub(super) group_helps: bool,
}

impl Reader {
    /// The process that `/proc/self/status` tells of.
    pub fn parse(status: &str) -> Reader {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let numbers = |name: &str| field(name).split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // Real, effective, saved and of the file system.
        let (users, mut groups): (Vec<u32>, Vec<u32>) = (numbers("Uid:"), numbers("Gid:"));
        groups.extend::<Vec<u32>>(numbers("Groups:"));
        groups.sort_unstable();
        groups.dedup();
        let capabilities = u64::from_str_radix(field("CapEff:").trim(), 16).unwrap_or(0);
        let user = users.get(1).copied().unwrap_or(u32::MAX);
        Reader { user, groups, is_all_seeing: capabilities & READS_EVERYTHING != 0 }
    }

    /// Whether a file of this mode (three digits) and these owners can be read, or a directory passed with `bit` 1.
    pub(super) fn may(&self, bit: u32, mode: u32, user: u32, group: u32) -> bool {
        let class = match () {
            () if self.is_all_seeing => return true,
            () if self.user == user => 6,
            () if self.groups.contains(&group) => 3,
            () => 0,
        };
        mode >> class & bit != 0
    }

    /// What stands between this one and a file that is there; the uppermost directory first.
    pub(super) fn barrier(&self, path: &Path) -> Option<Barrier> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        ancestors.into_iter().find_map(|step| {
            let status: Metadata = std::fs::metadata(step).ok()?;
            let bit = if status.is_dir() { 1 } else { 4 };
            let (mode, user, group) = (status.mode() & 0o777, status.uid(), status.gid());
            let group_helps = mode >> 3 & bit != 0;
            let barrier = Barrier { path: step.to_owned(), mode, user, group, group_helps };
            (!self.may(bit, mode, user, group)).then_some(barrier)
        })
    }
}

/// The name that a table like `/etc/group` or `/etc/passwd` has for a number; the number where it has none.
pub(super) fn name(table: &Path, number: u32) -> String {
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let named = text.lines().find(|line| line.split(':').nth(2) == Some(&number.to_string()));
    named.and_then(|line| line.split(':').next()).map_or_else(|| number.to_string(), str::to_owned)
}

/// The number that a table like `/etc/group` has for a name, which may be a number itself.
pub(super) fn number(table: &Path, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let named = text.lines().find(|line| line.split(':').next() == Some(name));
    named.and_then(|line| line.split(':').nth(2)?.parse().ok()).or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_who_a_process_is() {
        let status = "Name:\tx\nUid:\t1\t7\t1\t1\nGid:\t4\t4\t4\t4\nGroups:\t4 30 \nCapEff:\t0000000000000000\n";
        assert_eq!(Reader::parse(status), Reader { user: 7, groups: vec![4, 30], is_all_seeing: false });
        assert!(Reader::parse("Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n").is_all_seeing);
        assert!(!Reader::parse("Uid:\t0\t0\t0\t0\nCapEff:\t0000000000000000\n").is_all_seeing, "uid 0 without any");
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let reader = Reader { user: 7, groups: vec![4], is_all_seeing: false };
        assert!(reader.may(4, 0o640, 0, 4) && !reader.may(4, 0o600, 0, 4) && !reader.may(4, 0o640, 0, 5));
        assert!(reader.may(4, 0o604, 0, 5) && !reader.may(4, 0o604, 0, 4) && !reader.may(4, 0o044, 7, 4));
        assert!(reader.may(1, 0o710, 0, 4) && !reader.may(1, 0o740, 0, 4));
    }
}
