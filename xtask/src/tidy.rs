//! The layout rules.

/// Checks them all.
pub fn run() -> anyhow::Result<()> {
    Ok(())
}
