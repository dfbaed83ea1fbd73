//! Which container runtimes are new enough.
//!
//! In November 2025 runc fixed three ways out of a container (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881) in 1.2.8, 1.3.3
//! and 1.4.0-rc.3; crun fixed its share in 1.25.1. An older one is refused, unless it is a distribution's package that is known
//! to carry the fixes.

use std::fmt;

/// A version as runtimes print it. Ordered as semantic versioning says: a pre-release comes before its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    /// The number of a release candidate; the largest number for a release.
    candidate: u32,
}

impl Version {
    /// A release.
    pub const fn release(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, candidate: u32::MAX }
    }

    /// A release candidate.
    pub const fn candidate(major: u32, minor: u32, patch: u32, candidate: u32) -> Self {
        Self { major, minor, patch, candidate }
    }

    /// Reads `1.3.6`, `1.21`, `1.4.0-rc.3`, `1.3.6+ds1`. What a packager added after `+`, `~` or a further dash says nothing.
    /// A pre-release that is not understood counts as the oldest.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, rest) = text.split_at(digits);
        let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
        let major = numbers.next()??;
        let minor = numbers.next()??;
        let patch = numbers.next().unwrap_or(Some(0))?;
        let rest = rest.strip_prefix('-').or_else(|| rest.strip_prefix('~'));
        let candidate = match rest {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let number = rest.strip_prefix("rc").map(|rest| rest.trim_start_matches('.'));
                let number = number.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
                number.and_then(|number| number.parse().ok()).unwrap_or(0)
            }
            Some(_) | None => u32::MAX,
        };
        Some(Self { major, minor, patch, candidate })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.candidate == u32::MAX { Ok(()) } else { write!(f, "-rc.{}", self.candidate) }
    }
}

/// A runtime as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `runc` or `crun`.
    pub name: String,
    /// The binary.
    pub path: String,
    /// What it prints as its version.
    pub version: String,
    /// The Debian package it is from, and that one's version.
    pub package: Option<(String, String)>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)?;
        match &self.package {
            Some((name, version)) => write!(f, " (package {name} {version})"),
            None => Ok(()),
        }
    }
}

/// A package that carries the fixes although its version is older.
#[derive(Debug, Clone)]
pub struct PatchedPackage {
    /// Its name.
    pub package: String,
    /// What its version begins with: one build, not a range.
    pub version_prefix: String,
}

/// Says which runtimes may be used.
#[derive(Debug, Clone)]
pub struct RuntimeGate {
    /// For a runtime, the first fixed version of each series, oldest first; from the last one on everything is fixed.
    pub fixed: Vec<(String, Vec<Version>)>,
    /// Packages with the fixes.
    pub patched: Vec<PatchedPackage>,
}

impl RuntimeGate {
    /// The fixes of November 2025.
    pub fn with_fixes_of_november_2025() -> Self {
        let runc = vec![Version::release(1, 2, 8), Version::release(1, 3, 3), Version::candidate(1, 4, 0, 3)];
        let crun = vec![Version::release(1, 25, 1)];
        // Ubuntu's `1.3.3-0ubuntu1~…` and what Docker's containerd.io ships are fixed by their version. A row here needs the
        // distribution's own word for all three. Debian 13's security update, runc 1.1.15+ds1-2+deb13u1, is not one: its changelog
        // (13 November 2026) names CVE-2025-31133 and CVE-2025-52565 and not CVE-2025-52881.
        Self { fixed: vec![("runc".into(), runc), ("crun".into(), crun)], patched: Vec::new() }
    }

    /// Whether the runtime has the fixes.
    pub fn admits(&self, found: &Found) -> bool {
        if let Some((package, version)) = &found.package {
            let is_it = |row: &PatchedPackage| row.package == *package && version.starts_with(&row.version_prefix);
            if self.patched.iter().any(is_it) {
                return true;
            }
        }
        let Some((_, fixed)) = self.fixed.iter().find(|(name, _)| *name == found.name) else {
            return false; // a runtime that nobody has looked at
        };
        let Some(version) = Version::parse(&found.version) else {
            return false;
        };
        let same_series = |fix: &Version| (fix.major, fix.minor) == (version.major, version.minor);
        fixed.last().is_some_and(|last| version >= *last) || fixed.iter().any(|fix| same_series(fix) && version >= *fix)
    }
}

/// What `--version` prints after the runtime's name: `runc version 1.3.6+ds1`, `crun version 1.21`.
pub(super) fn version_printed(output: &str) -> Option<(String, String)> {
    let (name, rest) = output.lines().next()?.split_once(" version ")?;
    Some((name.trim().to_owned(), rest.split_whitespace().next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(name: &str, version: &str) -> Found {
        Found { name: name.into(), path: String::new(), version: version.into(), package: None }
    }

    #[test]
    fn each_series_is_fixed_from_its_own_version_on() {
        let gate = RuntimeGate::with_fixes_of_november_2025();
        for version in
            ["1.2.8", "1.2.9", "1.3.3", "1.3.6+ds1", "1.4.0-rc.3", "1.4.0-rc3", "1.4.0", "1.5.0-rc.1", "2.0.0"]
        {
            assert!(gate.admits(&found("runc", version)), "{version}");
        }
        for version in
            ["1.1.15+ds1", "1.2.7", "1.3.2", "1.3.3-rc.1", "1.3.0", "1.4.0-rc.2", "1.4.0-dev", "1.4.0~rc2", "x", ""]
        {
            assert!(!gate.admits(&found("runc", version)), "{version}");
        }
        assert!(gate.admits(&found("crun", "1.25.1")) && gate.admits(&found("crun", "1.26")));
        assert!(!gate.admits(&found("crun", "1.21")) && !gate.admits(&found("crun", "1.25")));
        assert!(!gate.admits(&found("kata", "9.0.0")));
    }

    #[test]
    fn a_package_that_carries_the_fixes_is_admitted_and_no_other_build_of_it() {
        let mut gate = RuntimeGate::with_fixes_of_november_2025();
        gate.patched.push(PatchedPackage { package: "runc".into(), version_prefix: "1.1.15+ds1-2+deb13u9".into() });
        let mut runtime = found("runc", "1.1.15+ds1");
        runtime.package = Some(("runc".into(), "1.1.15+ds1-2+deb13u9".into()));
        assert!(gate.admits(&runtime));
        runtime.package = Some(("runc".into(), "1.1.15+ds1-2+deb13u1".into()));
        assert!(!gate.admits(&runtime));
    }

    #[test]
    fn versions_are_read_from_what_runtimes_print() {
        let printed = version_printed("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n");
        assert_eq!(printed, Some(("runc".into(), "1.1.5+ds1".into())));
        assert_eq!(version_printed("crun version 1.21\ncommit: 1\n"), Some(("crun".into(), "1.21".into())));
        assert_eq!(version_printed("no such thing"), None);
    }

    proptest! {
        #[test]
        fn a_candidate_is_older_than_its_release(major in 0..9u32, minor in 0..99u32, patch in 0..99u32, rc in 0..99u32) {
            let candidate = Version::parse(&format!("{major}.{minor}.{patch}-rc.{rc}")).unwrap();
            let release = Version::parse(&format!("{major}.{minor}.{patch}")).unwrap();
            prop_assert!(candidate < release);
            prop_assert_eq!(Version::parse(&release.to_string()), Some(release));
            prop_assert_eq!(Version::parse(&candidate.to_string()), Some(candidate));
        }

        #[test]
        fn reading_a_version_never_panics(text in ".*") {
            let _ = (Version::parse(&text), version_printed(&text));
        }
    }
}
