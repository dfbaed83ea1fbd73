//! The guards: each an exact text of one file, and the text that is left when the guard is taken out.
//!
//! Only what compiles without the guard shows anything. Where two guards stand behind one another, each is its own entry: every
//! one has to hold by itself.

/// In what a guard stands, and so which tests must miss it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// The control plane's core, its statements and its schema.
    ControlPlane,
    /// The agent.
    Agent,
    /// The Worker's shell, of which only tests of the whole can tell: those whose names contain this.
    Worker {
        /// A part of their names.
        seen_by: &'static str,
    },
}

/// One guard.
pub(super) struct Guard {
    /// What it is called on the command line.
    pub name: &'static str,
    /// In what it stands.
    pub within: Within,
    /// Where it is, from the root of the checkout.
    pub file: &'static str,
    /// Its text: exactly once in the file.
    pub text: &'static str,
    /// What stands there without it.
    pub without: &'static str,
}

/// Declares a list in a form that reads as a table.
macro_rules! guards {
    (within $within:ident: $($name:literal in $file:literal $(seen by $test:literal)?: $text:literal => $without:literal;)*) => {
        pub(super) const GUARDS: &[super::Guard] = &[$(super::Guard {
            name: $name,
            within: super::Within::$within $({ seen_by: $test })?,
            file: $file,
            text: $text,
            without: $without,
        },)*];
    };
}

mod agent;
mod control_plane;
mod worker;

/// Every guard that must be missed.
pub(super) fn all() -> impl Iterator<Item = &'static Guard> {
    control_plane::GUARDS.iter().chain(agent::GUARDS).chain(worker::GUARDS)
}
