//! The mount table: which file system holds a path, and which paths are mounts of their own.

use std::path::{Path, PathBuf};

/// File systems that other machines write to as well, which send no events for what those write.
const NETWORK: [&str; 15] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
    "smbfs",
    "virtiofs",
];

/// The mounts that this process sees, as `/proc/self/mountinfo` lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(Vec<Mount>);

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// The kind of file system: `ext4`, `nfs4`, `fuse.sshfs`.
    pub kind: String,
}

impl Mounts {
    /// The table of this process; empty where there is none.
    pub fn of_this_process() -> Mounts {
        std::fs::read("/proc/self/mountinfo").map(|table| Mounts::parse(&table)).unwrap_or_default()
    }

    /// Reads the format of `mountinfo`; lines that are not of it are left out.
    pub fn parse(table: &[u8]) -> Mounts {
        let mount = |line: &[u8]| {
            // Optional fields stand between the options and the kind, and end with a hyphen.
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let kind = fields.iter().position(|field| *field == b"-").and_then(|at| fields.get(at + 1))?;
            let kind = String::from_utf8_lossy(kind).into_owned();
            Some(Mount { point: unescaped(fields.get(4)?), kind })
        };
        Mounts(table.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// Whether an absolute path is a mount of its own: a single file that was mounted shows the same file for ever.
    pub fn is_point(&self, path: &Path) -> bool {
        self.0.iter().any(|mount| mount.point == path)
    }

    /// The mount that holds an absolute path without links.
    pub fn holding(&self, path: &Path) -> Option<&Mount> {
        // A later mount hides an earlier one at the same point.
        self.0.iter().filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.as_os_str().len())
    }
}

impl Mount {
    /// Whether other machines may write to it.
    pub fn is_network(&self) -> bool {
        NETWORK.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.")
    }
}

/// A mount point as the table writes it, with octal escapes.
fn unescaped(text: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = text.iter().copied();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            let digits = [bytes.next(), bytes.next(), bytes.next()].map(|digit| digit.unwrap_or(b'0') & 7);
            out.push(digits[0] << 6 | digits[1] << 3 | digits[2]);
        } else {
            out.push(byte);
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
36 35 98:0 / / rw,noatime master:1 - ext4 /dev/vda rw
37 36 98:0 /x /logs/a\\040b.log rw shared:2 master:3 - ext4 /dev/vda rw
38 36 0:40 / /srv rw - tmpfs tmpfs rw
39 36 0:41 / /srv rw - nfs4 server:/logs rw
40 36 0:42 / /srv/near rw - fuse.sshfs x rw
not a mount
";

    #[test]
    fn sees_a_mounted_file() {
        let mounts = Mounts::parse(TABLE);
        assert!(mounts.is_point(Path::new("/logs/a b.log")));
        assert!(!mounts.is_point(Path::new("/logs/a")) && !mounts.is_point(Path::new("/logs")));
    }

    #[test]
    fn names_the_file_system_that_holds_a_path() {
        let mounts = Mounts::parse(TABLE);
        let kind = |path: &str| mounts.holding(Path::new(path)).map(|mount| (mount.kind.as_str(), mount.is_network()));
        assert_eq!(kind("/logs/a"), Some(("ext4", false)));
        assert_eq!(kind("/srv/a"), Some(("nfs4", true)));
        assert_eq!(kind("/srv/near/a"), Some(("fuse.sshfs", true)));
        assert_eq!(kind("/srvs"), Some(("ext4", false)));
        assert_eq!(kind("relative"), None);
        assert_eq!(Mounts::parse(b"").holding(Path::new("/")), None);
    }
}
