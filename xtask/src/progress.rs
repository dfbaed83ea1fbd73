//! Progress for a person, on standard error; standard output belongs to results.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Says what is going on, on a line of its own.
pub fn say(text: impl AsRef<str>) {
    eprintln!("  {}", text.as_ref());
}

/// Runs a step under a title and says how long it took.
pub fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("▸ {title}");
    let started = Instant::now();
    let result = work();
    let mark = if result.is_ok() { "✓" } else { "✗" };
    eprintln!("{mark} {title} ({})", human(started.elapsed()));
    result
}

/// A duration as a person would say it: `85 ms`, `4.2 s`, `2 min 07 s`.
pub fn human(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {:02} s", millis / 60_000, millis / 1_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_speech() {
        assert_eq!(human(Duration::from_millis(85)), "85 ms");
        assert_eq!(human(Duration::from_millis(4_200)), "4.2 s");
        assert_eq!(human(Duration::from_secs(127)), "2 min 07 s");
    }
}
