//! Rules of the layout that compilers and linters do not know.
//!
//! Each rule takes the sources and returns sentences, one for each place that breaks it. A rule that needs an exception
//! says so in its own table, where a reader sees it.

mod files;
mod layers;
mod source;
mod words;

use anyhow::{Result, bail};

use self::source::Source;

/// Checks every rule and names every place that breaks one.
pub fn run() -> Result<()> {
    let violations = violations()?;
    for violation in &violations {
        eprintln!("  {violation}");
    }
    match violations.len() {
        0 => Ok(()),
        count => bail!("{count} breaches of the layout rules"),
    }
}

/// Every place that breaks a rule, as a sentence that begins with the place.
pub fn violations() -> Result<Vec<String>> {
    let sources = Source::all()?;
    let mut found = Vec::new();
    for source in &sources {
        found.extend(words::violations(source));
        found.extend(layers::violations(source));
    }
    found.extend(files::violations()?);
    found.sort();
    Ok(found)
}
