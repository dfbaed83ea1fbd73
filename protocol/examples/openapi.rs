//! Prints the OpenAPI document: `cargo run -p ringfence-protocol --features schema --example openapi > docs/openapi.json`.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let document = ringfence_protocol::openapi::document()?;
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
